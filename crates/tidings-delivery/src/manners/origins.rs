//! The origins of one push service, as many as are remembered.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tidings_core::batch::Lane;
use tidings_core::id::VapidKeyId;
use tokio::time::Instant;

use crate::manners::breaker::Breaker;
use crate::manners::policy::MannersPolicy;
use crate::manners::refusal_pause::RefusalPause;

/// Where user agents of known push services have their subscriptions; nobody else has a say in what
/// answers there. WNS has many names, below a domain.
const WELL_KNOWN: [&str; 3] = [
    "https://fcm.googleapis.com",
    "https://updates.push.services.mozilla.com",
    "https://web.push.apple.com",
];

/// An origin's place. It is the same origin's as long as anything is under way there.
pub(super) type OriginId = usize;

#[derive(Debug)]
pub(super) struct Origin {
    name: Box<str>,
    pub(super) breaker: Breaker,
    pub(super) under_way: usize,
    /// It has answered before, or accepted something before this process began, so it is no
    /// stranger's invention.
    pub(super) has_answered: bool,
    slowness: Slowness,
    /// Endpoints that had no answer since the last one, at most as many as make it credible.
    pub(super) unanswered: HashSet<u64>,
    /// When it answered last or, if later, when it was first asked again.
    pub(super) heard_at: Instant,
    used_at: Instant,
    /// Of a push service that shares its group with strangers, each origin judges for itself.
    pub(super) pauses: HashMap<VapidKeyId, RefusalPause>,
}

/// Whether an origin is slow: not by one answer, for each of thousands may meet a pause of its server
/// or of this machine, and not until one is quick.
#[derive(Debug, Default)]
struct Slowness {
    /// More for each slow answer, a little less for each quick one.
    score: u32,
    /// From the score of slow on, until it is nothing.
    is_slow: bool,
}

impl Slowness {
    const OF_ONE: u32 = 16;
    const SLOW: u32 = 2 * Self::OF_ONE;
    const MOST: u32 = 4 * Self::OF_ONE;

    fn add(&mut self, slow: bool) {
        self.score = if slow {
            (self.score + Self::OF_ONE).min(Self::MOST)
        } else {
            self.score.saturating_sub(1)
        };
        self.is_slow = self.score >= Self::SLOW || (self.is_slow && self.score > 0);
    }
}

impl Origin {
    fn new(name: &str, now: Instant) -> Self {
        Self {
            name: name.into(),
            breaker: Breaker::new(),
            under_way: 0,
            has_answered: false,
            slowness: Slowness::default(),
            unanswered: HashSet::new(),
            heard_at: now,
            used_at: now,
            pauses: HashMap::new(),
        }
    }

    /// Whether it is known to belong to the push service: the hosts of some are whatever is below a
    /// domain, and a stranger may have made this one up.
    pub(super) fn is_credible(&self, policy: &MannersPolicy) -> bool {
        self.has_answered
            || WELL_KNOWN.contains(&&*self.name)
            || self.unanswered.len() >= policy.refused_subscriptions
    }

    /// Whether it is known to answer, and to be quick about it.
    pub(super) fn is_proven(&self) -> bool {
        self.has_answered && !self.slowness.is_slow
    }

    /// An answer took so long, or did not come in that time.
    pub(super) fn took(&mut self, time: Duration, policy: &MannersPolicy) {
        self.slowness.add(time > policy.other_slow);
    }

    /// Whether as many deliveries are under way as may be. Where room `is_scarce`, half of that of all
    /// origins is taken: whoever was quick until now may take long with all that is begun, and what is
    /// left is for others, a little for each.
    pub(super) fn is_crowded(&self, lane: Lane, is_scarce: bool, policy: &MannersPolicy) -> bool {
        let bulk_of = |most: usize, for_direct| most.saturating_sub(for_direct).max(1);
        let little = bulk_of(policy.other_new_most, policy.other_new_direct);
        let much = bulk_of(policy.other_origin_most, policy.other_origin_direct);
        let most = match (lane, self.is_proven()) {
            (Lane::Direct, true) => policy.other_origin_most,
            (Lane::Direct, false) => policy.other_new_most,
            (Lane::Bulk, true) if !is_scarce => much,
            (Lane::Bulk, _) => little,
        };
        self.under_way >= most
    }

    /// How much would be lost by forgetting it. Names that never answered cost nothing to make up, so
    /// none of them is worth as much as one that has; then an open breaker is worth more than a closed
    /// one.
    fn worth(&self) -> (bool, bool, Instant) {
        let is_open = self.breaker.open_since().is_some();
        (self.has_answered, is_open, self.used_at)
    }
}

#[derive(Debug, Default)]
pub(super) struct Origins {
    places: HashMap<Box<str>, OriginId>,
    origins: Vec<Origin>,
}

impl Origins {
    /// The origin of this name, which is used now. There are at most `most`, and beyond that only
    /// such as something is under way at.
    pub(super) fn find(&mut self, name: &str, now: Instant, most: usize) -> OriginId {
        let known = self.places.get(name).copied();
        let id = known.unwrap_or_else(|| self.add(name, now, most));
        if let Some(origin) = self.origins.get_mut(id) {
            origin.used_at = now;
        }
        id
    }

    /// The origin of this name, if it is remembered.
    pub(super) fn named(&self, name: &str) -> Option<&Origin> {
        self.origins.get(*self.places.get(name)?)
    }

    pub(super) fn get(&self, id: OriginId) -> Option<&Origin> {
        self.origins.get(id)
    }

    pub(super) fn get_mut(&mut self, id: OriginId) -> Option<&mut Origin> {
        self.origins.get_mut(id)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len().max(self.origins.len())
    }

    /// Those that were used in the last while.
    pub(super) fn recent(
        &self,
        now: Instant,
        memory: Duration,
    ) -> impl Iterator<Item = &Origin> + Clone {
        self.origins
            .iter()
            .filter(move |origin| now.saturating_duration_since(origin.used_at) <= memory)
    }

    fn add(&mut self, name: &str, now: Instant, most: usize) -> OriginId {
        let origin = Origin::new(name, now);
        let id = if let Some((id, place)) = self.place_to_reuse(most) {
            let forgotten = std::mem::replace(place, origin);
            self.places.remove(&forgotten.name);
            id
        } else {
            self.origins.push(origin);
            self.origins.len() - 1
        };
        self.places.insert(name.into(), id);
        id
    }

    fn place_to_reuse(&mut self, most: usize) -> Option<(OriginId, &mut Origin)> {
        if self.origins.len() < most {
            return None;
        }
        self.origins
            .iter_mut()
            .enumerate()
            .filter(|(_, origin)| origin.under_way == 0)
            .min_by_key(|(_, origin)| origin.worth())
    }
}
