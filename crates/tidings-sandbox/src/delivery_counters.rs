use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, Ordering};

/// What one subscription got. Kept for each of ten million, so it is small: sixteen octets.
#[derive(Default)]
pub(crate) struct DeliveryCounters {
    posts: AtomicU32,
    received: AtomicU32,
    duplicates: AtomicU16,
    decrypted: AtomicU16,
    /// The period in which it last got something; they begin with 1.
    reached_in: AtomicU16,
    undrawn: AtomicU8,
    ended: AtomicBool,
}

impl DeliveryCounters {
    /// Counts one more POST, whatever came of it, and says how many there were before.
    pub(crate) fn count_post(&self) -> u32 {
        self.posts.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts one more POST whose answer no chance decided that others share in.
    pub(crate) fn count_undrawn(&self) {
        // At its largest value it stays: that is no error.
        let _ = self
            .undrawn
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                count.checked_add(1)
            });
    }

    /// How many those were. Stops at 255.
    pub(crate) fn undrawn(&self) -> u8 {
        self.undrawn.load(Ordering::Relaxed)
    }

    /// Counts one more message; true if it is the first in this period.
    pub(crate) fn count_message(&self, period: u16) -> bool {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.reached_in.swap(period, Ordering::Relaxed) != period
    }

    pub(crate) fn count_duplicate(&self) {
        increment(&self.duplicates);
    }

    pub(crate) fn count_decrypted(&self) {
        increment(&self.decrypted);
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn posts(&self) -> u32 {
        self.posts.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> u32 {
        self.received.load(Ordering::Relaxed)
    }

    /// Stops at 65 535.
    pub(crate) fn duplicates(&self) -> u16 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// Stops at 65 535.
    pub(crate) fn decrypted(&self) -> u16 {
        self.decrypted.load(Ordering::Relaxed)
    }
}

fn increment(counter: &AtomicU16) {
    // At its largest value it stays: that is no error.
    let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
        count.checked_add(1)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_counter_stops_where_it_cannot_go_on() {
        let counter = AtomicU16::new(u16::MAX - 1);
        increment(&counter);
        increment(&counter);
        assert_eq!(counter.into_inner(), u16::MAX);
    }
}
