//! One push service, with all that is remembered about it.

use std::collections::HashMap;
use std::time::Duration;

use tidings_core::batch::Lane;
use tidings_core::id::VapidKeyId;
use tidings_webpush::{Answer, PushService};
use tokio::time::Instant;

use crate::manners::breaker::Failure;
use crate::manners::concurrency::Concurrency;
use crate::manners::distress::Distress;
use crate::manners::origins::{Origin, OriginId, Origins};
use crate::manners::policy::MannersPolicy;
use crate::manners::refusal_pause::{Change, Probes, RefusalPause, Teller, Verdict};
use crate::manners::{Busy, Took, VisitEnd, Visitor};

/// Whose room a delivery takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// What is kept for the direct lane.
    Direct,
    /// What grows and shrinks.
    Bulk,
}

/// What a service remembers of a delivery that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    slot: Slot,
    origin: OriginId,
    key: VapidKeyId,
    endpoint: u64,
    has_accepted: bool,
    probes_origin: bool,
    probes_key: Probes,
}

/// Whether a delivery may begin.
pub(super) enum Admittance {
    Go(Stay),
    Full(Busy),
    Later(Duration),
}

/// What changed for an operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct News {
    pub(super) key: Option<(Change, VapidKeyId)>,
    pub(super) unreachable: Option<bool>,
    pub(super) halved_to: Option<usize>,
}

impl News {
    pub(super) fn still_paused(key: VapidKeyId) -> Self {
        Self {
            key: Some((Change::Paused, key)),
            ..Self::default()
        }
    }
}

#[derive(Debug)]
pub(super) struct Service {
    /// Whether it is many push services, whose origins anybody may make up.
    shared: bool,
    concurrency: Concurrency,
    bulk: usize,
    direct: usize,
    direct_share: usize,
    /// Deliveries under way at origins that never answered, or are slow, where anybody may make them
    /// up.
    unproven: usize,
    distress: Distress,
    origins: Origins,
    pauses: HashMap<VapidKeyId, RefusalPause>,
    alerted: bool,
}

impl Service {
    pub(super) fn new(service: PushService, policy: &MannersPolicy) -> Self {
        let shared = service == PushService::Other;
        let all = if shared {
            policy.other_most
        } else {
            policy.most
        };
        let direct_share = policy.direct_share(all);
        // What is shared has few connections, and both lanes' room is small beside them.
        let bulk = if shared {
            all
        } else {
            all.saturating_sub(direct_share)
        };
        // One stranger's server would slow down all the others; each has little of its own.
        let concurrency = if shared {
            Concurrency::fixed(bulk, policy)
        } else {
            Concurrency::new(bulk, policy)
        };
        Self {
            shared,
            concurrency,
            bulk: 0,
            direct: 0,
            direct_share,
            unproven: 0,
            distress: Distress::default(),
            origins: Origins::default(),
            pauses: HashMap::new(),
            alerted: false,
        }
    }

    /// How many deliveries are under way in the room that this lane has to itself, and how many
    /// may be.
    pub(super) fn load(&self, lane: Lane) -> (usize, usize) {
        match lane {
            Lane::Direct => (self.direct, self.direct_share),
            Lane::Bulk => (self.bulk, self.concurrency.limit()),
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    #[cfg(test)]
    pub(super) fn origins_remembered(&self) -> usize {
        self.origins.len()
    }

    /// Asks to begin a delivery.
    pub(super) fn enter(
        &mut self,
        visitor: &Visitor<'_>,
        now: Instant,
        policy: &MannersPolicy,
    ) -> Admittance {
        let Some(slot) = self.slot(visitor.lane) else {
            // Nobody is remembered newly, which may cost others their place, while nobody can begin.
            let origin = self.origins.named(visitor.origin);
            let wait = origin.map_or(Duration::ZERO, |it| self.wait(it, visitor, now, policy));
            return if wait.is_zero() {
                Admittance::Full(Busy::Everybody)
            } else {
                Admittance::Later(wait)
            };
        };
        let is_new = !visitor.has_accepted && self.origins.named(visitor.origin).is_none();
        if is_new && self.unproven_are_full(visitor.lane) {
            return Admittance::Full(Busy::Origin);
        }
        let most = if self.shared {
            policy.other_origins
        } else {
            policy.known_origins
        };
        let id = self.origins.find(visitor.origin, now, most);
        if visitor.has_accepted {
            // Not in this process, perhaps.
            self.learn(id, |origin| origin.has_answered = true);
        }
        let Some(origin) = self.origins.get(id) else {
            return Admittance::Full(Busy::Everybody);
        };
        let wait = self.wait(origin, visitor, now, policy);
        if !wait.is_zero() {
            return Admittance::Later(wait);
        }
        if !origin.is_proven() && self.unproven_are_full(visitor.lane) {
            return Admittance::Full(Busy::Origin);
        }
        if self.shared && origin.is_crowded(visitor.lane, self.is_scarce(), policy) {
            let silent = now.saturating_duration_since(origin.heard_at);
            // Whoever waits for one that hangs holds up the others.
            return if silent < policy.other_patience {
                Admittance::Full(Busy::Origin)
            } else {
                Admittance::Later(policy.other_patience)
            };
        }
        self.begin(visitor, slot, id, now)
    }

    /// Whether what had no room for this delivery still has none.
    pub(super) fn is_full(
        &self,
        visitor: &Visitor<'_>,
        busy: Busy,
        policy: &MannersPolicy,
    ) -> bool {
        let crowded = || {
            let origin = self.origins.named(visitor.origin);
            let is_unproven = origin.map_or(!visitor.has_accepted, |it| !it.is_proven());
            origin.is_some_and(|it| it.is_crowded(visitor.lane, self.is_scarce(), policy))
                || (is_unproven && self.unproven_are_full(visitor.lane))
        };
        self.slot(visitor.lane).is_none() || (busy == Busy::Origin && crowded())
    }

    /// A delivery has ended. `jitter` are uniform random bits.
    pub(super) fn ended(
        &mut self,
        stay: &Stay,
        end: &VisitEnd<'_>,
        now: Instant,
        jitter: u64,
        policy: &MannersPolicy,
    ) -> News {
        match stay.slot {
            Slot::Direct => self.direct = self.direct.saturating_sub(1),
            Slot::Bulk => self.bulk = self.bulk.saturating_sub(1),
        }
        if let Some(origin) = self.origins.get_mut(stay.origin) {
            origin.under_way = origin.under_way.saturating_sub(1);
            if !origin.is_proven() {
                self.unproven = self.unproven.saturating_sub(1);
            }
        }
        match end {
            VisitEnd::Answered { answer, took } => {
                let mut news = self.heard(stay, took.latency, now, policy);
                news.key = self.judge(stay, answer, now, jitter, policy);
                news.halved_to = self.heed(stay, answer, *took, now, policy);
                news
            }
            VisitEnd::Unreachable => self.failed(stay, Failure::Unreachable, now, jitter, policy),
            VisitEnd::Unanswered { after } => {
                if *after > policy.other_slow {
                    self.learn(stay.origin, |origin| origin.took(*after, policy));
                }
                self.failed(stay, Failure::Unanswered, now, jitter, policy)
            }
            VisitEnd::NotSent => {
                self.not_sent(stay);
                News::default()
            }
        }
    }

    /// How long nothing should be claimed for it, because it cannot be reached at all; zero where
    /// a probe may be sent. `None` if there is no reason to leave it alone.
    pub(super) fn closed(&self, now: Instant, policy: &MannersPolicy) -> Option<Duration> {
        // Some of many can always be reached; nor are all of them to be looked at for each member.
        if self.shared {
            return None;
        }
        let mut recent = self.origins.recent(now, policy.origin_memory);
        let unreachable =
            |origin: &Origin| origin.breaker.open_since().is_some() && origin.is_credible(policy);
        let wait = recent
            .clone()
            .map(|origin| origin.breaker.wait(now, policy))
            .min()?;
        recent.all(unreachable).then_some(wait)
    }

    /// Whether it cannot be reached for a good while. Said again each time, for it holds only for a
    /// while; that it can be reached is said once.
    pub(super) fn news(&mut self, now: Instant, policy: &MannersPolicy) -> Option<bool> {
        if self.shared {
            return None;
        }
        // Who may be made up has no say in whether the others are reached.
        let recent = self.origins.recent(now, policy.origin_memory);
        let mut recent = recent.filter(|it| it.is_credible(policy)).peekable();
        let for_long = |origin: &Origin| {
            let open = origin.breaker.open_since();
            open.is_some_and(|at| now.saturating_duration_since(at) >= policy.breaker_alert)
        };
        // Without any recent one, what was said last holds.
        recent.peek()?;
        let unreachable = recent.all(for_long);
        let was = std::mem::replace(&mut self.alerted, unreachable);
        (unreachable || was).then_some(unreachable)
    }

    /// Whether this key rests, as an operator was told.
    pub(super) fn is_paused(&self, key: VapidKeyId) -> bool {
        let pause = self.pauses.get(&key);
        !self.shared && pause.is_some_and(RefusalPause::is_paused)
    }

    /// How long an origin, or a key there, is left alone.
    fn wait(
        &self,
        origin: &Origin,
        visitor: &Visitor<'_>,
        now: Instant,
        policy: &MannersPolicy,
    ) -> Duration {
        let pauses = if self.shared {
            &origin.pauses
        } else {
            &self.pauses
        };
        let pause = pauses.get(&visitor.key);
        let rest = pause.map_or(Duration::ZERO, |pause| {
            pause.wait(visitor.has_accepted, now, policy)
        });
        origin.breaker.wait(now, policy).max(rest)
    }

    /// Whether origins that never answered, or are slow, have all the room that they get together: a
    /// quarter, or one server with many names would take all of it.
    fn unproven_are_full(&self, lane: Lane) -> bool {
        let mut most = self.concurrency.limit() / 4;
        if lane == Lane::Direct {
            most += self.direct_share / 4;
        }
        self.shared && self.unproven >= most
    }

    /// Whether half of what may grow is taken.
    fn is_scarce(&self) -> bool {
        self.bulk >= self.concurrency.limit() / 2
    }

    fn slot(&self, lane: Lane) -> Option<Slot> {
        if lane == Lane::Direct && self.direct < self.direct_share {
            return Some(Slot::Direct);
        }
        // The direct lane takes what the other leaves, too.
        (self.bulk < self.concurrency.limit()).then_some(Slot::Bulk)
    }

    fn begin(
        &mut self,
        visitor: &Visitor<'_>,
        slot: Slot,
        id: OriginId,
        now: Instant,
    ) -> Admittance {
        let Some(origin) = self.origins.get_mut(id) else {
            return Admittance::Full(Busy::Everybody);
        };
        match slot {
            Slot::Direct => self.direct += 1,
            Slot::Bulk => {
                self.bulk += 1;
                self.concurrency.began(self.bulk);
            }
        }
        if origin.under_way == 0 {
            origin.heard_at = now;
        }
        origin.under_way += 1;
        if !origin.is_proven() {
            self.unproven += 1;
        }
        let probes_origin = origin.breaker.begin(now);
        let pauses = if self.shared {
            &mut origin.pauses
        } else {
            &mut self.pauses
        };
        let pause = pauses.get_mut(&visitor.key);
        Admittance::Go(Stay {
            slot,
            origin: id,
            key: visitor.key,
            endpoint: visitor.endpoint,
            has_accepted: visitor.has_accepted,
            probes_origin,
            probes_key: pause.map_or(Probes::default(), |pause| {
                pause.begin(visitor.has_accepted, now)
            }),
        })
    }

    /// Something becomes known of an origin, and its deliveries may count as unproven from now on, or
    /// not any more.
    fn learn(&mut self, id: OriginId, learn: impl FnOnce(&mut Origin)) {
        let Some(origin) = self.origins.get_mut(id) else {
            return;
        };
        let was_proven = origin.is_proven();
        learn(origin);
        match (was_proven, origin.is_proven()) {
            (false, true) => self.unproven = self.unproven.saturating_sub(origin.under_way),
            (true, false) => self.unproven += origin.under_way,
            _ => {}
        }
    }

    /// The origin can be reached.
    fn heard(
        &mut self,
        stay: &Stay,
        latency: Duration,
        now: Instant,
        policy: &MannersPolicy,
    ) -> News {
        let mut was_open = false;
        self.learn(stay.origin, |origin| {
            origin.has_answered = true;
            origin.took(latency, policy);
        });
        if let Some(origin) = self.origins.get_mut(stay.origin) {
            origin.heard_at = now;
            origin.unanswered.clear();
            was_open = origin.breaker.answered();
        }
        let mut news = News::default();
        if was_open {
            if !self.shared {
                self.concurrency.restart(policy);
            }
            news.unreachable = self.news(now, policy);
        }
        news
    }

    fn failed(
        &mut self,
        stay: &Stay,
        failure: Failure,
        now: Instant,
        jitter: u64,
        policy: &MannersPolicy,
    ) -> News {
        if let Some(origin) = self.origins.get_mut(stay.origin) {
            if origin.unanswered.len() < policy.refused_subscriptions {
                origin.unanswered.insert(stay.endpoint);
            }
            origin
                .breaker
                .failed(failure, stay.probes_origin, now, jitter, policy);
        }
        if let Some(pause) = self.pause(stay) {
            pause.not_sent(stay.probes_key);
        }
        News {
            unreachable: self.news(now, policy),
            ..News::default()
        }
    }

    fn not_sent(&mut self, stay: &Stay) {
        if stay.probes_origin
            && let Some(origin) = self.origins.get_mut(stay.origin)
        {
            origin.breaker.probe_not_sent();
        }
        if let Some(pause) = self.pause(stay) {
            pause.not_sent(stay.probes_key);
        }
    }

    /// What the answer says about the key.
    fn judge(
        &mut self,
        stay: &Stay,
        answer: &Answer,
        now: Instant,
        jitter: u64,
        policy: &MannersPolicy,
    ) -> Option<(Change, VapidKeyId)> {
        let verdict = match answer {
            Answer::Accepted { .. } | Answer::Dropped { .. } => Verdict::Accepted,
            Answer::KeyRefused => Verdict::Refused,
            _ => Verdict::Neither,
        };
        let pauses = if self.shared {
            &mut self.origins.get_mut(stay.origin)?.pauses
        } else {
            &mut self.pauses
        };
        let pause = pauses.entry(stay.key).or_default();
        let teller = Teller {
            endpoint: stay.endpoint,
            has_accepted: stay.has_accepted,
            probes: stay.probes_key,
        };
        let change = pause.answered(verdict, &teller, now, jitter, policy);
        // What strangers' push services refuse is no operator's business.
        (change != Change::None && !self.shared).then_some((change, stay.key))
    }

    /// What the answer says about how much to send. The new limit, if it is a lower one.
    fn heed(
        &mut self,
        stay: &Stay,
        answer: &Answer,
        took: Took,
        now: Instant,
        policy: &MannersPolicy,
    ) -> Option<usize> {
        if self.shared {
            return None;
        }
        let slowed = matches!(answer, Answer::SlowDown { .. } | Answer::Unwell { .. });
        if slowed {
            self.concurrency.slowed(now, policy);
        } else {
            self.concurrency.answered(took, now, policy);
        }
        let distressed = self.distress.answered(stay.endpoint, slowed, now, policy);
        if distressed && self.concurrency.halve(now, policy) {
            self.distress.forget();
            return Some(self.concurrency.limit());
        }
        None
    }

    fn pause(&mut self, stay: &Stay) -> Option<&mut RefusalPause> {
        if self.shared {
            self.origins.get_mut(stay.origin)?.pauses.get_mut(&stay.key)
        } else {
            self.pauses.get_mut(&stay.key)
        }
    }
}
