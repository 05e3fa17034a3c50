//! How many deliveries may be under way at one push service.
//!
//! The number grows as long as it is used up, answers come as fast as before and few ask for less: it
//! doubles with each round until answers take longer or the push service is in distress, then grows
//! by a fixed step. It halves when the push service is in distress, and for nothing else: latency
//! alone may be this machine's, and a sender that is short of CPU would only swing to and fro. Nor
//! does it grow while deliveries wait for our own connections longer than for answers: HTTP/1.1 has
//! few, and more deliveries would only wait longer.

use std::time::Duration;

use tokio::time::Instant;

use crate::manners::Took;
use crate::manners::policy::MannersPolicy;

#[derive(Debug)]
pub(super) struct Concurrency {
    limit: usize,
    most: usize,
    fast: bool,
    round: Round,
    best: BestLatency,
    halved_at: Option<Instant>,
}

/// As many answers as deliveries may be under way: about one after each was sent once.
#[derive(Debug, Default)]
struct Round {
    answers: usize,
    /// How many of them asked for less.
    slowed: usize,
    /// Those of all others together: it takes no time to refuse.
    latencies: Duration,
    /// How long these waited for room on a connection.
    waiting: Duration,
    /// Whether all that may be was under way at once.
    used_up: bool,
}

impl Concurrency {
    /// Begins small; never more than `most`.
    pub(super) fn new(most: usize, policy: &MannersPolicy) -> Self {
        Self {
            limit: policy.initial.min(most),
            most,
            fast: true,
            round: Round::default(),
            best: BestLatency::default(),
            halved_at: None,
        }
    }

    /// As many as may be, and nothing changes that.
    pub(super) fn fixed(most: usize, policy: &MannersPolicy) -> Self {
        Self {
            limit: most,
            ..Self::new(most, policy)
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// So many are under way, now that one more is.
    pub(super) fn began(&mut self, under_way: usize) {
        if under_way >= self.limit {
            self.round.used_up = true;
        }
    }

    /// The push service answered, and did not ask for less.
    pub(super) fn answered(&mut self, took: Took, now: Instant, policy: &MannersPolicy) {
        let round = &mut self.round;
        round.latencies = round.latencies.saturating_add(took.latency);
        round.waiting = round.waiting.saturating_add(took.waiting);
        self.count(now, policy);
    }

    /// The push service asked for less.
    pub(super) fn slowed(&mut self, now: Instant, policy: &MannersPolicy) {
        self.round.slowed += 1;
        self.count(now, policy);
    }

    fn count(&mut self, now: Instant, policy: &MannersPolicy) {
        self.round.answers += 1;
        if self.round.answers >= self.limit {
            let round = std::mem::take(&mut self.round);
            self.end_round(&round, now, policy);
        }
    }

    /// More endpoints than usual are told to slow down: be content with half.
    pub(super) fn halve(&mut self, now: Instant, policy: &MannersPolicy) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < policy.halving_pause;
        if self.halved_at.is_some_and(lately) {
            return false;
        }
        self.halved_at = Some(now);
        self.limit = (self.limit / 2).max(policy.floor).min(self.most);
        self.fast = false;
        self.round = Round::default();
        true
    }

    /// The push service is back after it could not be reached: begin anew.
    pub(super) fn restart(&mut self, policy: &MannersPolicy) {
        self.limit = self.limit.min(policy.initial);
        self.fast = true;
        self.round = Round::default();
    }

    fn end_round(&mut self, round: &Round, now: Instant, policy: &MannersPolicy) {
        if policy.is_distress(round.slowed, round.answers) {
            self.fast = false;
            return;
        }
        let timed = u32::try_from(round.answers.saturating_sub(round.slowed)).unwrap_or(u32::MAX);
        let latency = round.latencies / timed.max(1);
        let best = self.best.with(latency, now, policy.latency_memory);
        if latency > best * policy.latency_factor + policy.latency_slack {
            self.fast = false;
            return;
        }
        let waits = round.waiting / timed.max(1) > latency + policy.latency_slack;
        if waits || !round.used_up {
            return;
        }
        let more = if self.fast { self.limit } else { policy.step };
        self.limit = self.limit.saturating_add(more).min(self.most);
    }
}

/// The best latency of a round in the last while. Kept for two spans, so that what was good long
/// ago (another route, another hour) is forgotten without remembering each round.
#[derive(Debug, Default)]
struct BestLatency {
    spans: Option<Spans>,
}

#[derive(Clone, Copy, Debug)]
struct Spans {
    began_at: Instant,
    present: Duration,
    before: Duration,
}

impl BestLatency {
    fn with(&mut self, latency: Duration, now: Instant, memory: Duration) -> Duration {
        let spans = match self.spans {
            Some(spans) => {
                let age = now.saturating_duration_since(spans.began_at);
                if age < memory {
                    Spans {
                        present: spans.present.min(latency),
                        ..spans
                    }
                } else {
                    // After two spans without a round even the last one says nothing any more.
                    let before = if age < 2 * memory {
                        spans.present
                    } else {
                        latency
                    };
                    Spans {
                        began_at: now,
                        present: latency,
                        before,
                    }
                }
            }
            None => Spans {
                began_at: now,
                present: latency,
                before: latency,
            },
        };
        self.spans = Some(spans);
        spans.present.min(spans.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// There was room on a connection.
    fn at_once(latency: Duration) -> Took {
        Took {
            latency,
            ..Took::default()
        }
    }

    /// A push service that answers each round in so many milliseconds.
    struct World {
        concurrency: Concurrency,
        policy: MannersPolicy,
        now: Instant,
    }

    impl World {
        fn new(most: usize) -> Self {
            let policy = MannersPolicy::default();
            Self {
                concurrency: Concurrency::new(most, &policy),
                policy,
                now: Instant::now(),
            }
        }

        fn round(&mut self, latency: u32, used_up: bool) -> usize {
            let limit = self.concurrency.limit();
            let latency = latency * MILLISECOND;
            self.now += latency;
            self.concurrency
                .began(if used_up { limit } else { limit - 1 });
            for _ in 0..limit {
                let took = at_once(latency);
                self.concurrency.answered(took, self.now, &self.policy);
            }
            self.concurrency.limit()
        }

        fn rounds(&mut self, latencies: &[u32]) -> Vec<usize> {
            let round = |latency: &u32| self.round(*latency, true);
            latencies.iter().map(round).collect()
        }
    }

    #[test]
    fn it_doubles_up_to_the_most_while_answers_come_as_fast_as_before() {
        let mut world = World::new(1520);
        assert_eq!(world.rounds(&[50; 6]), [128, 256, 512, 1024, 1520, 1520]);
    }

    #[test]
    fn it_stands_still_while_connections_are_waited_for_longer_than_answers() {
        let mut world = World::new(1520);
        let mut rounds = |waiting: u32| {
            let limit = world.concurrency.limit();
            world.concurrency.began(limit);
            let took = Took {
                waiting: waiting * MILLISECOND,
                latency: 50 * MILLISECOND,
            };
            for _ in 0..limit {
                world.concurrency.answered(took, world.now, &world.policy);
            }
            world.concurrency.limit()
        };
        let limits = [75, 76, 76, 75, 0].map(&mut rounds);
        assert_eq!(limits, [128, 128, 128, 256, 512]);
    }

    #[test]
    fn what_is_not_used_up_does_not_grow() {
        let mut world = World::new(1520);
        for _ in 0..10 {
            assert_eq!(world.round(50, false), 64);
        }
    }

    #[test]
    fn it_stands_still_while_answers_take_longer_and_never_swings_back() {
        let mut world = World::new(1520);
        // 126 ms is more than twice 50 ms and 25 more; 125 ms is not.
        let limits = world.rounds(&[50, 50, 126, 300, 126, 125, 125]);
        assert_eq!(limits, [128, 256, 256, 256, 256, 272, 288], "then by steps");
    }

    #[test]
    fn a_push_service_that_asks_for_less_gets_no_more() {
        let mut world = World::new(1520);
        let mut round = |slowed: usize, latency: u32| {
            let limit = world.concurrency.limit();
            world.now += latency * MILLISECOND;
            world.concurrency.began(limit);
            for _ in 0..slowed {
                world.concurrency.slowed(world.now, &world.policy);
            }
            let took = at_once(latency * MILLISECOND);
            for _ in slowed..limit {
                world.concurrency.answered(took, world.now, &world.policy);
            }
            world.concurrency.limit()
        };
        assert_eq!(round(12, 50), 128, "a few of many are about themselves");
        assert_eq!(round(26, 50), 128, "more than a fifth");
        assert_eq!(round(128, 50), 128);
        assert_eq!(round(25, 50), 144, "slowly from then on");
        assert_eq!(
            round(14, 125),
            160,
            "refusing takes no time, and says nothing"
        );
        assert_eq!(round(16, 126), 160);
    }

    #[test]
    fn short_latencies_may_vary() {
        let mut world = World::new(1520);
        assert_eq!(world.rounds(&[1, 20, 27, 28]), [128, 256, 512, 512]);
    }

    #[test]
    fn it_halves_once_in_a_second_down_to_the_floor_and_comes_back_slowly() {
        let mut world = World::new(1520);
        world.rounds(&[50; 5]);
        let mut halve = |after: Duration| {
            world.now += after;
            let halved = world.concurrency.halve(world.now, &world.policy);
            (halved, world.concurrency.limit())
        };
        assert_eq!(halve(Duration::ZERO), (true, 760));
        assert_eq!(halve(Duration::from_millis(999)), (false, 760));
        assert_eq!(halve(MILLISECOND), (true, 380));
        for _ in 0..20 {
            halve(Duration::from_secs(1));
        }
        assert_eq!(halve(Duration::from_secs(1)), (true, 8));
        assert_eq!(world.rounds(&[50; 3]), [24, 40, 56]);
    }

    #[test]
    fn a_push_service_that_is_back_is_met_as_a_new_one() {
        let mut world = World::new(1520);
        world.rounds(&[50, 50, 50]);
        world.concurrency.restart(&world.policy);
        assert_eq!(world.rounds(&[50, 50]), [128, 256]);
    }

    #[test]
    fn what_was_fast_long_ago_is_forgotten() {
        let mut world = World::new(1520);
        world.rounds(&[10, 10]);
        let before = world.concurrency.limit();
        let memory = world.policy.latency_memory;
        world.now += memory;
        assert_eq!(world.round(200, true), before, "the span before counts");
        world.now += memory;
        assert_eq!(world.round(200, true), before + 16);
    }

    #[test]
    fn what_may_have_little_never_has_more() {
        let mut world = World::new(6);
        assert_eq!(world.rounds(&[50, 50]), [6, 6]);
        world.concurrency.halve(world.now, &world.policy);
        assert_eq!(world.concurrency.limit(), 6, "the floor is above it");
    }
}
