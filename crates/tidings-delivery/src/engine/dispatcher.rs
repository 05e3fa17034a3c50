//! Claims due batches and gives each a worker, as many as each push service's share allows, and
//! fairly among applications.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tidings_core::application::ApplicationId;
use tidings_core::batch::{Lane, Lease, LeasedBatch};
use tidings_core::clock::{Clock, Timestamp};
use tidings_core::metrics::Metrics;
use tidings_core::queue::BatchQueue;
use tidings_core::store::{Claim, DueGroup, PassEnd, PassTimes, SendingStore, StoreError};
use tidings_core::subscription::PushServiceGroup;
use tidings_webpush::Randomness;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::batch_worker::BatchWorker;
use crate::engine::clock_watch::{ClockWatch, SetBack};
use crate::engine::pass::PassError;
use crate::engine::record_health::Work;
use crate::engine::rests::Rests;
use crate::engine::shares::OpenBatch;

pub(super) struct Dispatcher {
    pub(super) worker: BatchWorker,
    pub(super) queue: Arc<dyn BatchQueue>,
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tasks: TaskTracker,
    /// How often to look for due work without a hint.
    pub(super) poll: Duration,
    pub(super) rests: Rests,
    /// Told whenever a batch is open no more, or due again.
    pub(super) batch_ended: Arc<Notify>,
}

/// Applications that have due batches, by lane and push service; the direct lane first.
type Due = BTreeMap<(Lane, PushServiceGroup), Vec<ApplicationId>>;

/// What came of looking for due batches.
struct Looked {
    /// How long there is nothing to do, if nobody tells of more.
    pause: Duration,
    /// Why some could not be claimed, which delays no others.
    failed: Option<StoreError>,
}

impl Dispatcher {
    pub(super) async fn run(self, stop: CancellationToken) {
        let health = self.worker.recording.health.clone();
        let mut work = Work::new(health, "batches cannot be claimed");
        let mut watch = ClockWatch::new(self.now());
        while !stop.is_cancelled() {
            let looked = match self.heed_the_clock(&mut watch).await {
                Ok(()) if work.others_are_well() => self.claim_all(&stop).await,
                Ok(()) => self.nothing(),
                Err(error) => self.failed(error),
            };
            match &looked.failed {
                Some(error) => work.failed(error),
                None => work.went_well(),
            }
            tokio::select! {
                () = self.hints() => {}
                () = self.batch_ended.notified() => {}
                () = tokio::time::sleep(looked.pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.worker.recording.clock.now()
    }

    /// If the clock was set back, retries wait for a time that is further away than they were told.
    async fn heed_the_clock(&self, watch: &mut ClockWatch) -> Result<(), StoreError> {
        let now = self.now();
        let Some(set_back) = watch.set_back(now) else {
            return Ok(());
        };
        let store = &self.worker.recording.store;
        // A longer `Retry-After` is not heeded once, rather than a message late by the jump.
        let latest = now.plus(self.worker.sender.policy.retry.longest);
        let batches = store.due_after_clock_jump(now, latest).await?;
        if set_back == SetBack::Now {
            tracing::warn!(batches, "the clock was set back; retries begin at once");
        }
        watch.heeded(set_back, now);
        Ok(())
    }

    /// Waits for a hint, and takes all others that are there: one look is enough for all.
    async fn hints(&self) {
        self.queue.next().await;
        while self.queue.next().now_or_never().is_some() {}
    }

    /// Claims what is due and has room.
    async fn claim_all(&self, stop: &CancellationToken) -> Looked {
        let recording = &self.worker.recording;
        let mut looked = self.nothing();
        let groups = match recording.store.due_groups().await {
            Ok(groups) => groups,
            Err(error) => return self.failed(error),
        };
        let now = recording.clock.now();
        let mut due = Due::new();
        for group in groups {
            if group.not_before > now {
                looked.pause = looked.pause.min(group.not_before.since(now));
            } else {
                let DueGroup {
                    lane,
                    group,
                    application,
                    ..
                } = group;
                due.entry((lane, group)).or_default().push(application);
            }
        }
        for ((lane, group), applications) in due {
            let most = match self.worker.manners.may_claim(&group, lane, Instant::now()) {
                Ok(most) => most,
                Err(wait) => {
                    looked.pause = looked.pause.min(wait);
                    continue;
                }
            };
            let claimed = self
                .claim_fairly(&group, lane, applications, most, stop)
                .await;
            if let Err(error) = claimed {
                if error.is_transient() {
                    // Nor can any others be claimed.
                    return self.failed(error);
                }
                looked.failed.get_or_insert(error);
            }
        }
        looked
    }

    fn nothing(&self) -> Looked {
        Looked {
            pause: self.poll,
            failed: None,
        }
    }

    fn failed(&self, error: StoreError) -> Looked {
        Looked {
            failed: Some(error),
            ..self.nothing()
        }
    }

    /// Claims for one application after the other, until there is no room or nothing due. One whose
    /// batches cannot be claimed holds up no other.
    async fn claim_fairly(
        &self,
        group: &PushServiceGroup,
        lane: Lane,
        mut applications: Vec<ApplicationId>,
        most: usize,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let mut failed = Ok(());
        loop {
            let room = most.saturating_sub(self.worker.shares.open(group, lane));
            if room == 0 {
                return failed;
            }
            let share = room.div_ceil(applications.len().max(1));
            let Some(application) = self.worker.shares.next(group, lane, &applications) else {
                return failed;
            };
            let claimed = match self.claim(group, lane, application, share).await {
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    failed = Err(error);
                    Vec::new()
                }
                Ok(claimed) => claimed,
            };
            if claimed.len() < share {
                applications.retain(|other| *other != application);
            }
            self.metrics.claimed(group.service(), lane, claimed.len());
            for leased in claimed {
                self.start(leased, stop);
            }
        }
    }

    async fn claim(
        &self,
        group: &PushServiceGroup,
        lane: Lane,
        application: ApplicationId,
        most: usize,
    ) -> Result<Vec<LeasedBatch>, StoreError> {
        let mut token = [0; 16];
        self.randomness.fill(&mut token);
        let claim = Claim {
            application,
            group: group.clone(),
            lane,
            limit: u16::try_from(most).unwrap_or(u16::MAX),
            token,
            now: self.worker.recording.clock.now(),
        };
        self.worker.recording.store.claim_due(claim).await
    }

    fn start(&self, leased: LeasedBatch, stop: &CancellationToken) {
        let batch = &leased.batch;
        let open = self
            .worker
            .shares
            .opened(&batch.group, batch.lane, batch.application);
        let (worker, tasks) = (self.worker.clone(), self.tasks.clone());
        let (rests, ended) = (self.rests.clone(), Arc::clone(&self.batch_ended));
        let stop = stop.clone();
        self.tasks.spawn(async move {
            supervise(&tasks, worker, leased, open, &rests, &stop).await;
            ended.notify_one();
        });
    }
}

/// How long reading is tried before a pass is broken off, to be repeated later.
const READING: Duration = Duration::from_secs(30);

/// Runs a worker in a task of its own, so that even a panic gives the claim back.
async fn supervise(
    tasks: &TaskTracker,
    worker: BatchWorker,
    leased: LeasedBatch,
    open: OpenBatch,
    rests: &Rests,
    stop: &CancellationToken,
) {
    let lease = leased.lease.clone();
    let message = leased.batch.message;
    let store = Arc::clone(&worker.recording.store);
    let clock = Arc::clone(&worker.recording.clock);
    // Reading stops all else while it is tried. A batch that failed before may be the only one that
    // cannot be read.
    let patience = if rests.has_failed(lease.batch) {
        Duration::ZERO
    } else {
        READING
    };
    let ended = tasks
        .spawn(async move { worker.run(&leased, open, patience).await })
        .await;
    let failure = match ended {
        Ok(Ok(end)) => {
            rests.went_well(lease.batch);
            if end == (PassEnd::Done { message_done: true }) {
                tracing::info!(message.id = %message, "message is done");
            }
            return;
        }
        Ok(Err(PassError::Store(StoreError::LeaseLost))) => {
            tracing::warn!(message.id = %message, "lost the claim on a batch");
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let rest = rests.failed(lease.batch);
    tracing::error!(
        message.id = %message,
        error = %failure,
        rest_ms = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX),
        "a pass over a batch failed; it will be repeated"
    );
    give_back(store.as_ref(), clock.as_ref(), &lease, rest, stop).await;
}

/// How long to wait before giving a claim back is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Gives a claim back, however long the store cannot be written to: nobody else can send the batch
/// before. Once the engine stops, the claim ends with the process.
async fn give_back(
    store: &dyn SendingStore,
    clock: &dyn Clock,
    lease: &Lease,
    rest: Duration,
    stop: &CancellationToken,
) {
    let mut told = false;
    loop {
        let now = clock.now();
        let times = PassTimes {
            resume_at: Some(now.plus(rest)),
            ..PassTimes::at(now)
        };
        match store.finish_pass(lease, times).await {
            Err(StoreError::LeaseLost) | Ok(_) => return,
            Err(_) if stop.is_cancelled() => return,
            Err(error) => {
                if !told {
                    tracing::error!(%error, "the claim on a batch cannot be given back; trying again");
                }
                told = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
