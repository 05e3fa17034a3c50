//! What each push service is owed: how many deliveries may be under way, and when it is left alone.
//!
//! The parts are state machines without clocks, locks or IO; [`Manners`] puts them together for all
//! deliveries of a process. Time is passed in, and it is monotonic: wall clocks jump.

mod breaker;
mod concurrency;
mod distress;
mod origins;
mod policy;
mod probe;
mod refusal_pause;
mod service;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_core::alert::{AlertBoard, AlertKind, Condition};
use tidings_core::batch::Lane;
use tidings_core::id::VapidKeyId;
use tidings_core::metrics::{AnswerClass, Metrics};
use tidings_core::subscription::PushServiceGroup;
use tidings_webpush::{Answer, PushService, Randomness};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

pub use crate::manners::policy::MannersPolicy;
use crate::manners::refusal_pause::Change;
use crate::manners::service::{Admittance, News, Service, Stay};

/// A delivery that wants to begin.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// The push service.
    pub group: &'a PushServiceGroup,
    /// Which of the two lanes it is in.
    pub lane: Lane,
    /// The VAPID key it is signed with.
    pub key: VapidKeyId,
    /// The origin of its push resource.
    pub origin: &'a str,
    /// A number that is the same for the same endpoint; any hash.
    pub endpoint: u64,
    /// Whether a message that was signed with this key was accepted for it before.
    pub has_accepted: bool,
}

/// Whether a delivery may begin.
#[derive(Debug)]
pub enum Entry {
    /// It may.
    Go(Visit),
    /// There is no room: wait for [`Manners::room`] and ask again.
    Full(Busy),
    /// The push service, the origin or the key is left alone for so long; others may be sent
    /// meanwhile.
    Later(Duration),
}

/// What has no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Busy {
    /// The push service, or all that share their room: it is no use to ask for anybody else.
    Everybody,
    /// The origin: there is room for others.
    Origin,
}

/// How long it took until there was an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// Until a connection had room for the request.
    pub waiting: Duration,
    /// From the first octet of the request on.
    pub latency: Duration,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug)]
pub enum VisitEnd<'a> {
    /// With an answer.
    Answered {
        /// What it means.
        answer: &'a Answer,
        /// How long it took.
        took: Took,
    },
    /// No connection came about.
    Unreachable,
    /// The request was begun, and timed out or broke.
    Unanswered {
        /// How long it was waited for.
        after: Duration,
    },
    /// No request was begun, for reasons that say nothing about the push service.
    NotSent,
}

/// The manners of one process towards all push services. Cheap enough to be asked for every
/// delivery: one short lock, a few look-ups, nothing allocated for what is known.
pub struct Manners {
    policy: MannersPolicy,
    alerts: Arc<AlertBoard>,
    metrics: Arc<Metrics>,
    randomness: Arc<dyn Randomness>,
    services: Mutex<[Service; PushService::ALL.len()]>,
    /// Told when there may be room, by push service and lane.
    room: [[Notify; Lane::ALL.len()]; PushService::ALL.len()],
}

/// How long a waiter sleeps at most. It is told when there is room; should that ever be lost, it
/// looks itself.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Manners {
    /// Nothing is known about any push service yet.
    pub fn new(
        policy: MannersPolicy,
        alerts: Arc<AlertBoard>,
        metrics: Arc<Metrics>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let services = PushService::ALL.map(|service| Service::new(service, &policy));
        let manners = Self {
            policy,
            alerts,
            metrics,
            randomness,
            services: Mutex::new(services),
            room: Default::default(),
        };
        for service in PushService::ALL {
            manners.with(service, |it| manners.tell_load(service, it));
        }
        manners
    }

    /// Asks to begin a delivery.
    pub fn enter(self: &Arc<Self>, visitor: &Visitor<'_>, now: Instant) -> Entry {
        let service = visitor.group.service();
        let (admittance, more) = self.with(service, |it| {
            let admittance = it.enter(visitor, now, &self.policy);
            self.tell_load(service, it);
            if !matches!(admittance, Admittance::Full(_)) && it.is_paused(visitor.key) {
                self.tell(service, News::still_paused(visitor.key));
            }
            (admittance, it.load(Lane::Bulk).0 < it.load(Lane::Bulk).1)
        });
        match admittance {
            Admittance::Go(stay) => {
                if more {
                    // One is woken when one ends; whoever finds more room than that passes it on.
                    self.wake_one(service, visitor.lane);
                }
                Entry::Go(Visit {
                    manners: Arc::clone(self),
                    service,
                    stay: Some(stay),
                })
            }
            Admittance::Full(busy) => Entry::Full(busy),
            Admittance::Later(wait) => Entry::Later(wait),
        }
    }

    /// Waits until it is worth asking again after [`Entry::Full`].
    pub async fn room(&self, visitor: &Visitor<'_>, busy: Busy) {
        let service = visitor.group.service();
        let Some(notify) = self.notify(service, visitor.lane) else {
            return;
        };
        let waited = async {
            loop {
                let mut told = std::pin::pin!(notify.notified());
                // In the queue before looking, or what ends in between would tell nobody.
                told.as_mut().enable();
                if !self.with(service, |it| it.is_full(visitor, busy, &self.policy)) {
                    return;
                }
                told.await;
            }
        };
        // Both say the same: ask again.
        let _ = timeout(LOOK_AGAIN, waited).await;
    }

    /// Whether a push service cannot be reached at all, so that single probes are all it gets.
    pub fn is_left_alone(&self, group: &PushServiceGroup, now: Instant) -> bool {
        self.with(group.service(), |it| it.closed(now, &self.policy).is_some())
    }

    /// How many batches may be open at a push service; `Err` if it is to be left alone for so long.
    pub fn may_claim(
        &self,
        group: &PushServiceGroup,
        lane: Lane,
        now: Instant,
    ) -> Result<usize, Duration> {
        let service = group.service();
        let closed = self.with(service, |it| {
            let unreachable = it.news(now, &self.policy);
            let news = News {
                unreachable,
                ..News::default()
            };
            self.tell(service, news);
            it.closed(now, &self.policy)
        });
        match closed {
            None => Ok(match lane {
                Lane::Direct => self.policy.direct_batches,
                Lane::Bulk => self.policy.bulk_batches,
            }),
            Some(wait) if wait.is_zero() => Ok(1),
            Some(wait) => Err(wait),
        }
    }

    fn ended(&self, service: PushService, stay: &Stay, end: &VisitEnd<'_>, now: Instant) {
        let class = match end {
            VisitEnd::Answered { answer, .. } => Some(AnswerClass::of(answer)),
            VisitEnd::Unreachable => Some(AnswerClass::Unreachable),
            VisitEnd::Unanswered { .. } => Some(AnswerClass::Unanswered),
            VisitEnd::NotSent => None,
        };
        // Only what went wrong has an answer that jitter is needed for.
        let jitter = if class == Some(AnswerClass::Accepted) {
            0
        } else {
            self.jitter()
        };
        let shared = self.with(service, |it| {
            let news = it.ended(stay, end, now, jitter, &self.policy);
            self.tell(service, news);
            self.tell_load(service, it);
            it.is_shared()
        });
        if let Some(class) = class {
            self.metrics.answered(service, class);
        }
        if shared {
            // Each waits for an origin of its own: there are few, and any may be the one.
            for notify in Lane::ALL
                .iter()
                .filter_map(|lane| self.notify(service, *lane))
            {
                notify.notify_waiters();
            }
        } else {
            for lane in Lane::ALL {
                self.wake_one(service, lane);
            }
        }
    }

    /// While the lock is held: two that tell the opposite shall be heard in the order in which it
    /// came to be.
    fn tell(&self, service: PushService, news: News) {
        if let Some((change, vapid_key)) = news.key {
            let condition = Condition::KeyPaused {
                push_service: service,
                vapid_key,
            };
            match change {
                // Whether it still is, nobody finds out once nothing is signed with it.
                Change::Paused => self.alerts.raise_for(condition, self.policy.origin_memory),
                Change::Resumed => self
                    .alerts
                    .clear(AlertKind::KeyPaused, &condition.subject()),
                Change::None => {}
            }
        }
        if let Some(unreachable) = news.unreachable {
            let condition = Condition::PushServiceUnreachable {
                push_service: service,
            };
            if unreachable {
                // Whether it still is, nobody finds out once nothing is to be sent there.
                self.alerts.raise_for(condition, self.policy.origin_memory);
            } else {
                self.alerts.clear(condition.kind(), &condition.subject());
            }
        }
        if let Some(limit) = news.halved_to {
            tracing::info!(
                push_service = %service,
                limit,
                "many endpoints of {service} ask to be sent less: at most {limit} deliveries at once"
            );
        }
    }

    fn tell_load(&self, service: PushService, it: &Service) {
        for lane in Lane::ALL {
            let (under_way, limit) = it.load(lane);
            self.metrics.load(service, lane, under_way, limit);
        }
    }

    fn wake_one(&self, service: PushService, lane: Lane) {
        if let Some(notify) = self.notify(service, lane) {
            notify.notify_one();
        }
    }

    fn notify(&self, service: PushService, lane: Lane) -> Option<&Notify> {
        self.room.get(index(service))?.get(lane as usize)
    }

    fn with<T>(&self, service: PushService, act: impl FnOnce(&mut Service) -> T) -> T {
        let mut services = self.lock();
        let [fcm, mozilla, apple, wns, other] = &mut *services;
        act(match service {
            PushService::Fcm => fcm,
            PushService::Mozilla => mozilla,
            PushService::Apple => apple,
            PushService::Wns => wns,
            _ => other,
        })
    }

    fn lock(&self) -> MutexGuard<'_, [Service; PushService::ALL.len()]> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn jitter(&self) -> u64 {
        let mut bytes = [0; 8];
        self.randomness.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

fn index(service: PushService) -> usize {
    let known = PushService::ALL.iter().position(|it| *it == service);
    known.unwrap_or(PushService::ALL.len() - 1)
}

impl fmt::Debug for Manners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manners")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// A delivery that was let in. Dropping it gives its room back, as if nothing had been sent.
#[derive(Debug)]
#[must_use = "a delivery that is dropped counts as not sent"]
pub struct Visit {
    manners: Arc<Manners>,
    service: PushService,
    stay: Option<Stay>,
}

impl Visit {
    /// Tells how the delivery ended, and gives its room back.
    pub fn ended(mut self, end: &VisitEnd<'_>, now: Instant) {
        if let Some(stay) = self.stay.take() {
            self.manners.ended(self.service, &stay, end, now);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(stay) = self.stay.take() {
            let now = Instant::now();
            self.manners
                .ended(self.service, &stay, &VisitEnd::NotSent, now);
        }
    }
}

#[cfg(test)]
mod tests;
