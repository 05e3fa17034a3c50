//! Whether the wall clock was set back, seen by the time that cannot be set.

use std::time::Duration;

use tidings_core::clock::Timestamp;
use tokio::time::Instant;

/// Clocks are adjusted all the time, by little.
const LEAST: Duration = Duration::from_mins(1);

/// What both clocks said last.
#[derive(Debug)]
pub(super) struct ClockWatch {
    wall: Timestamp,
    at: Instant,
}

impl ClockWatch {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            wall: now,
            at: Instant::now(),
        }
    }

    /// By how much it was set back since the last look, if by more than a little. It stays so until
    /// a new watch begins.
    pub(super) fn set_back_by(&mut self, now: Timestamp) -> Option<Duration> {
        let expected = self.wall.plus(self.at.elapsed());
        if now.plus(LEAST) < expected {
            return Some(expected.since(now));
        }
        *self = Self::new(now);
        None
    }
}
