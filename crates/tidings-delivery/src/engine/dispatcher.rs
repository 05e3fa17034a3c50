//! Claims due batches and gives each a worker, as many as each push service's share allows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::batch::{Lane, Lease, LeasedBatch};
use tidings_core::clock::{Clock, Timestamp};
use tidings_core::queue::BatchQueue;
use tidings_core::store::{Claim, DueGroup, PassEnd, Store, StoreError};
use tidings_core::subscription::PushServiceGroup;
use tidings_webpush::Randomness;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Policy;
use crate::engine::batch_worker::{BatchWorker, PassError};
use crate::engine::sender::Sender;

pub(super) struct Dispatcher {
    sender: Arc<Sender>,
    store: Arc<dyn Store>,
    queue: Arc<dyn BatchQueue>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    tasks: TaskTracker,
    shares: HashMap<(PushServiceGroup, Lane), Share>,
    /// Told whenever a worker ends.
    worker_ended: Arc<Notify>,
}

/// What may be under way at one push service in one lane.
struct Share {
    batches: Arc<Semaphore>,
    deliveries: Arc<Semaphore>,
}

impl Share {
    fn of(lane: Lane, policy: &Policy) -> Self {
        let (batches, deliveries) = match lane {
            Lane::Direct => (policy.direct_batches, policy.direct_deliveries),
            Lane::Bulk => (policy.bulk_batches, policy.bulk_deliveries),
        };
        Self {
            batches: Arc::new(Semaphore::new(batches)),
            deliveries: Arc::new(Semaphore::new(deliveries)),
        }
    }
}

impl Dispatcher {
    pub(super) fn new(
        sender: Arc<Sender>,
        store: Arc<dyn Store>,
        queue: Arc<dyn BatchQueue>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            sender,
            store,
            queue,
            clock,
            randomness,
            tasks,
            shares: HashMap::new(),
            worker_ended: Arc::default(),
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.claim_all(&stop).await {
                Ok(next_due) => self.pause_until(next_due),
                Err(error) => {
                    tracing::error!(%error, "batches cannot be claimed; trying again in a moment");
                    self.sender.policy.poll
                }
            };
            tokio::select! {
                _ = self.queue.next() => {}
                () = self.worker_ended.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn pause_until(&self, next_due: Option<Timestamp>) -> Duration {
        let poll = self.sender.policy.poll;
        next_due.map_or(poll, |due| due.since(self.clock.now()).min(poll))
    }

    /// Claims what is due and has room. The instant at which the next batch is due.
    async fn claim_all(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        let mut groups = self.store.due_groups().await?;
        groups.sort_by_key(|due| due.lane);
        let mut next_due = None;
        for due in groups {
            if due.not_before > now {
                next_due =
                    Some(next_due.map_or(due.not_before, |at: Timestamp| at.min(due.not_before)));
            } else {
                self.claim(due, now, stop).await?;
            }
        }
        Ok(next_due)
    }

    async fn claim(
        &mut self,
        due: DueGroup,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let policy = &self.sender.policy;
        let share = self
            .shares
            .entry((due.group.clone(), due.lane))
            .or_insert_with(|| Share::of(due.lane, policy));
        let room = share.batches.available_permits();
        if room == 0 {
            return Ok(());
        }
        let mut token = [0; 16];
        self.randomness.fill(&mut token);
        let limit = u16::try_from(room).unwrap_or(u16::MAX);
        let claim = Claim {
            application: due.application,
            group: due.group,
            lane: due.lane,
            limit,
            token,
            now,
        };
        for leased in self.store.claim_due(claim).await? {
            let Ok(permit) = Arc::clone(&share.batches).try_acquire_owned() else {
                // Claims are made by this task alone, so there is room for each.
                self.store.release(&leased.lease).await?;
                continue;
            };
            let worker = BatchWorker {
                sender: Arc::clone(&self.sender),
                deliveries: Arc::clone(&share.deliveries),
                stop: stop.clone(),
            };
            let ended = Arc::clone(&self.worker_ended);
            let store = Arc::clone(&self.store);
            let tasks = self.tasks.clone();
            self.tasks.spawn(async move {
                supervise(&tasks, worker, leased, store).await;
                drop(permit);
                ended.notify_one();
            });
        }
        Ok(())
    }
}

/// Runs a worker in a task of its own, so that even a panic gives the claim back.
async fn supervise(
    tasks: &TaskTracker,
    worker: BatchWorker,
    leased: LeasedBatch,
    store: Arc<dyn Store>,
) {
    let lease = leased.lease.clone();
    let message = leased.batch.message;
    let stop = worker.stop.clone();
    let ended = tasks.spawn(async move { worker.run(&leased).await }).await;
    let failure = match ended {
        Ok(Ok(PassEnd::Done { message_done })) => {
            if message_done {
                tracing::info!(message.id = %message, "message is done");
            }
            return;
        }
        Ok(Ok(PassEnd::Again { .. })) => return,
        Ok(Err(PassError::Store(StoreError::LeaseLost))) => {
            tracing::warn!(message.id = %message, "lost the claim on a batch");
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(message.id = %message, error = %failure, "a pass over a batch failed; it will be repeated");
    give_back(store.as_ref(), &lease, &stop).await;
}

/// How long a batch rests after a pass that failed. Not at once, or a lasting fault would be
/// retried without end and without pause.
const REST: Duration = Duration::from_secs(1);

/// Gives a claim back, however long the store cannot be written to: nobody else can send the batch
/// before. Once the engine stops, the claim ends with the process.
async fn give_back(store: &dyn Store, lease: &Lease, stop: &CancellationToken) {
    let mut told = false;
    loop {
        tokio::time::sleep(REST).await;
        match store.release(lease).await {
            Err(error) if !stop.is_cancelled() => {
                if !told {
                    tracing::error!(%error, "the claim on a batch cannot be given back; trying again");
                }
                told = true;
            }
            _ => return,
        }
    }
}
