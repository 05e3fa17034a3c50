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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Case {
        name: &'static str,
        /// Milliseconds since the beginning, and what happened: `None` is an answer.
        events: &'static [(u64, Option<Failure>)],
        opens: bool,
    }

    const UNREACHABLE: Option<Failure> = Some(Failure::Unreachable);
    const UNANSWERED: Option<Failure> = Some(Failure::Unanswered);

    const CASES: &[Case] = &[
        Case {
            name: "four connections that fail",
            events: &[
                (0, UNREACHABLE),
                (1, UNREACHABLE),
                (2, UNREACHABLE),
                (9000, UNREACHABLE),
            ],
            opens: false,
        },
        Case {
            name: "five connections that fail",
            events: &[
                (0, UNREACHABLE),
                (0, UNREACHABLE),
                (0, UNREACHABLE),
                (0, UNREACHABLE),
                (0, UNREACHABLE),
            ],
            opens: true,
        },
        Case {
            name: "an answer between",
            events: &[
                (0, UNREACHABLE),
                (0, UNREACHABLE),
                (0, UNREACHABLE),
                (0, UNREACHABLE),
                (0, None),
                (0, UNREACHABLE),
            ],
            opens: false,
        },
        Case {
            name: "requests of one connection that breaks",
            events: &[
                (0, UNANSWERED),
                (0, UNANSWERED),
                (0, UNANSWERED),
                (0, UNANSWERED),
                (0, UNANSWERED),
                (1999, UNANSWERED),
            ],
            opens: false,
        },
        Case {
            name: "requests that nobody answers for a while",
            events: &[
                (0, UNANSWERED),
                (0, UNANSWERED),
                (0, UNANSWERED),
                (0, UNANSWERED),
                (2000, UNANSWERED),
            ],
            opens: true,
        },
        Case {
            name: "too few of them",
            events: &[(0, UNANSWERED), (2000, UNANSWERED), (4000, UNANSWERED)],
            opens: false,
        },
        Case {
            name: "both kinds together",
            events: &[
                (0, UNANSWERED),
                (0, UNREACHABLE),
                (0, UNANSWERED),
                (0, UNREACHABLE),
                (2000, UNANSWERED),
            ],
            opens: true,
        },
    ];

    #[test]
    fn it_opens_for_an_origin_that_cannot_be_reached_and_for_no_other() {
        let (policy, began) = (MannersPolicy::default(), Instant::now());
        for case in CASES {
            let mut breaker = Breaker::new();
            let mut opened = false;
            for (at, event) in case.events {
                let now = began + Duration::from_millis(*at);
                match event {
                    Some(failure) => opened |= breaker.failed(*failure, false, now, 0, &policy),
                    None => assert!(!breaker.answered(), "{}", case.name),
                }
            }
            assert_eq!(opened, case.opens, "{}", case.name);
            assert_eq!(breaker.open_since().is_some(), case.opens, "{}", case.name);
        }
    }

    /// An open one, and when it opened. Without jitter: half of each distance.
    fn open() -> (Breaker, Instant, MannersPolicy) {
        let (policy, now) = (MannersPolicy::default(), Instant::now());
        let mut breaker = Breaker::new();
        for _ in 0..policy.breaker_failures {
            breaker.failed(Failure::Unreachable, false, now, 0, &policy);
        }
        (breaker, now, policy)
    }

    #[test]
    fn what_was_under_way_when_it_opened_makes_nothing_worse() {
        let (mut breaker, now, policy) = open();
        let before = breaker.wait(now, &policy);
        for _ in 0..1000 {
            assert!(!breaker.failed(Failure::Unreachable, false, now, 0, &policy));
        }
        assert_eq!(breaker.wait(now, &policy), before);
        assert_eq!(before, SECOND / 2);
    }

    #[test]
    fn one_probe_at_a_time_at_growing_distances() {
        let (mut breaker, mut now, policy) = open();
        let mut distances = Vec::new();
        for _ in 0..9 {
            let wait = breaker.wait(now, &policy);
            distances.push(wait.as_millis());
            now += wait;
            assert!(breaker.begin(now), "as a probe");
            assert!(breaker.wait(now, &policy) > Duration::ZERO, "the only one");
            breaker.failed(Failure::Unanswered, true, now, 0, &policy);
        }
        assert_eq!(
            distances,
            [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
        );
        assert!(breaker.answered());
        assert!(!breaker.begin(now), "as any other");
    }

    #[test]
    fn a_probe_that_nobody_hears_of_again_is_not_waited_for_without_end() {
        let (mut breaker, mut now, policy) = open();
        now += SECOND;
        assert!(breaker.begin(now));
        now += policy.probe_patience;
        assert_eq!(breaker.wait(now, &policy), Duration::ZERO);
    }

    #[test]
    fn jitter_only_shortens() {
        let (policy, now) = (MannersPolicy::default(), Instant::now());
        for jitter in [0, 1, u64::MAX / 3, u64::MAX - 1, u64::MAX] {
            let mut breaker = Breaker::new();
            for _ in 0..policy.breaker_failures {
                breaker.failed(Failure::Unreachable, false, now, jitter, &policy);
            }
            let wait = breaker.wait(now, &policy);
            assert!((SECOND / 2..=SECOND).contains(&wait), "{jitter}: {wait:?}");
        }
    }
}
