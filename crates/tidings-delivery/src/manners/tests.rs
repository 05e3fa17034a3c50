use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};

use tidings_core::alert::Alert;
use tidings_testkit::{FixedClock, SeededRandomness};

use super::*;

mod strangers;

fn key(number: u8) -> VapidKeyId {
    VapidKeyId::from_bytes([number; 16])
}

const ACCEPTED: Answer = Answer::Accepted {
    message_resource: None,
};

/// Manners, and a clock that only goes when told.
struct World {
    manners: Arc<Manners>,
    alerts: Arc<AlertBoard>,
    metrics: Arc<Metrics>,
    clock: Arc<FixedClock>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self::with(MannersPolicy::default())
    }

    fn with(policy: MannersPolicy) -> Self {
        let clock = Arc::new(FixedClock::default());
        let alerts = Arc::new(AlertBoard::new(clock.clone()));
        let metrics = Arc::new(Metrics::default());
        let randomness = Arc::new(SeededRandomness::new(1));
        let manners = Manners::new(policy, alerts.clone(), metrics.clone(), randomness);
        Self {
            manners: Arc::new(manners),
            alerts,
            metrics,
            clock,
            now: Instant::now(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.clock.advance(time);
    }

    fn enter(&self, who: &Who) -> Entry {
        self.manners.enter(&who.visitor(), self.now)
    }

    fn go(&self, who: &Who) -> Visit {
        match self.enter(who) {
            Entry::Go(visit) => visit,
            entry => panic!("{who:?}: {entry:?}"),
        }
    }

    /// Lets in as many as there is room for.
    fn fill(&self, who: &Who) -> Vec<Visit> {
        let mut visits = Vec::new();
        while let Entry::Go(visit) = self.enter(who) {
            visits.push(visit);
        }
        visits
    }

    fn send(&self, who: &Who, end: &VisitEnd<'_>) {
        self.go(who).ended(end, self.now);
    }

    fn alerts(&self) -> Vec<AlertKind> {
        let kind = |alert: &Alert| alert.condition.kind();
        self.alerts.alerts().iter().map(kind).collect()
    }

    /// Deliveries of broadcasts that may be under way at FCM.
    fn limit(&self) -> u64 {
        self.metrics.limit(PushService::Fcm, Lane::Bulk)
    }

    fn waits(&self, who: &Who) -> Duration {
        match self.enter(who) {
            Entry::Later(wait) => wait,
            entry => panic!("{who:?}: {entry:?}"),
        }
    }
}

#[derive(Clone, Debug)]
struct Who {
    group: PushServiceGroup,
    lane: Lane,
    key: VapidKeyId,
    origin: String,
    endpoint: u64,
    has_accepted: bool,
}

impl Who {
    fn visitor(&self) -> Visitor<'_> {
        Visitor {
            group: &self.group,
            lane: self.lane,
            key: self.key,
            origin: &self.origin,
            endpoint: self.endpoint,
            has_accepted: self.has_accepted,
        }
    }

    fn direct(&self) -> Self {
        Self {
            lane: Lane::Direct,
            ..self.clone()
        }
    }

    fn endpoint(&self, endpoint: u64) -> Self {
        Self {
            endpoint,
            ..self.clone()
        }
    }
}

fn fcm() -> Who {
    Who {
        group: PushServiceGroup::of_service(PushService::Fcm),
        lane: Lane::Bulk,
        key: key(1),
        origin: "https://fcm.googleapis.com".to_owned(),
        endpoint: 1,
        has_accepted: true,
    }
}

const fn answered_after(answer: &Answer, latency: Duration) -> VisitEnd<'_> {
    let took = Took {
        waiting: Duration::ZERO,
        latency,
    };
    VisitEnd::Answered { answer, took }
}

const fn answered(answer: &Answer) -> VisitEnd<'_> {
    answered_after(answer, Duration::from_millis(50))
}

#[test]
fn a_broadcast_begins_small_and_leaves_room_for_direct_messages() {
    let world = World::new();
    let bulk = world.fill(&fcm());
    assert_eq!(bulk.len(), 64);
    let direct = world.fill(&fcm().direct());
    assert_eq!(direct.len(), 80, "5 % of 1600");
    assert!(matches!(world.enter(&fcm()), Entry::Full(Busy::Everybody)));
    drop(direct);
    assert!(
        matches!(world.enter(&fcm()), Entry::Full(Busy::Everybody)),
        "the direct lane's room is its own"
    );
    drop(bulk);
    assert_eq!(world.fill(&fcm()).len(), 64);
    assert_eq!(world.metrics.limit(PushService::Fcm, Lane::Bulk), 64);
}

#[test]
fn nobody_waits_long_for_a_push_service_with_few_connections() {
    let mut world = World::new();
    let latency = Duration::from_millis(400);
    let mut waiting = VecDeque::new();
    for _ in 0..500 {
        waiting.extend(world.fill(&fcm()).into_iter().map(|it| (world.now, it)));
        // HTTP/1.1: fifteen are asked, one on each connection.
        let posted: Vec<_> = waiting.drain(..15).collect();
        let asked_at = world.now;
        world.pass(latency);
        for (begun_at, visit) in posted {
            let waiting = asked_at - begun_at;
            assert!(waiting < Duration::from_secs(5), "{waiting:?}");
            let (answer, took) = (&ACCEPTED, Took { waiting, latency });
            visit.ended(&VisitEnd::Answered { answer, took }, world.now);
        }
    }
}

#[test]
fn a_waiter_is_told_when_there_is_room() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let world = World::new();
    let mut visits = world.fill(&fcm());
    let (first, second) = (fcm(), fcm());
    let (first, second) = (first.visitor(), second.visitor());
    let mut first = pin!(world.manners.room(&first, Busy::Everybody));
    let mut second = pin!(world.manners.room(&second, Busy::Everybody));
    let mut context = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    visits.pop();
    assert!(first.as_mut().poll(&mut context).is_ready());
    assert!(second.as_mut().poll(&mut context).is_pending());
    visits.pop();
    assert!(
        second.as_mut().poll(&mut context).is_ready(),
        "one more has ended"
    );
}

#[test]
fn one_endpoint_that_is_told_to_slow_down_slows_only_itself() {
    let mut world = World::new();
    let slow = Answer::SlowDown { retry_after: None };
    for number in 0..1000 {
        world.send(&fcm(), &answered(&slow));
        world.send(&fcm().endpoint(number), &answered(&ACCEPTED));
        world.pass(Duration::from_millis(10));
    }
    assert!(world.limit() >= 64);
}

#[test]
fn many_endpoints_that_are_told_to_slow_down_slow_the_push_service() {
    let mut world = World::new();
    let unwell = Answer::Unwell { retry_after: None };
    for number in 0..40 {
        world.send(&fcm().endpoint(number), &answered(&unwell));
    }
    assert_eq!(world.limit(), 64, "not more than 20 %");
    for number in 40..400 {
        world.send(&fcm().endpoint(number), &answered(&unwell));
    }
    assert_eq!(world.limit(), 32, "halved once in a second");
    for number in 1..400 {
        world.pass(Duration::from_millis(20));
        for endpoint in 0..10 {
            let who = fcm().endpoint(1000 * number + endpoint);
            world.send(&who, &answered(&unwell));
        }
    }
    assert_eq!(world.limit(), 8, "and never below the floor");
    let direct = world.fill(&fcm().direct());
    assert_eq!(direct.len(), 88, "direct messages keep their room");
}

#[test]
fn a_push_service_that_slows_down_everybody_gets_little() {
    let mut world = World::new();
    let slow = Answer::SlowDown { retry_after: None };
    let mut endpoints = 0..;
    let mut each_second = Vec::new();
    for _ in 0..6 {
        let mut sent = 0;
        for _ in 0..20 {
            let mut begun = Vec::new();
            while let Entry::Go(visit) = world.enter(&fcm().endpoint(endpoints.next().unwrap())) {
                begun.push(visit);
            }
            sent += begun.len();
            world.pass(Duration::from_millis(50));
            for visit in begun {
                visit.ended(&answered(&slow), world.now);
            }
        }
        each_second.push(sent);
    }
    assert_eq!(each_second, [672, 336, 168, 160, 160, 160]);
}

#[test]
fn an_origin_in_outage_gets_single_probes() {
    let mut world = World::new();
    world.send(&fcm(), &answered(&ACCEPTED));
    let begun = world.fill(&fcm());
    for visit in begun {
        visit.ended(&VisitEnd::Unreachable, world.now);
    }
    assert!(world.waits(&fcm()) <= Duration::from_secs(1));
    let group = fcm().group;
    let claim = |world: &World| world.manners.may_claim(&group, Lane::Bulk, world.now);
    assert!(claim(&world).is_err());
    world.pass(Duration::from_secs(1));
    assert_eq!(claim(&world), Ok(1));
    let probe = world.go(&fcm());
    assert!(matches!(world.enter(&fcm().direct()), Entry::Later(_)));
    drop(probe);
    let probe = world.go(&fcm());
    probe.ended(
        &VisitEnd::Unanswered {
            after: Duration::ZERO,
        },
        world.now,
    );
    world.pass(Duration::from_millis(999));
    assert!(
        world.waits(&fcm()) <= Duration::from_secs(1),
        "at least half of two seconds"
    );
    world.pass(Duration::from_secs(1));
    let unwell = Answer::Unwell { retry_after: None };
    world.send(&fcm(), &answered(&unwell));
    assert_eq!(claim(&world), Ok(4), "any answer will do");
    assert_eq!(world.fill(&fcm()).len(), 64);
}

#[test]
fn probes_are_at_most_a_minute_apart_and_an_operator_is_told() {
    let mut world = World::new();
    let gone_for = |world: &World| world.alerts() == [AlertKind::PushServiceUnreachable];
    let began = world.now;
    let mut probes = 0;
    while world.now - began < Duration::from_hours(1) {
        match world.enter(&fcm()) {
            Entry::Go(visit) => visit.ended(&VisitEnd::Unreachable, world.now),
            Entry::Later(wait) => {
                assert!(wait <= Duration::from_mins(1), "{wait:?}");
                probes += 1;
                world.pass(wait);
            }
            Entry::Full(_) => panic!("nothing is under way"),
        }
        assert!(world.now - began > Duration::from_mins(1) || !gone_for(&world));
    }
    assert!((60..140).contains(&probes), "{probes} probes in an hour");
    assert!(gone_for(&world));
    world.pass(Duration::from_mins(1));
    world.send(&fcm(), &answered(&Answer::Gone));
    assert_eq!(world.alerts(), []);
}

#[test]
fn an_alert_ends_when_nothing_is_to_be_sent_there_any_more() {
    let mut world = World::new();
    let unreachable = [AlertKind::PushServiceUnreachable];
    let minute = Duration::from_mins(1);
    for _ in 0..30 {
        if let Entry::Go(visit) = world.enter(&fcm()) {
            visit.ended(&VisitEnd::Unreachable, world.now);
        }
        world.pass(minute / 4);
    }
    assert_eq!(world.alerts(), unreachable);
    let group = fcm().group;
    for _ in 0..20 {
        world.pass(minute);
        // Something is due there, and asks whether it may be tried.
        let _ = world.enter(&fcm());
        let _ = world.manners.may_claim(&group, Lane::Bulk, world.now);
        assert_eq!(world.alerts(), unreachable);
    }
    world.pass(10 * minute);
    assert_eq!(world.alerts(), []);
    world.send(&fcm(), &VisitEnd::Unreachable);
    assert_eq!(world.alerts(), unreachable, "and is there again");
}

#[test]
fn resets_of_one_connection_open_no_breaker() {
    let mut world = World::new();
    for _ in 0..20 {
        for visit in world.fill(&fcm()) {
            visit.ended(
                &VisitEnd::Unanswered {
                    after: Duration::ZERO,
                },
                world.now,
            );
        }
        world.pass(Duration::from_millis(1500));
        world.send(&fcm(), &answered(&ACCEPTED));
    }
    assert_eq!(world.fill(&fcm()).len(), 64);
}

#[test]
fn a_key_that_everybody_refuses_rests_and_comes_back_by_itself() {
    let mut world = World::new();
    for endpoint in 0..19 {
        world.send(&fcm().endpoint(endpoint), &answered(&Answer::KeyRefused));
        // One subscription that refuses again and again is one.
        world.send(&fcm().endpoint(endpoint), &answered(&Answer::KeyRefused));
    }
    assert_eq!(world.alerts(), []);
    let late = world.go(&fcm());
    world.send(&fcm().endpoint(19), &answered(&Answer::KeyRefused));
    assert_eq!(world.alerts(), [AlertKind::KeyPaused]);
    late.ended(&answered(&Answer::KeyRefused), world.now);
    assert!(world.waits(&fcm()) <= Duration::from_secs(1));
    let other_key = Who {
        key: key(2),
        ..fcm()
    };
    world.send(&other_key, &answered(&ACCEPTED));
    let elsewhere = Who {
        group: PushServiceGroup::of_service(PushService::Mozilla),
        origin: "https://updates.push.services.mozilla.com".to_owned(),
        ..fcm()
    };
    world.send(&elsewhere, &answered(&ACCEPTED));
    assert_eq!(world.alerts(), [AlertKind::KeyPaused]);
    for _ in 0..20 {
        world.pass(Duration::from_mins(5));
        let probe = world.go(&fcm());
        assert!(
            matches!(world.enter(&fcm()), Entry::Later(_)),
            "single ones"
        );
        probe.ended(&answered(&Answer::KeyRefused), world.now);
    }
    world.pass(Duration::from_mins(5));
    world.send(&fcm(), &answered(&ACCEPTED));
    assert_eq!(world.alerts(), []);
    assert_eq!(world.fill(&fcm()).len(), 64);
}

#[test]
fn newcomers_that_refuse_are_told_and_hold_up_nobody_else() {
    let world = World::new();
    let newcomer = |endpoint| Who {
        has_accepted: false,
        ..fcm().endpoint(endpoint)
    };
    for endpoint in 0..20 {
        world.send(&newcomer(endpoint), &answered(&Answer::KeyRefused));
    }
    assert_eq!(world.alerts(), [AlertKind::KeyPaused]);
    assert!(world.waits(&newcomer(20)) <= Duration::from_secs(1));
    assert_eq!(world.fill(&fcm()).len(), 64);
    world.send(&fcm(), &answered(&ACCEPTED));
    assert_eq!(world.alerts(), []);
    world.send(&newcomer(20), &answered(&ACCEPTED));
}

#[test]
fn what_is_counted_is_what_happened() {
    let world = World::new();
    let fcm_service = PushService::Fcm;
    let visit = world.go(&fcm());
    assert_eq!(world.metrics.under_way(fcm_service, Lane::Bulk), 1);
    drop(visit);
    assert_eq!(world.metrics.under_way(fcm_service, Lane::Bulk), 0);
    world.send(&fcm(), &answered(&ACCEPTED));
    world.send(&fcm(), &answered(&Answer::Gone));
    world.send(&fcm(), &VisitEnd::Unreachable);
    let counts = AnswerClass::ALL.map(|class| world.metrics.answers(fcm_service, class));
    assert_eq!(counts, [1, 0, 1, 0, 0, 0, 0, 0, 1, 0]);
}

#[test]
fn an_alert_about_a_key_ends_when_nothing_is_signed_with_it_any_more() {
    let mut world = World::new();
    for endpoint in 0..20 {
        world.send(&fcm().endpoint(endpoint), &answered(&Answer::KeyRefused));
    }
    let other_key = Who {
        key: key(2),
        ..fcm()
    };
    let minute = Duration::from_mins(1);
    for _ in 0..20 {
        world.pass(minute);
        // A probe that tells nothing, and whoever has to wait for it.
        let probe = world.go(&fcm());
        let _ = world.waits(&fcm());
        drop(probe);
        assert_eq!(world.alerts(), [AlertKind::KeyPaused]);
    }
    for _ in 0..11 {
        world.pass(minute);
        world.send(&other_key, &answered(&ACCEPTED));
    }
    assert_eq!(world.alerts(), []);
    let _ = world.enter(&fcm());
    assert_eq!(world.alerts(), [AlertKind::KeyPaused], "and is there again");
}
