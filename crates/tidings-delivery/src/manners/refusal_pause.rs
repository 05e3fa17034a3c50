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
