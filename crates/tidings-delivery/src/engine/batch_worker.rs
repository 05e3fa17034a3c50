//! One pass over a claimed batch.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::batch::{LeasedBatch, Position};
use tidings_core::delivery::Outcome;
use tidings_core::store::{PassEnd, StoreError};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::engine::recorder::Recorder;
use crate::engine::sender::Sender;

/// Members that are loaded at once.
const LOADED_AT_ONCE: usize = 256;

pub(super) struct BatchWorker {
    pub(super) sender: Arc<Sender>,
    /// Deliveries that may be under way at this push service and lane.
    pub(super) deliveries: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
}

/// Why a pass broke off. What was answered until then is recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a delivery ended without an outcome: {0}")]
    Delivery(#[from] JoinError),
}

impl BatchWorker {
    /// Sends to every member whose turn it is, records what became of it, and ends the claim.
    pub(super) async fn run(&self, leased: &LeasedBatch) -> Result<PassEnd, PassError> {
        let policy = &self.sender.policy;
        let recorder = Recorder::new(
            Arc::clone(&self.sender.store),
            Arc::clone(&self.sender.clock),
            leased.lease.clone(),
            policy.record_outcomes,
        );
        let mut deliveries = Deliveries::new(recorder, policy.record_interval);
        let sent = self.send_all(leased, &mut deliveries).await;
        // Whatever broke the pass off, what was posted must not be posted again.
        let drained = deliveries.drain(policy.drain).await;
        deliveries.recorder.report(&leased.batch);
        sent.and(drained)?;
        let now = self.sender.clock.now();
        let ended = self.sender.store.finish_pass(&leased.lease, now, None);
        Ok(ended.await?)
    }

    /// Posts until all members had their turn, something fails, or the engine stops.
    async fn send_all(
        &self,
        leased: &LeasedBatch,
        deliveries: &mut Deliveries,
    ) -> Result<(), PassError> {
        let batch = &leased.batch;
        let store = &self.sender.store;
        let message = store.message_to_send(batch.message).await?;
        let message = message.ok_or(StoreError::Unreadable("messages"))?;
        let message = Arc::new(self.sender.render(batch, message));
        let shared_batch = Arc::new(batch.clone());
        let unsettled: Vec<Position> = batch
            .selection
            .unsettled(&batch.settled)
            .map(|(position, _)| position)
            .collect();
        for chunk in unsettled.chunks(LOADED_AT_ONCE) {
            let members = store
                .load_members(batch, chunk.to_vec(), self.sender.clock.now())
                .await?;
            for member in members {
                let permit = loop {
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => return Ok(()),
                        ended = deliveries.next() => deliveries.take(ended).await?,
                        permit = Arc::clone(&self.deliveries).acquire_owned() => break permit,
                    }
                };
                let (sender, batch) = (Arc::clone(&self.sender), Arc::clone(&shared_batch));
                let message = Arc::clone(&message);
                deliveries.under_way.spawn(async move {
                    let outcome = sender.deliver(&batch, &message, member).await;
                    drop(permit);
                    outcome
                });
            }
        }
        while !deliveries.under_way.is_empty() {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                ended = deliveries.next() => deliveries.take(ended).await?,
            }
        }
        Ok(())
    }
}

/// What became of a delivery, if it was begun before the engine stopped.
type Delivered = Result<Option<Outcome>, StoreError>;

type Ended = Result<Delivered, JoinError>;

/// The deliveries of a pass that are under way, and where their outcomes go.
struct Deliveries {
    /// Tasks, not futures of the pass: those stand still whenever the pass waits for the store, and
    /// one that was just handed what the pass waits for would hold it for ever.
    under_way: JoinSet<Delivered>,
    record_due: Interval,
    recorder: Recorder,
}

impl Deliveries {
    fn new(recorder: Recorder, record_interval: Duration) -> Self {
        let mut record_due = interval(record_interval);
        record_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            under_way: JoinSet::new(),
            record_due,
            recorder,
        }
    }

    /// The next one that ended; `None` when it is time to record. Not awaiting it to its end loses
    /// nothing, unlike [`Self::take`].
    async fn next(&mut self) -> Option<Ended> {
        tokio::select! {
            biased;
            Some(ended) = self.under_way.join_next() => Some(ended),
            _ = self.record_due.tick() => None,
        }
    }

    async fn take(&mut self, ended: Option<Ended>) -> Result<(), PassError> {
        match ended {
            Some(ended) => {
                if let Some(outcome) = ended?? {
                    self.recorder.add(outcome).await?;
                }
            }
            None => self.recorder.flush().await?,
        }
        Ok(())
    }

    /// Waits for the answers that are under way, but not for ever, and records them. What has none
    /// by then is sent again later.
    async fn drain(&mut self, limit: Duration) -> Result<(), PassError> {
        let mut limit = std::pin::pin!(tokio::time::sleep(limit));
        let mut failed = Ok(());
        while !self.under_way.is_empty() {
            let ended = tokio::select! {
                biased;
                ended = self.next() => ended,
                () = &mut limit => break,
            };
            match ended {
                Some(Ok(Err(error))) => failed = Err(error.into()),
                Some(Err(error)) => failed = Err(error.into()),
                Some(Ok(Ok(_))) | None => self.take(ended).await?,
            }
        }
        self.recorder.flush().await?;
        failed
    }
}
