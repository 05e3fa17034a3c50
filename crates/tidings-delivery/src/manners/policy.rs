//! All numbers of the manners.

use std::time::Duration;

/// How much is asked of push services, and when they are left alone.
#[derive(Clone, Debug)]
pub struct MannersPolicy {
    /// Deliveries under way at one known push service: the streams of its connections, 16 of 100.
    pub most: usize,
    /// Deliveries of broadcasts under way at a push service that is new, or is back.
    pub initial: usize,
    /// However unwell a push service is, so many deliveries of broadcasts may be under way.
    pub floor: usize,
    /// Of a hundred deliveries of [`Self::most`], so many are kept for the direct lane …
    pub direct_percent: usize,
    /// … and at least so many.
    pub direct_least: usize,
    /// How many deliveries more may be under way after each round, once growing is slow.
    pub step: usize,
    /// The latency of a round may be so many times the best one …
    pub latency_factor: u32,
    /// … and so much longer: else there are no more deliveries under way than before.
    pub latency_slack: Duration,
    /// The best latency is that of the last one to two times so long.
    pub latency_memory: Duration,
    /// Distinct endpoints whose last answers tell how a push service is …
    pub distress_endpoints: usize,
    /// … if they answered in so long …
    pub distress_memory: Duration,
    /// … and more than so many of a hundred said 429 or that the push service is not well. So many in
    /// a round, and there are no more deliveries under way than before.
    pub distress_percent: usize,
    /// The deliveries under way are halved at most once in so long.
    pub halving_pause: Duration,
    /// Connections that could not be made one after the other before an origin is left alone.
    pub breaker_failures: u32,
    /// Requests that were begun and not answered count only after so much time without an answer:
    /// one broken connection breaks all its requests at once.
    pub breaker_silence: Duration,
    /// How long an origin is left alone first; twice as long each time.
    pub breaker_first: Duration,
    /// The longest time between two probes of an origin.
    pub breaker_longest: Duration,
    /// A push service that was left alone for so long needs an operator.
    pub breaker_alert: Duration,
    /// Distinct subscriptions refused, with no acceptance between, before a key rests.
    pub refused_subscriptions: usize,
    /// And so many of a hundred of the key's last answers.
    pub refused_percent: usize,
    /// How many last answers of a key are looked at.
    pub refused_answers: usize,
    /// How long a key rests before the first probe; twice as long each time.
    pub refused_first: Duration,
    /// The longest time between two probes of a key.
    pub refused_longest: Duration,
    /// Refusals of subscriptions that never accepted anything do not count for so long after somebody
    /// accepted …
    pub newcomers_silence: Duration,
    /// … and if they let a key rest for them, this is the longest time between two of their probes:
    /// nobody knows which of them is any good.
    pub newcomers_longest: Duration,
    /// A probe that nobody heard of again is taken for lost after so long.
    pub probe_patience: Duration,
    /// An origin that was not sent to for so long says nothing about its push service any more.
    pub origin_memory: Duration,
    /// Origins that are remembered at one known push service.
    pub known_origins: usize,
    /// Origins that are remembered among all others.
    pub other_origins: usize,
    /// Deliveries of broadcasts under way at all other push services together, from the beginning.
    pub other_most: usize,
    /// Deliveries under way at one of the other push services, of both lanes.
    pub other_origin_most: usize,
    /// Of these, so many are kept for the direct lane.
    pub other_origin_direct: usize,
    /// Deliveries under way at one of the other push services that has not answered yet, or is
    /// slow, of both lanes: names are made up faster than servers. Of broadcasts, none has more once
    /// half the room of all together is taken.
    pub other_new_most: usize,
    /// Of these, so many are kept for the direct lane.
    pub other_new_direct: usize,
    /// An answer of one of the other push services that takes longer is slow. After several it has
    /// little room, together with those that never answered, until many were quick.
    pub other_slow: Duration,
    /// One of the other push services that has no room, and has not answered for so long, is not
    /// waited for.
    pub other_patience: Duration,
    /// Batches of broadcasts open at one push service.
    pub bulk_batches: usize,
    /// Batches of direct messages open at one push service.
    pub direct_batches: usize,
}

impl Default for MannersPolicy {
    fn default() -> Self {
        Self {
            most: 1600,
            initial: 64,
            floor: 8,
            direct_percent: 5,
            direct_least: 8,
            step: 16,
            latency_factor: 2,
            latency_slack: Duration::from_millis(25),
            latency_memory: Duration::from_mins(5),
            distress_endpoints: 200,
            distress_memory: Duration::from_mins(1),
            distress_percent: 20,
            halving_pause: Duration::from_secs(1),
            breaker_failures: 5,
            breaker_silence: Duration::from_secs(2),
            breaker_first: Duration::from_secs(1),
            breaker_longest: Duration::from_mins(1),
            breaker_alert: Duration::from_mins(1),
            refused_subscriptions: 20,
            refused_percent: 90,
            refused_answers: 200,
            refused_first: Duration::from_secs(1),
            refused_longest: Duration::from_mins(5),
            newcomers_silence: Duration::from_secs(10),
            newcomers_longest: Duration::from_secs(10),
            probe_patience: Duration::from_mins(1),
            origin_memory: Duration::from_mins(10),
            known_origins: 256,
            other_origins: 1024,
            other_most: 256,
            other_origin_most: 16,
            other_origin_direct: 4,
            other_new_most: 3,
            other_new_direct: 1,
            other_slow: Duration::from_secs(2),
            other_patience: Duration::from_secs(1),
            bulk_batches: 4,
            direct_batches: 64,
        }
    }
}

impl MannersPolicy {
    /// Whether so many of so many are more than asking to be sent less is usual for.
    pub(super) fn is_distress(&self, slowed: usize, of: usize) -> bool {
        slowed.saturating_mul(100) > of.saturating_mul(self.distress_percent)
    }

    /// Deliveries of the direct lane that may be under way where `most` may be in all.
    pub(super) fn direct_share(&self, most: usize) -> usize {
        (most.saturating_mul(self.direct_percent) / 100).max(self.direct_least)
    }
}
