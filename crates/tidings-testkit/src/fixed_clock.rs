use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tidings_core::clock::{Clock, Timestamp};

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct FixedClock {
    milliseconds: AtomicI64,
}

impl FixedClock {
    /// Where [`FixedClock::default`] stands: 2025-11-24T16:00:00Z.
    pub const START: Timestamp = Timestamp::from_millis(1_764_000_000_000);

    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            milliseconds: AtomicI64::new(now.as_millis()),
        }
    }

    /// Puts it to `now`, earlier or later.
    pub fn set(&self, now: Timestamp) {
        self.milliseconds.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Moves it forward and returns the new present. Fractions of a millisecond are cut off.
    pub fn advance(&self, by: Duration) -> Timestamp {
        let milliseconds = i64::try_from(by.as_millis()).expect("tests wait for less than aeons");
        let before = self.milliseconds.fetch_add(milliseconds, Ordering::SeqCst);
        Timestamp::from_millis(before + milliseconds)
    }
}

impl Default for FixedClock {
    fn default() -> Self {
        Self::new(Self::START)
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.milliseconds.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_only_when_told() {
        let clock = FixedClock::default();
        assert_eq!(clock.now(), FixedClock::START);
        assert_eq!(clock.now(), FixedClock::START);
        let later = clock.advance(Duration::from_millis(1_500));
        assert_eq!(later, Timestamp::from_millis(1_764_000_001_500));
        assert_eq!(clock.now(), later);
        clock.set(Timestamp::from_millis(7));
        assert_eq!(clock.now(), Timestamp::from_millis(7));
    }
}
