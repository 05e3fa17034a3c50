//! Members that wait for another attempt which may come due while their pass goes on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tidings_core::batch::Position;
use tidings_core::clock::Timestamp;
use tokio::time::Instant;

/// At most as many as the batch has members: whoever is tried again is taken out before.
#[derive(Default)]
pub(super) struct NextAttempts {
    /// In monotonic time: a clock that is set moves nobody's turn.
    waiting: BinaryHeap<Reverse<(Instant, Position)>>,
}

impl NextAttempts {
    /// A member waits until `at`; the clock shows `now`.
    pub(super) fn add(&mut self, position: Position, at: Timestamp, now: Timestamp) {
        // Beyond the end of time, no pass waits for it.
        if let Some(at) = Instant::now().checked_add(at.since(now)) {
            self.waiting.push(Reverse((at, position)));
        }
    }

    /// When the first is due.
    pub(super) fn first_at(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out all that are due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Position> {
        let mut due = Vec::new();
        while self.first_at().is_some_and(|at| at <= now) {
            due.extend(self.waiting.pop().map(|Reverse((_, position))| position));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_is_due_at_its_instant_and_taken_once() {
        let clock = Timestamp::from_millis(1000);
        let mut waiting = NextAttempts::default();
        assert_eq!(waiting.first_at(), None);
        for (position, at) in [(1, 1500), (2, 900), (3, 1200), (4, i64::MAX)] {
            waiting.add(Position(position), Timestamp::from_millis(at), clock);
        }
        let now = Instant::now();
        let at = |milliseconds| now + Duration::from_millis(milliseconds);
        assert_eq!(waiting.first_at(), Some(now), "it was due before");
        assert_eq!(waiting.take_due(at(0)), [Position(2)]);
        assert_eq!(waiting.take_due(at(199)), []);
        assert_eq!(waiting.take_due(at(600)), [Position(3), Position(1)]);
    }
}
