//! One at a time, at growing distances: is it better?

use std::time::Duration;

use tokio::time::Instant;

use crate::manners::policy::MannersPolicy;

#[derive(Debug)]
pub(super) struct Probing {
    /// The next probe is not before this instant.
    next_at: Instant,
    /// How long it is to the next one, without jitter.
    distance: Duration,
    /// Since when one is under way.
    under_way: Option<Instant>,
}

impl Probing {
    pub(super) fn new(now: Instant, distance: Duration, jitter: u64) -> Self {
        Self {
            next_at: now + jittered(distance, jitter),
            distance,
            under_way: None,
        }
    }

    /// How long until one may be sent; zero if it may at once.
    pub(super) fn wait(&self, now: Instant, policy: &MannersPolicy) -> Duration {
        match self.under_way {
            None => self.next_at.saturating_duration_since(now),
            // Nobody knows when it ends: look again soon.
            Some(began) => (began + policy.probe_patience)
                .saturating_duration_since(now)
                .min(self.distance),
        }
    }

    /// How long until one may be sent by those who come second: only when those who come first let
    /// it pass.
    pub(super) fn wait_of_second(&self, now: Instant, policy: &MannersPolicy) -> Duration {
        match self.under_way {
            None => (self.next_at + self.distance).saturating_duration_since(now),
            Some(_) => self.wait(now, policy),
        }
    }

    /// One is sent.
    pub(super) fn begin(&mut self, now: Instant) {
        self.under_way = Some(now);
    }

    /// It was not sent: another may be at once.
    pub(super) fn not_sent(&mut self) {
        self.under_way = None;
    }

    /// It ended, and tells nothing: another may be sent, as long after it as it was itself.
    pub(super) fn told_nothing(&mut self, now: Instant, jitter: u64) {
        self.under_way = None;
        self.next_at = now + jittered(self.distance, jitter);
    }

    /// It is no better: the next is twice as far away, at most `longest`.
    pub(super) fn failed(&mut self, now: Instant, longest: Duration, jitter: u64) {
        self.distance = self.distance.saturating_mul(2).min(longest);
        self.told_nothing(now, jitter);
    }
}

/// Between half of `distance` and all of it, so that processes that failed together do not probe
/// together.
fn jittered(distance: Duration, jitter: u64) -> Duration {
    let half = u64::try_from(distance.as_nanos() / 2).unwrap_or(u64::MAX);
    Duration::from_nanos(half.saturating_add(jitter % half.saturating_add(1)))
}
