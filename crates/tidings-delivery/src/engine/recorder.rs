//! Collects the outcomes of a pass and records them in bulk, under the lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidings_core::batch::{Batch, Lease};
use tidings_core::clock::{Clock, Timestamp};
use tidings_core::delivery::Outcome;
use tidings_core::metrics::Metrics;
use tidings_core::store::{PassEnd, PassTimes, SendingStore, StoreError};

use crate::engine::pass_report::PassReport;
use crate::engine::record_health::RecordHealth;

/// How long to wait before recording is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// What recorders of all passes share.
#[derive(Clone)]
pub(super) struct Recording {
    pub(super) store: Arc<dyn SendingStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) health: RecordHealth,
    pub(super) metrics: Arc<Metrics>,
    /// Outcomes are recorded when there are so many, those of all passes together: so many are
    /// forgotten when the process is killed, and those messages are sent again.
    pub(super) most: usize,
    /// How many there are.
    pub(super) unrecorded: Arc<AtomicUsize>,
}

impl Recording {
    fn forget(&self, outcomes: usize) {
        self.unrecorded.fetch_sub(outcomes, Ordering::Relaxed);
    }
}

pub(super) struct Recorder {
    shared: Recording,
    lease: Lease,
    /// When the pass began.
    began_at: Timestamp,
    waiting: Vec<Outcome>,
    report: PassReport,
}

impl Recorder {
    pub(super) fn new(shared: Recording, lease: Lease) -> Self {
        Self {
            began_at: shared.clock.now(),
            shared,
            lease,
            waiting: Vec::new(),
            report: PassReport::default(),
        }
    }

    /// Takes an outcome.
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.report.note(&outcome);
        self.waiting.push(outcome);
        self.shared.unrecorded.fetch_add(1, Ordering::Relaxed);
    }

    /// Records what waits if there is enough.
    pub(super) async fn flush_if_many(&mut self) -> Result<(), StoreError> {
        if self.shared.unrecorded.load(Ordering::Relaxed) < self.shared.most {
            Ok(())
        } else {
            self.flush().await
        }
    }

    /// Records what waits, however long the store is not available: what was sent must not be sent
    /// again.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let outcomes = std::mem::take(&mut self.waiting);
        let Recording { store, clock, .. } = &self.shared;
        let record = || store.record(&self.lease, outcomes.clone(), clock.now());
        let recorded = self.insist(record).await;
        self.shared.forget(outcomes.len());
        let recorded = recorded?;
        self.shared.metrics.recorded(&outcomes);
        self.report.suspected(recorded.suspected);
        Ok(())
    }

    /// Ends the pass. Members without an outcome are due at `resume_at`, or at once.
    pub(super) async fn finish(&self, resume_at: Option<Timestamp>) -> Result<PassEnd, StoreError> {
        let Recording { store, clock, .. } = &self.shared;
        let finish = || {
            let times = PassTimes {
                began_at: self.began_at,
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
        let mut trouble = None;
        loop {
            match write().await {
                Err(error) if error.is_transient() => {
                    self.shared.metrics.record_failed();
                    trouble.get_or_insert_with(|| self.shared.health.trouble(&error));
                    tokio::time::sleep(PAUSE).await;
                }
                written => return written,
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.forget(self.waiting.len());
    }
}
