//! Collects the outcomes of a pass and records them in bulk, under the lease.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::batch::{Batch, Lease};
use tidings_core::clock::Clock;
use tidings_core::delivery::Outcome;
use tidings_core::store::{Store, StoreError};

use crate::engine::pass_report::PassReport;

/// How long to wait before recording is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// How often recording is tried while the store says that it may work later. With [`PAUSE`] this
/// is half a minute; past that the batch is given up, and its unrecorded sends are repeated.
const TRIES: u32 = 60;

pub(super) struct Recorder {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    lease: Lease,
    waiting: Vec<Outcome>,
    most: usize,
    report: PassReport,
}

impl Recorder {
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        lease: Lease,
        most: usize,
    ) -> Self {
        Self {
            store,
            clock,
            lease,
            waiting: Vec::new(),
            most,
            report: PassReport::default(),
        }
    }

    /// Takes an outcome, and records when there are enough.
    pub(super) async fn add(&mut self, outcome: Outcome) -> Result<(), StoreError> {
        self.report.note(&outcome);
        self.waiting.push(outcome);
        if self.waiting.len() < self.most {
            Ok(())
        } else {
            self.flush().await
        }
    }

    /// Records what waits.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let outcomes = std::mem::take(&mut self.waiting);
        let mut tries = 1;
        loop {
            let now = self.clock.now();
            match self.store.record(&self.lease, outcomes.clone(), now).await {
                Err(error) if error.is_transient() && tries < TRIES => {
                    if tries == 1 {
                        tracing::error!(%error, "outcomes cannot be recorded; trying again");
                    }
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                recorded => return recorded.map(drop),
            }
        }
    }

    /// Tells the operator what the pass met.
    pub(super) fn report(&self, batch: &Batch) {
        self.report.tell(batch);
    }
}
