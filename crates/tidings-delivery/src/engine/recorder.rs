//! Collects the outcomes of a pass and records them in bulk, under the lease.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::batch::{Batch, Lease, LeasedBatch};
use tidings_core::clock::{Clock, Timestamp};
use tidings_core::delivery::{Outcome, OutcomeKind};
use tidings_core::metrics::Metrics;
use tidings_core::store::{PassEnd, PassTimes, SendingStore, StoreError};
use tokio::time::Instant;

use crate::engine::backlog::{Backlog, Waiting};
use crate::engine::next_attempts::NextAttempts;
use crate::engine::pass_report::PassReport;
use crate::engine::record_health::RecordHealth;

/// How long to wait before the store is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// What recorders of all passes share.
#[derive(Clone)]
pub(super) struct Recording {
    pub(super) store: Arc<dyn SendingStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) health: RecordHealth,
    pub(super) metrics: Arc<Metrics>,
    pub(super) backlog: Backlog,
}

pub(super) struct Recorder {
    shared: Recording,
    lease: Lease,
    /// When the pass looked last who is due.
    looked_at: Timestamp,
    outcomes: Vec<Outcome>,
    /// One for each outcome.
    waiting: Vec<Waiting>,
    report: PassReport,
    /// Those of whom it is recorded that there will be another attempt.
    pub(super) next_attempts: NextAttempts,
}

impl Recording {
    /// Asks the store for what a pass needs, for so long if it is not available.
    pub(super) async fn insist_on_reading<T, F>(
        &self,
        read: impl Fn() -> F,
        patience: Duration,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.insist(read, Some(Instant::now() + patience)).await
    }

    /// Asks the store until it is available, or until then.
    async fn insist<T, F>(
        &self,
        ask: impl Fn() -> F,
        until: Option<Instant>,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut trouble = None;
        loop {
            let asked = ask().await;
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            match asked {
                Err(error) if error.is_transient() && !is_over => {
                    trouble.get_or_insert_with(|| self.health.trouble(&error));
                    tokio::time::sleep(PAUSE).await;
                }
                answered => return answered,
            }
        }
    }
}

impl Recorder {
    /// For a claimed batch.
    pub(super) fn new(shared: Recording, leased: &LeasedBatch) -> Self {
        Self {
            looked_at: shared.clock.now(),
            shared: Recording {
                backlog: shared.backlog.of(leased.batch.lane),
                ..shared
            },
            lease: leased.lease.clone(),
            outcomes: Vec::new(),
            waiting: Vec::new(),
            report: PassReport::default(),
            next_attempts: NextAttempts::default(),
        }
    }

    /// The pass looks who is due.
    pub(super) fn look(&mut self) {
        self.looked_at = self.shared.clock.now();
    }

    pub(super) fn backlog(&self) -> &Backlog {
        &self.shared.backlog
    }

    /// Takes an outcome, which counts as waiting since it is known.
    pub(super) fn add(&mut self, outcome: Outcome, waiting: Waiting) {
        self.report.note(&outcome);
        self.outcomes.push(outcome);
        self.waiting.push(waiting);
    }

    /// Whether there is enough of this pass alone.
    pub(super) fn has_many(&self) -> bool {
        self.outcomes.len() >= self.shared.backlog.enough()
    }

    /// Records what waits if there is enough, of all passes together.
    pub(super) async fn flush_if_many(&mut self) -> Result<(), StoreError> {
        if self.shared.backlog.is_enough() {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Records what waits, however long the store is not available: what was sent must not be sent
    /// again.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        if self.outcomes.is_empty() {
            return Ok(());
        }
        let outcomes = std::mem::take(&mut self.outcomes);
        let waiting = std::mem::take(&mut self.waiting);
        let Recording { store, clock, .. } = &self.shared;
        let record = || store.record(&self.lease, outcomes.clone(), clock.now());
        let recorded = self.insist(record).await;
        drop(waiting);
        let recorded = recorded?;
        self.shared.metrics.recorded(&outcomes);
        self.report.suspected(recorded.suspected);
        self.expect_retries(&outcomes);
        Ok(())
    }

    fn expect_retries(&mut self, recorded: &[Outcome]) {
        for outcome in recorded {
            if let OutcomeKind::Retrying { next_attempt_at } = outcome.kind {
                let now = self.shared.clock.now();
                self.next_attempts
                    .add(outcome.position, next_attempt_at, now);
            }
        }
    }

    /// Ends the pass. Members without an outcome are due at `resume_at`, or at once.
    pub(super) async fn finish(&self, resume_at: Option<Timestamp>) -> Result<PassEnd, StoreError> {
        let Recording { store, clock, .. } = &self.shared;
        let finish = || {
            let times = PassTimes {
                looked_at: self.looked_at,
                now: clock.now(),
                resume_at,
            };
            store.finish_pass(&self.lease, times)
        };
        self.insist(finish).await
    }

    /// Tells the operator what the pass met.
    pub(super) fn report(&self, batch: &Batch) {
        self.report.tell(batch);
    }

    async fn insist<T, F>(&self, write: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let written = || async {
            let written = write().await;
            if written.as_ref().is_err_and(StoreError::is_transient) {
                self.shared.metrics.record_failed();
            }
            written
        };
        self.shared.insist(written, None).await
    }
}
