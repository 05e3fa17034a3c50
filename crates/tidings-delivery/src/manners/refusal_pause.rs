//! Lets a VAPID key rest where a push service refuses everything that is signed with it.
//!
//! Refusals belong to deliveries: a stranger can register subscriptions that were made with another
//! key, as many as they like and one after the other. So the key itself is at fault only for those who
//! have accepted something before, if many of them refuse, nearly all of the last answers are
//! refusals, and not one was an acceptance. Those who never accepted anything are asked on their own:
//! what they refuse lets the key rest for them alone, and the first acceptance of anybody ends it.

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

/// Whose rest a delivery probes; how it ends must be said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Probes {
    proven: bool,
    newcomers: bool,
}

/// Whom an answer is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Teller {
    pub(super) endpoint: u64,
    /// Whether it accepted something before.
    pub(super) has_accepted: bool,
    pub(super) probes: Probes,
}

/// One VAPID key at one push service.
#[derive(Debug, Default)]
pub(super) struct RefusalPause {
    /// Those who have accepted something before. While the key rests for them, it does for all.
    proven: Refusals,
    /// The others.
    newcomers: Refusals,
    accepted_at: Option<Instant>,
}

impl RefusalPause {
    /// How long until something may be sent; zero if it may at once.
    pub(super) fn wait(
        &self,
        has_accepted: bool,
        now: Instant,
        policy: &MannersPolicy,
    ) -> Duration {
        let wait = |probing: &Option<Probing>, wait: fn(&Probing, _, &_) -> Duration| {
            let wait = probing.as_ref().map(|probing| wait(probing, now, policy));
            wait.unwrap_or_default()
        };
        if has_accepted {
            return wait(&self.proven.paused, Probing::wait);
        }
        // A probe of theirs tells less.
        let proven = wait(&self.proven.paused, Probing::wait_of_second);
        proven.max(wait(&self.newcomers.paused, Probing::wait))
    }

    pub(super) fn is_paused(&self) -> bool {
        self.proven.paused.is_some() || self.newcomers.paused.is_some()
    }

    /// Something is sent, now that there is no wait.
    pub(super) fn begin(&mut self, has_accepted: bool, now: Instant) -> Probes {
        Probes {
            proven: self.proven.begin(now),
            newcomers: !has_accepted && self.newcomers.begin(now),
        }
    }

    /// It was not sent, or not answered.
    pub(super) fn not_sent(&mut self, probes: Probes) {
        for (refusals, probes) in [
            (&mut self.proven, probes.proven),
            (&mut self.newcomers, probes.newcomers),
        ] {
            if let (true, Some(probing)) = (probes, &mut refusals.paused) {
                probing.not_sent();
            }
        }
    }

    /// The push service answered. `jitter` are uniform random bits.
    pub(super) fn answered(
        &mut self,
        verdict: Verdict,
        teller: &Teller,
        now: Instant,
        jitter: u64,
        policy: &MannersPolicy,
    ) -> Change {
        if verdict == Verdict::Accepted {
            self.accepted_at = Some(now);
            let was_paused = self.is_paused();
            self.proven.accepted(policy);
            self.newcomers.accepted(policy);
            return if was_paused {
                Change::Resumed
            } else {
                Change::None
            };
        }
        let Teller { probes, .. } = *teller;
        let refused = verdict == Verdict::Refused;
        if probes.proven {
            let tells = refused && teller.has_accepted;
            self.proven
                .probed(tells, now, jitter, policy.refused_longest);
        }
        if probes.newcomers {
            let longest = policy.newcomers_longest;
            self.newcomers.probed(refused, now, jitter, longest);
        }
        if probes != Probes::default() {
            return Change::None;
        }
        let was_paused = self.is_paused();
        let paused = if teller.has_accepted {
            self.proven.heard(refused, teller, now, jitter, policy)
        } else if self.is_silent(now, policy) {
            self.newcomers.heard(refused, teller, now, jitter, policy)
        } else {
            false
        };
        if paused && !was_paused {
            Change::Paused
        } else {
            Change::None
        }
    }

    /// Whether nobody has accepted for a while.
    fn is_silent(&self, now: Instant, policy: &MannersPolicy) -> bool {
        let silence = |at| now.saturating_duration_since(at) >= policy.newcomers_silence;
        self.accepted_at.is_none_or(silence)
    }
}

/// The last answers of some subscriptions.
#[derive(Debug, Default)]
struct Refusals {
    /// Whether each was a refusal.
    answers: VecDeque<bool>,
    refused: usize,
    /// Endpoints that refused since the last acceptance, at most as many as are needed.
    endpoints: HashSet<u64>,
    paused: Option<Probing>,
}

impl Refusals {
    fn begin(&mut self, now: Instant) -> bool {
        if let Some(probing) = &mut self.paused {
            probing.begin(now);
        }
        self.paused.is_some()
    }

    fn accepted(&mut self, policy: &MannersPolicy) {
        if self.paused.is_some() {
            *self = Self::default();
        }
        self.endpoints.clear();
        self.remember(false, policy);
    }

    /// A probe was answered, and not accepted.
    fn probed(&mut self, refused: bool, now: Instant, jitter: u64, longest: Duration) {
        match &mut self.paused {
            Some(probing) if refused => probing.failed(now, longest, jitter),
            Some(probing) => probing.told_nothing(now, jitter),
            None => {}
        }
    }

    /// Something that was no probe was answered, and not accepted. Whether the key rests from now on.
    fn heard(
        &mut self,
        refused: bool,
        teller: &Teller,
        now: Instant,
        jitter: u64,
        policy: &MannersPolicy,
    ) -> bool {
        if self.paused.is_some() {
            // What was under way when it paused is refused as well, and says nothing new.
            return false;
        }
        self.remember(refused, policy);
        if refused && self.endpoints.len() < policy.refused_subscriptions {
            self.endpoints.insert(teller.endpoint);
        }
        let most = self.refused * 100 >= self.answers.len() * policy.refused_percent;
        let pauses = refused && most && self.endpoints.len() >= policy.refused_subscriptions;
        if pauses {
            self.paused = Some(Probing::new(now, policy.refused_first, jitter));
        }
        pauses
    }

    fn remember(&mut self, refused: bool, policy: &MannersPolicy) {
        self.answers.push_back(refused);
        self.refused += usize::from(refused);
        if self.answers.len() > policy.refused_answers {
            let oldest = self.answers.pop_front();
            self.refused -= usize::from(oldest.unwrap_or(false));
        }
    }
}

#[cfg(test)]
mod tests;
