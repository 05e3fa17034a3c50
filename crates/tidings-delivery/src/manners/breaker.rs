//! Leaves an origin alone that cannot be reached, and lets single probes through.
//!
//! Any answer, however unwelcome, closes the breaker: whoever answers can be reached. What answers
//! badly is left to `distress` and to each delivery's own retries.

use std::time::Duration;

use tokio::time::Instant;

use crate::manners::policy::MannersPolicy;
use crate::manners::probe::Probing;

/// How a request failed to be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// There was no connection for it.
    Unreachable,
    /// It was begun, and timed out or broke.
    Unanswered,
}

#[derive(Debug)]
pub(super) enum Breaker {
    /// Everything passes. Failures since the last answer, and when the first of them was.
    Closed {
        unreachable: u32,
        unanswered: u32,
        since: Option<Instant>,
    },
    /// Only probes pass.
    Open { since: Instant, probing: Probing },
}

impl Breaker {
    pub(super) const fn new() -> Self {
        Self::Closed {
            unreachable: 0,
            unanswered: 0,
            since: None,
        }
    }

    /// Since when the origin is left alone.
    pub(super) fn open_since(&self) -> Option<Instant> {
        match self {
            Self::Closed { .. } => None,
            Self::Open { since, .. } => Some(*since),
        }
    }

    /// How long until something may pass; zero if it may at once.
    pub(super) fn wait(&self, now: Instant, policy: &MannersPolicy) -> Duration {
        match self {
            Self::Closed { .. } => Duration::ZERO,
            Self::Open { probing, .. } => probing.wait(now, policy),
        }
    }

    /// Something passes, now that there is no wait. Whether it is a probe: how that ends must be
    /// said.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        match self {
            Self::Closed { .. } => false,
            Self::Open { probing, .. } => {
                probing.begin(now);
                true
            }
        }
    }

    /// The origin answered. Whether that is news.
    pub(super) fn answered(&mut self) -> bool {
        let was_open = matches!(self, Self::Open { .. });
        *self = Self::new();
        was_open
    }

    /// A probe was not sent after all.
    pub(super) fn probe_not_sent(&mut self) {
        if let Self::Open { probing, .. } = self {
            probing.not_sent();
        }
    }

    /// A request had no answer. `jitter` are uniform random bits. Whether the breaker has opened.
    pub(super) fn failed(
        &mut self,
        failure: Failure,
        was_probe: bool,
        now: Instant,
        jitter: u64,
        policy: &MannersPolicy,
    ) -> bool {
        match self {
            Self::Open { probing, .. } => {
                // What was under way when it opened fails as well, and says nothing new.
                if was_probe {
                    probing.failed(now, policy.breaker_longest, jitter);
                }
                false
            }
            Self::Closed {
                unreachable,
                unanswered,
                since,
            } => {
                match failure {
                    Failure::Unreachable => *unreachable += 1,
                    Failure::Unanswered => *unanswered += 1,
                }
                let first = *since.get_or_insert(now);
                let silent = now.saturating_duration_since(first) >= policy.breaker_silence;
                let enough = |failures: u32| failures >= policy.breaker_failures;
                let opens = enough(*unreachable) || (silent && enough(*unanswered + *unreachable));
                if opens {
                    let probing = Probing::new(now, policy.breaker_first, jitter);
                    *self = Self::Open {
                        since: now,
                        probing,
                    };
                }
                opens
            }
        }
    }
}
