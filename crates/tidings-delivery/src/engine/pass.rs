//! What a pass over a batch knows while it is under way.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::batch::{Batch, Position};
use tidings_core::store::StoreError;
use tokio::task::JoinError;
use tokio::time::Instant;

use crate::engine::aside::Aside;
use crate::engine::deliveries::Deliveries;
use crate::engine::sender::BatchMessage;
use crate::engine::shares::OpenBatch;

/// Who comes due within so long is tried again together: looking who does costs a read.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Why a pass broke off. What was answered until then is recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a delivery ended without an outcome: {0}")]
    Delivery(#[from] JoinError),
}

/// A pass under way.
pub(super) struct Pass {
    pub(super) batch: Arc<Batch>,
    pub(super) message: Arc<BatchMessage>,
    pub(super) deliveries: Deliveries,
    /// Members whose origin had no room, while there may be some for others.
    pub(super) aside: Aside,
    /// Gone when all that can be posted at once is.
    pub(super) open: Option<OpenBatch>,
    /// Nobody is tried again before this instant.
    pub(super) look_after: Instant,
    /// How long is tried to read what it needs.
    pub(super) patience: Duration,
}

/// Whether a pass goes on.
#[derive(PartialEq, Eq)]
pub(super) enum Onward {
    Yes,
    /// The engine stops, or nobody of this push service is sent to for now.
    No,
}

impl Pass {
    /// When somebody is to be tried again: whose next attempt is due then, or who was left out.
    pub(super) fn look_at(&self) -> Option<Instant> {
        let next_attempt = self.deliveries.recorder.next_attempts.first_at();
        let first = next_attempt
            .into_iter()
            .chain(self.deliveries.left_out.first_at())
            .min()?;
        Some(first.max(self.look_after))
    }

    /// Takes out all who may be tried again.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Position> {
        self.look_after = now + BETWEEN_LOOKS;
        let mut due = self.deliveries.recorder.next_attempts.take_due(now);
        due.extend(self.deliveries.left_out.take_due(now));
        // As a store reads them best.
        due.sort_unstable();
        due
    }
}
