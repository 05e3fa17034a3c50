use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// What one subscription got. Kept for each of a million, so it is small.
#[derive(Default)]
pub(crate) struct DeliveryCounters {
    received: AtomicU32,
    duplicates: AtomicU32,
    /// The period in which it last got something; they begin with 1.
    reached_in: AtomicU16,
}

impl DeliveryCounters {
    /// Counts one more message; true if it is the first in this period.
    pub(crate) fn count_message(&self, period: u16) -> bool {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.reached_in.swap(period, Ordering::Relaxed) != period
    }

    pub(crate) fn count_duplicate(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn received(&self) -> u32 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn duplicates(&self) -> u32 {
        self.duplicates.load(Ordering::Relaxed)
    }
}
