//! Whether the wall clock was set back, seen by the time that cannot be set.

use std::time::Duration;

use tidings_core::clock::Timestamp;
use tokio::time::Instant;

/// Clocks are adjusted all the time, by little.
const LEAST: Duration = Duration::from_mins(1);

/// What was answered before the clock was set back is recorded by then, and waits for a time that was
/// reckoned from the old one.
const AGAIN: Duration = Duration::from_secs(2);

/// What both clocks said last.
#[derive(Debug)]
pub(super) struct ClockWatch {
    wall: Timestamp,
    at: Instant,
    /// When to look once more at what the last jump left behind.
    again_at: Option<Instant>,
}

/// What there is to do after the clock was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetBack {
    Now,
    /// Seen before; what was under way then has been recorded meanwhile.
    Before,
}

impl ClockWatch {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            wall: now,
            at: Instant::now(),
            again_at: None,
        }
    }

    /// Whether it was set back by more than a little since the last look, or a while ago. It stays so
    /// until that was [heeded](Self::heeded).
    pub(super) fn set_back(&mut self, now: Timestamp) -> Option<SetBack> {
        let expected = self.wall.plus(self.at.elapsed());
        if now.plus(LEAST) < expected {
            return Some(SetBack::Now);
        }
        (self.wall, self.at) = (now, Instant::now());
        let is_due = self.again_at.is_some_and(|at| at <= self.at);
        is_due.then_some(SetBack::Before)
    }

    pub(super) fn heeded(&mut self, what: SetBack, now: Timestamp) {
        *self = Self::new(now);
        if what == SetBack::Now {
            self.again_at = Some(self.at + AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_back_is_heeded_twice() {
        let start = Timestamp::from_millis(1_000_000_000);
        let mut watch = ClockWatch::new(start);
        advance(AGAIN).await;
        assert_eq!(watch.set_back(start.plus(AGAIN)), None);
        let back = start.minus(Duration::from_hours(1));
        for _ in 0..2 {
            assert_eq!(watch.set_back(back), Some(SetBack::Now));
        }
        watch.heeded(SetBack::Now, back);
        assert_eq!(watch.set_back(back), None);
        advance(AGAIN).await;
        let later = back.plus(AGAIN);
        for _ in 0..2 {
            assert_eq!(watch.set_back(later), Some(SetBack::Before));
        }
        watch.heeded(SetBack::Before, later);
        advance(AGAIN).await;
        assert_eq!(watch.set_back(later.plus(AGAIN)), None);
    }
}
