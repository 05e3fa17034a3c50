//! Members that a pass leaves for another one, and when that is worth beginning.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::batch::Batch;
use tidings_core::store::SendTarget;
use tokio::time::Instant;

use crate::engine::sender::visitor;
use crate::manners::{Entry, Manners};

/// Reasons that are looked at again at the end of the pass, when its answers are known.
const MOST_REASONS: usize = 16;

#[derive(Default)]
pub(super) struct LeftOut {
    /// One member for each reason, which is an origin or a key there that is left alone.
    reasons: Vec<SendTarget>,
    /// When the first of all the others may be tried.
    others_at: Option<Instant>,
}

impl LeftOut {
    /// A member is left out, as its origin or its key is left alone until an instant.
    pub(super) fn add(&mut self, target: SendTarget, until: Instant) {
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
            self.try_at(until);
        }
    }

    /// A member is left out until an instant, whatever answers come until then.
    pub(super) fn try_at(&mut self, at: Instant) {
        self.others_at = Some(self.others_at.map_or(at, |other| other.min(at)));
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

/// Rounded up, as instants are kept in milliseconds: rounded down, the batch would be claimed again
/// and again for the rest of one.
fn whole_milliseconds(wait: Duration) -> Duration {
    let milliseconds = wait.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_millisecond_is_waited_for() {
        let rounded = |nanoseconds| whole_milliseconds(Duration::from_nanos(nanoseconds));
        assert_eq!(rounded(1), Duration::from_millis(1));
        assert_eq!(rounded(2_000_000), Duration::from_millis(2));
        assert_eq!(rounded(0), Duration::ZERO);
    }
}
