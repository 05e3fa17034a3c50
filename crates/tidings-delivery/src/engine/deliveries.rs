//! The deliveries of a pass that are under way, and where their outcomes go.

use std::time::Duration;

use tidings_core::store::StoreError;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::engine::aside::PATIENCE;
use crate::engine::backlog::Waiting;
use crate::engine::left_out::LeftOut;
use crate::engine::pass::PassError;
use crate::engine::recorder::Recorder;
use crate::engine::sender::Delivered;

/// What became of a delivery, with its place in the backlog, which it has from the instant it is
/// known.
type Counted = Result<(Delivered, Waiting), StoreError>;

pub(super) type Ended = Result<Counted, JoinError>;

pub(super) struct Deliveries {
    /// Tasks, not futures of the pass: those stand still whenever the pass waits for the store, and
    /// one that was just handed what the pass waits for would hold it for ever.
    under_way: JoinSet<Counted>,
    record_due: Interval,
    pub(super) recorder: Recorder,
    pub(super) left_out: LeftOut,
}

impl Deliveries {
    pub(super) fn new(recorder: Recorder, record_interval: Duration) -> Self {
        let mut record_due = interval(record_interval);
        record_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            under_way: JoinSet::new(),
            record_due,
            recorder,
            left_out: LeftOut::default(),
        }
    }

    pub(super) fn begin(
        &mut self,
        delivery: impl Future<Output = Result<Delivered, StoreError>> + Send + 'static,
    ) {
        let backlog = self.recorder.backlog().clone();
        self.under_way
            .spawn(async move { Ok((delivery.await?, backlog.add())) });
    }

    pub(super) fn are_over(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The next one that ended; `None` when it is time to record. Not awaiting it to its end loses
    /// nothing, unlike [`Self::take`].
    pub(super) async fn next(&mut self) -> Option<Ended> {
        tokio::select! {
            biased;
            Some(ended) = self.under_way.join_next() => Some(ended),
            _ = self.record_due.tick() => None,
        }
    }

    /// Takes all that have ended, without waiting for any, and records whenever there are enough.
    pub(super) async fn take_ended(&mut self) -> Result<(), PassError> {
        while let Some(ended) = self.under_way.try_join_next() {
            self.add(ended)?;
            if self.recorder.has_many() {
                self.recorder.flush().await?;
            }
        }
        Ok(self.recorder.flush_if_many().await?)
    }

    pub(super) async fn take(&mut self, ended: Option<Ended>) -> Result<(), PassError> {
        match ended {
            Some(ended) => {
                self.add(ended)?;
                self.take_ended().await
            }
            None => Ok(self.recorder.flush().await?),
        }
    }

    fn add(&mut self, ended: Ended) -> Result<(), PassError> {
        let (delivered, waiting) = ended??;
        match delivered {
            Delivered::Known(outcome) => self.recorder.add(outcome, waiting),
            Delivered::NoRoom(position) => {
                self.left_out.until(Instant::now() + PATIENCE, [position]);
            }
            Delivered::Stopping => {}
        }
        Ok(())
    }

    /// Waits for the answers that are under way, and records them. Once the engine stops, no longer
    /// than `limit`; what has none by then is sent again later.
    pub(super) async fn drain(
        &mut self,
        stop: &CancellationToken,
        limit: Duration,
    ) -> Result<(), PassError> {
        let mut limit = std::pin::pin!(async {
            stop.cancelled().await;
            tokio::time::sleep(limit).await;
        });
        let mut failed = Ok(());
        while !self.under_way.is_empty() {
            let ended = tokio::select! {
                biased;
                ended = self.next() => ended,
                () = &mut limit => break,
            };
            match ended {
                Some(ended) => {
                    failed = self.add(ended).and(failed);
                    self.recorder.flush_if_many().await?;
                }
                None => self.recorder.flush().await?,
            }
        }
        self.recorder.flush().await?;
        failed
    }
}
