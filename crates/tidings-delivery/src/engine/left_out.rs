//! Members that a pass leaves out, and when it is worth trying them: in the same pass, while that
//! waits for answers, or in another.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::batch::{Batch, Position};
use tidings_core::store::SendTarget;
use tokio::time::Instant;

use crate::engine::sender::visitor;
use crate::manners::{Entry, Manners};

/// Reasons that are looked at again at the end of the pass, when its answers are known.
const MOST_REASONS: usize = 16;

/// How soon a pass tries them again, at first and at last: each time costs loading all of them.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(32);

#[derive(Default)]
pub(super) struct LeftOut {
    /// One member for each reason, which is an origin or a key there that is left alone.
    reasons: Vec<SendTarget>,
    /// When the first of all the others may be tried.
    others_at: Option<Instant>,
    positions: Vec<Position>,
    /// When the first of all may be tried.
    first_at: Option<Instant>,
    /// When the pass may try them again, and how long it lets them be after that.
    not_before: Option<Instant>,
    rest: Duration,
}

impl LeftOut {
    /// A member is left out, as its origin or its key is left alone until an instant.
    pub(super) fn add(&mut self, position: Position, target: SendTarget, until: Instant) {
        self.positions.push(position);
        at_the_latest(&mut self.first_at, until);
        let of = |target: &SendTarget| {
            let origin = target.subscription.push_resource.origin().to_owned();
            (origin, target.vapid_key)
        };
        let reason = of(&target);
        if self.reasons.iter().any(|other| of(other) == reason) {
            return;
        }
        if self.reasons.len() < MOST_REASONS {
            self.reasons.push(target);
        } else {
            at_the_latest(&mut self.others_at, until);
        }
    }

    /// Members are left out until an instant, whatever answers come until then.
    pub(super) fn until(&mut self, at: Instant, positions: impl IntoIterator<Item = Position>) {
        let before = self.positions.len();
        self.positions.extend(positions);
        if self.positions.len() > before {
            at_the_latest(&mut self.others_at, at);
            at_the_latest(&mut self.first_at, at);
        }
    }

    /// Members come after one that is left out as its push service is left alone.
    pub(super) fn behind(&mut self, positions: impl IntoIterator<Item = Position>) {
        self.positions.extend(positions);
    }

    /// When the pass may try them again.
    pub(super) fn first_at(&self) -> Option<Instant> {
        let first = self.first_at?;
        Some(self.not_before.map_or(first, |at| first.max(at)))
    }

    /// Takes them out, if they may be tried.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Position> {
        if self.first_at().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let rest = (self.rest * 2).clamp(SOONEST, LATEST);
        let due = Self {
            not_before: Some(now + rest),
            rest,
            ..Self::default()
        };
        std::mem::replace(self, due).positions
    }

    /// How long it is until the first of them may be tried: answers of the pass may have shown that
    /// there is no reason to wait any more. `None` if nobody was left out.
    pub(super) fn wait(&self, batch: &Batch, manners: &Arc<Manners>) -> Option<Duration> {
        let now = Instant::now();
        let waits =
            self.reasons
                .iter()
                .map(|target| match manners.enter(&visitor(batch, target), now) {
                    Entry::Later(wait) => wait,
                    Entry::Go(_) | Entry::Full(_) => Duration::ZERO,
                });
        let others = self.others_at.map(|at| at.saturating_duration_since(now));
        waits.chain(others).min().map(whole_milliseconds)
    }
}

/// Makes it `at`, unless it is earlier.
fn at_the_latest(instant: &mut Option<Instant>, at: Instant) {
    *instant = Some(instant.map_or(at, |earlier| earlier.min(at)));
}

/// Rounded up, as instants are kept in milliseconds: rounded down, the batch would be claimed again
/// and again for the rest of one.
fn whole_milliseconds(wait: Duration) -> Duration {
    let milliseconds = wait.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pass_tries_them_again_at_growing_distances() {
        let began = Instant::now();
        let mut left_out = LeftOut::default();
        let mut tried = Vec::new();
        for _ in 0..8 {
            let at = left_out.first_at().unwrap_or(began);
            left_out.behind([Position(2)]);
            left_out.until(at, [Position(1)]);
            let at = left_out.first_at().unwrap();
            assert_eq!(left_out.take_due(at), [Position(2), Position(1)]);
            assert_eq!(left_out.first_at(), None, "nobody is left");
            tried.push(at.saturating_duration_since(began).as_secs());
        }
        assert_eq!(tried, [0, 1, 3, 7, 15, 31, 63, 95]);
        assert_eq!(left_out.take_due(began), []);
    }

    #[test]
    fn a_part_of_a_millisecond_is_waited_for() {
        let rounded = |nanoseconds| whole_milliseconds(Duration::from_nanos(nanoseconds));
        assert_eq!(rounded(1), Duration::from_millis(1));
        assert_eq!(rounded(2_000_000), Duration::from_millis(2));
        assert_eq!(rounded(0), Duration::ZERO);
    }
}
