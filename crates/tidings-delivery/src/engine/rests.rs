//! How long a batch rests after a pass that failed: longer each time, or a lasting fault would be
//! retried, and messages repeated, without end and without pause.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_core::batch::BatchId;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// Batches whose failures are remembered; those that came before start again.
const MOST: usize = 10_000;

/// Which batches failed how often, one time after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Rests {
    failures: Arc<Mutex<HashMap<BatchId, u32>>>,
}

impl Rests {
    /// A pass failed: how long the batch rests.
    pub(super) fn failed(&self, batch: BatchId) -> Duration {
        let mut failures = self.lock();
        if failures.len() >= MOST {
            failures.clear();
        }
        let before = failures.entry(batch).or_default();
        let rest = FIRST.saturating_mul(1_u32.checked_shl(*before).unwrap_or(u32::MAX));
        *before += 1;
        rest.min(LONGEST)
    }

    /// Whether its last pass failed.
    pub(super) fn has_failed(&self, batch: BatchId) -> bool {
        self.lock().contains_key(&batch)
    }

    /// A pass went well.
    pub(super) fn went_well(&self, batch: BatchId) {
        self.lock().remove(&batch);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BatchId, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_until_a_pass_goes_well() {
        let rests = Rests::default();
        let batch = BatchId::from_i64(1);
        let seconds: Vec<u64> = (0..10).map(|_| rests.failed(batch).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(rests.failed(BatchId::from_i64(2)), FIRST);
        assert!(rests.has_failed(batch));
        rests.went_well(batch);
        assert!(!rests.has_failed(batch));
        assert_eq!(rests.failed(batch), FIRST);
        assert_eq!((0..100).map(|_| rests.failed(batch)).max(), Some(LONGEST));
    }
}
