//! One pass over a claimed batch.

use std::panic::resume_unwind;
use std::sync::Arc;

use tidings_core::batch::{LeasedBatch, Position};
use tidings_core::delivery::Outcome;
use tidings_core::store::{PassEnd, StoreError};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
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

impl BatchWorker {
    /// Sends to every member whose turn it is, records what became of it, and ends the claim.
    pub(super) async fn run(&self, leased: &LeasedBatch) -> Result<PassEnd, StoreError> {
        let store = &self.sender.store;
        let mut recorder = Recorder::new(
            Arc::clone(store),
            Arc::clone(&self.sender.clock),
            leased.lease.clone(),
            self.sender.policy.record_outcomes,
        );
        let sent = self.send_all(leased, &mut recorder).await;
        // What was answered is recorded even if the pass broke off.
        let recorded = recorder.flush().await;
        recorder.report(&leased.batch);
        sent.and(recorded)?;
        store
            .finish_pass(&leased.lease, self.sender.clock.now())
            .await
    }

    async fn send_all(
        &self,
        leased: &LeasedBatch,
        recorder: &mut Recorder,
    ) -> Result<(), StoreError> {
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

        // Tasks, not futures of this one: those stand still whenever this task waits for the store,
        // and one that was just handed what this task waits for would hold it for ever.
        let mut under_way = JoinSet::new();
        let mut record_due = interval(self.sender.policy.record_interval);
        record_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for chunk in unsettled.chunks(LOADED_AT_ONCE) {
            let members = store
                .load_members(batch, chunk.to_vec(), self.sender.clock.now())
                .await?;
            for member in members {
                let permit = loop {
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => {
                            return self.drain(under_way, recorder).await;
                        }
                        Some(ended) = under_way.join_next() => {
                            recorder.add(outcome(ended)?).await?;
                        }
                        _ = record_due.tick() => recorder.flush().await?,
                        permit = Arc::clone(&self.deliveries).acquire_owned() => break permit,
                    }
                };
                let (sender, batch) = (Arc::clone(&self.sender), Arc::clone(&shared_batch));
                let message = Arc::clone(&message);
                under_way.spawn(async move {
                    let outcome = sender.deliver(&batch, &message, member).await;
                    drop(permit);
                    outcome
                });
            }
        }
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.drain(under_way, recorder).await,
                next = under_way.join_next() => match next {
                    Some(ended) => recorder.add(outcome(ended)?).await?,
                    None => return Ok(()),
                },
                _ = record_due.tick() => recorder.flush().await?,
            }
        }
    }

    /// Waits for the answers that are under way, but not for ever. What has none by then is sent
    /// again after the next start.
    async fn drain(
        &self,
        mut under_way: JoinSet<Result<Outcome, StoreError>>,
        recorder: &mut Recorder,
    ) -> Result<(), StoreError> {
        let limit = tokio::time::sleep(self.sender.policy.drain);
        let mut limit = std::pin::pin!(limit);
        loop {
            tokio::select! {
                next = under_way.join_next() => match next {
                    Some(ended) => recorder.add(outcome(ended)?).await?,
                    None => return Ok(()),
                },
                () = &mut limit => return Ok(()),
            }
        }
    }
}

/// What a delivery came to. Its panic goes on here: whoever supervises the pass deals with it.
fn outcome(ended: Result<Result<Outcome, StoreError>, JoinError>) -> Result<Outcome, StoreError> {
    ended.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => Err(StoreError::Unavailable(Box::new(error))),
    })
}
