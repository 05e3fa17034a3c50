//! Lets a VAPID key rest where a push service refuses everything that is signed with it.
//!
//! Refusals belong to deliveries: a stranger can register a subscription that was made with another
//! key. It takes many different subscriptions, nearly all of the last answers, and not one
//! acceptance between, before the key itself is at fault.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::manners::policy::MannersPolicy;
use crate::manners::probe::Probing;

/// What an answer says about the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The key is good.
    Accepted,
    /// The key is refused.
    Refused,
    /// Something else was the matter.
    Neither,
}

/// How a key's state changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    None,
    Paused,
    Resumed,
}

/// The last answers of one VAPID key at one push service.
#[derive(Debug, Default)]
pub(super) struct RefusalPause {
    /// Whether each was a refusal.
    answers: VecDeque<bool>,
    refused: usize,
    /// Endpoints that refused since the last acceptance, at most as many as are needed.
    endpoints: HashSet<u64>,
    paused: Option<Probing>,
}

impl RefusalPause {
    /// How long until something may be sent; zero if it may at once.
    pub(super) fn wait(&self, now: Instant, policy: &MannersPolicy) -> Duration {
        self.paused
            .as_ref()
            .map_or(Duration::ZERO, |probing| probing.wait(now, policy))
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Something is sent, now that there is no wait. Whether it is a probe: how that ends must be
    /// said.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        if let Some(probing) = &mut self.paused {
            probing.begin(now);
        }
        self.paused.is_some()
    }

    /// A probe was not sent, or not answered.
    pub(super) fn probe_not_sent(&mut self) {
        if let Some(probing) = &mut self.paused {
            probing.not_sent();
        }
    }

    /// The push service answered. `jitter` are uniform random bits.
    pub(super) fn answered(
        &mut self,
        verdict: Verdict,
        endpoint: u64,
        was_probe: bool,
        now: Instant,
        jitter: u64,
        policy: &MannersPolicy,
    ) -> Change {
        if let Some(probing) = &mut self.paused {
            return match verdict {
                Verdict::Accepted => {
                    *self = Self::default();
                    Change::Resumed
                }
                // What was under way when it paused is refused as well, and says nothing new.
                _ if !was_probe => Change::None,
                Verdict::Refused => {
                    probing.failed(now, policy.refused_longest, jitter);
                    Change::None
                }
                Verdict::Neither => {
                    probing.told_nothing(now, jitter);
                    Change::None
                }
            };
        }
        self.remember(verdict, endpoint, policy);
        let most = self.refused * 100 >= self.answers.len() * policy.refused_percent;
        if verdict == Verdict::Refused
            && most
            && self.endpoints.len() >= policy.refused_subscriptions
        {
            self.paused = Some(Probing::new(now, policy.refused_first, jitter));
            return Change::Paused;
        }
        Change::None
    }

    fn remember(&mut self, verdict: Verdict, endpoint: u64, policy: &MannersPolicy) {
        let refused = verdict == Verdict::Refused;
        self.answers.push_back(refused);
        self.refused += usize::from(refused);
        if self.answers.len() > policy.refused_answers {
            let oldest = self.answers.pop_front();
            self.refused -= usize::from(oldest.unwrap_or(false));
        }
        match verdict {
            Verdict::Accepted => self.endpoints.clear(),
            Verdict::Refused if self.endpoints.len() < policy.refused_subscriptions => {
                self.endpoints.insert(endpoint);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Verdict = Verdict::Accepted;
    const R: Verdict = Verdict::Refused;
    const N: Verdict = Verdict::Neither;

    struct Case {
        name: &'static str,
        /// How often, what, and whether each from an endpoint of its own.
        answers: &'static [(u64, Verdict, bool)],
        pauses: bool,
    }

    const CASES: &[Case] = &[
        Case {
            name: "nineteen subscriptions",
            answers: &[(19, R, true)],
            pauses: false,
        },
        Case {
            name: "twenty subscriptions",
            answers: &[(20, R, true)],
            pauses: true,
        },
        Case {
            name: "one subscription a thousand times",
            answers: &[(1000, R, false)],
            pauses: false,
        },
        Case {
            name: "an acceptance between",
            answers: &[(19, R, true), (1, A, true), (19, R, true)],
            pauses: false,
        },
        Case {
            name: "other answers between, a tenth",
            answers: &[(2, N, true), (20, R, true)],
            pauses: true,
        },
        Case {
            name: "other answers between, more than a tenth",
            answers: &[(3, N, true), (20, R, true)],
            pauses: false,
        },
        Case {
            name: "a good past and a stranger",
            answers: &[(200, A, true), (179, R, true)],
            pauses: false,
        },
        Case {
            name: "a good past and a key that is refused from now on",
            answers: &[(200, A, true), (180, R, true)],
            pauses: true,
        },
    ];

    fn tell(
        pause: &mut RefusalPause,
        verdict: Verdict,
        endpoint: u64,
        probe: bool,
        now: Instant,
    ) -> Change {
        pause.answered(verdict, endpoint, probe, now, 0, &MannersPolicy::default())
    }

    #[test]
    fn it_takes_many_subscriptions_and_nearly_all_answers() {
        let now = Instant::now();
        for case in CASES {
            let mut pause = RefusalPause::default();
            let mut changes = Vec::new();
            let mut endpoint = 0;
            for (times, verdict, own) in case.answers {
                for _ in 0..*times {
                    endpoint += u64::from(*own);
                    changes.push(tell(&mut pause, *verdict, endpoint, false, now));
                }
            }
            let paused = changes.iter().filter(|it| **it == Change::Paused).count();
            assert_eq!(paused == 1, case.pauses, "{}", case.name);
            let waits = pause.wait(now, &MannersPolicy::default());
            assert_eq!(!waits.is_zero(), case.pauses, "{}", case.name);
        }
    }

    #[test]
    fn single_probes_until_one_is_accepted() {
        let policy = MannersPolicy::default();
        let mut now = Instant::now();
        let mut pause = RefusalPause::default();
        for endpoint in 0..20 {
            tell(&mut pause, R, endpoint, false, now);
        }
        let mut longest = Duration::ZERO;
        for _ in 0..15 {
            let wait = pause.wait(now, &policy);
            longest = longest.max(wait);
            now += wait;
            assert!(pause.begin(now));
            assert!(!pause.wait(now, &policy).is_zero(), "one at a time");
            assert_eq!(tell(&mut pause, R, 99, false, now), Change::None);
            assert!(
                !pause.wait(now, &policy).is_zero(),
                "a late one is no probe"
            );
            assert_eq!(tell(&mut pause, R, 99, true, now), Change::None);
        }
        assert_eq!(longest, policy.refused_longest / 2, "without jitter");
        now += pause.wait(now, &policy);
        assert!(pause.begin(now));
        assert_eq!(tell(&mut pause, N, 99, true, now), Change::None);
        assert_eq!(pause.wait(now, &policy), longest, "it told nothing");
        assert_eq!(tell(&mut pause, A, 5, false, now), Change::Resumed);
        assert!(pause.wait(now, &policy).is_zero());
        assert!(!pause.begin(now));
    }
}
