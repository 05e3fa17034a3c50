//! The engine, with paused time: retries that wait for hours take no time here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tidings_core::message::{Audience, MessageCounts, MessageOptions};
use tidings_core::subscription::SubscriptionState;
use tidings_delivery::transport::TransportError;
use tidings_testkit::FixedClock;
use tidings_webpush::{PushService, Urgency};
use tokio::sync::Semaphore;

use crate::rig::{Rig, answer};

fn options(ttl: Duration) -> MessageOptions {
    MessageOptions {
        ttl,
        urgency: Urgency::Normal,
        topic: None,
    }
}

type Count = fn(&MessageCounts) -> u64;

#[tokio::test(start_paused = true)]
async fn every_answer_leads_to_its_count_and_only_gone_ends_a_subscription() {
    let cases: [(&str, u16, Count, SubscriptionState); 9] = [
        (
            "created",
            201,
            |counts| counts.accepted,
            SubscriptionState::Active,
        ),
        (
            "ok",
            200,
            |counts| counts.accepted,
            SubscriptionState::Active,
        ),
        ("gone", 410, |counts| counts.gone, SubscriptionState::Gone),
        (
            "not found",
            404,
            |counts| counts.gone,
            SubscriptionState::Gone,
        ),
        (
            "too large",
            413,
            |counts| counts.refused,
            SubscriptionState::Active,
        ),
        (
            "bad request",
            400,
            |counts| counts.refused,
            SubscriptionState::Active,
        ),
        (
            "forbidden",
            403,
            |counts| counts.refused,
            SubscriptionState::Active,
        ),
        (
            "unwell",
            503,
            |counts| counts.expired,
            SubscriptionState::Active,
        ),
        (
            "redirect",
            307,
            |counts| counts.expired,
            SubscriptionState::Active,
        ),
    ];
    for (name, status, count, state) in cases {
        let rig = Rig::start(move |_, _| answer(status), None).await;
        let mut rig = rig.in_steps_of(Duration::from_millis(500));
        let (id, _) = rig.subscribe(PushService::Mozilla).await;
        let mut message = rig.message(Audience::All);
        message.options = options(Duration::from_mins(10));
        let message = rig.send(message).await;
        let done = rig.wait_until_done(message).await;
        assert_eq!(done.counts.targeted, 1, "{name}");
        assert_eq!(count(&done.counts), 1, "{name}: {:?}", done.counts);
        assert_eq!(done.counts.pending() + done.counts.retrying, 0, "{name}");
        assert_eq!(rig.state_of(id).await, state, "{name}");
        rig.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_as_long_as_it_was_told() {
    let script = |_: &_, number| match number {
        1 => {
            let told = Response::builder()
                .status(429)
                .header("retry-after", "3600");
            Ok(told.body(Bytes::new()).unwrap())
        }
        _ => answer(201),
    };
    let mut rig = Rig::start(script, None)
        .await
        .in_steps_of(Duration::from_secs(2));
    let (_, resource) = rig.subscribe(PushService::Fcm).await;
    let (_, other) = rig.subscribe(PushService::Fcm).await;
    let message = rig.send(rig.message(Audience::All)).await;
    let waiting = rig
        .wait_for(message, |message| message.counts.retrying == 2)
        .await;
    assert_eq!(waiting.counts.pending(), 0);
    let done = rig.wait_until_done(message).await;
    assert_eq!((done.counts.accepted, done.counts.retrying), (2, 0));
    for resource in [resource, other] {
        let posts = rig.push_service.posts(&resource);
        assert_eq!(posts.len(), 2);
        assert!(
            posts[1].since(posts[0]) >= Duration::from_hours(1),
            "{posts:?}"
        );
    }
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_tried_after_the_deadline() {
    let silent = |_: &_, _| Err(TransportError::TimedOut("connecting"));
    let mut rig = Rig::start(silent, None).await;
    let (_, resource) = rig.subscribe(PushService::Apple).await;
    let mut message = rig.message(Audience::All);
    message.options = options(Duration::from_mins(10));
    let deadline = message.due_at.plus(Duration::from_mins(10));
    let message = rig.send(message).await;
    let done = rig.wait_until_done(message).await;
    assert_eq!(done.counts.expired, 1);
    let posts = rig.push_service.posts(&resource);
    assert!(posts.len() >= 3, "it was tried again: {posts:?}");
    assert!(posts.iter().all(|at| *at < deadline), "{posts:?}");
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_looked_at_is_posted_again_at_once() {
    let script = |_: &_, number| match number {
        1 | 2 | 4..=6 => Err(TransportError::NotProcessed),
        _ => answer(201),
    };
    let mut rig = Rig::start(script, None).await;
    let (_, resource) = rig.subscribe(PushService::Fcm).await;
    for tries in [3, 7] {
        let message = rig.send(rig.message(Audience::All)).await;
        let done = rig.wait_until_done(message).await;
        assert_eq!(done.counts.accepted, 1);
        assert_eq!(rig.push_service.posts(&resource).len(), tries);
    }
    let posts = rig.push_service.posts(&resource);
    assert_eq!(posts[0], posts[2], "without a pause");
    assert_eq!(posts[3], posts[5], "without a pause");
    assert!(posts[5] < posts[6], "the fourth is a retry: {posts:?}");
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_expires_while_it_waits_for_room_is_not_posted() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.room.forget_permits(Semaphore::MAX_PERMITS);
    rig.subscribe(PushService::Apple).await;
    let mut message = rig.message(Audience::All);
    message.options = options(Duration::from_secs(10));
    let message = rig.send(message).await;
    let looks = AtomicUsize::new(0);
    let waiting = rig
        .wait_for(message, |_| looks.fetch_add(1, Ordering::SeqCst) > 300)
        .await;
    assert_eq!(waiting.counts.expired, 0, "it waits for room");
    rig.push_service.room.add_permits(1);
    assert_eq!(rig.wait_until_done(message).await.counts.expired, 1);
    assert_eq!(rig.push_service.all_posts(), 0);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn now_or_never_is_tried_once() {
    let mut rig = Rig::start(|_, _| answer(503), None).await;
    let (_, resource) = rig.subscribe(PushService::Mozilla).await;
    let mut message = rig.message(Audience::All);
    message.options = options(Duration::ZERO);
    let message = rig.send(message).await;
    assert_eq!(rig.wait_until_done(message).await.counts.expired, 1);
    assert_eq!(rig.push_service.posts(&resource).len(), 1);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn each_member_is_posted_to_once_if_all_goes_well() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    let services = [
        PushService::Fcm,
        PushService::Mozilla,
        PushService::Wns,
        PushService::Other,
    ];
    for number in 0..600 {
        rig.subscribe(services[number % services.len()]).await;
    }
    let message = rig.send(rig.message(Audience::All)).await;
    let done = rig.wait_until_done(message).await;
    assert_eq!((done.counts.targeted, done.counts.accepted), (600, 600));
    assert_eq!(rig.push_service.all_posts(), 600);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_worker_costs_time_and_no_message() {
    let first = AtomicBool::new(true);
    let script = move |_: &_, _| {
        assert!(
            !first.swap(false, Ordering::SeqCst),
            "the push service's script says so"
        );
        answer(201)
    };
    let mut rig = Rig::start(script, None).await;
    rig.subscribe(PushService::Fcm).await;
    let message = rig.send(rig.message(Audience::All)).await;
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 1);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_fails_costs_the_others_nothing() {
    let gate = Arc::new(Semaphore::new(0));
    let first = AtomicBool::new(true);
    let script = move |_: &_, _| {
        assert!(
            !first.swap(false, Ordering::SeqCst),
            "the push service's script says so"
        );
        answer(201)
    };
    let mut rig = Rig::start(script, Some(Arc::clone(&gate))).await;
    for _ in 0..3 {
        rig.subscribe(PushService::Fcm).await;
    }
    let message = rig.send(rig.message(Audience::All)).await;
    rig.wait_for(message, |_| rig.push_service.all_posts() == 3)
        .await;
    gate.add_permits(1);
    let looks = AtomicUsize::new(0);
    rig.wait_for(message, |_| looks.fetch_add(1, Ordering::SeqCst) > 60)
        .await;
    gate.add_permits(10);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 3);
    assert_eq!(rig.push_service.all_posts(), 4, "one was posted again");
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_direct_message_passes_a_broadcast_that_waits() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Rig::start(|_, _| answer(201), Some(Arc::clone(&gate))).await;
    for _ in 0..1000 {
        rig.subscribe(PushService::Fcm).await;
    }
    let (person, resource) = rig.subscribe(PushService::Fcm).await;
    let broadcast = rig.send(rig.message(Audience::All)).await;
    // As many as are under way before any answer has come.
    rig.wait_for(broadcast, |_| rig.push_service.all_posts() >= 64)
        .await;
    let audience = Audience::Listed {
        subscriptions: vec![person],
        users: Vec::new(),
    };
    let direct = rig.send(rig.message(audience)).await;
    rig.wait_for(direct, |_| rig.push_service.posts(&resource).len() == 1)
        .await;
    assert!(
        rig.push_service.all_posts() < 100,
        "the broadcast is still held"
    );
    gate.add_permits(2000);
    assert_eq!(rig.wait_until_done(direct).await.counts.accepted, 1);
    assert_eq!(rig.wait_until_done(broadcast).await.counts.accepted, 1001);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_records_what_was_under_way() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Rig::start(|_, _| answer(201), Some(Arc::clone(&gate))).await;
    for _ in 0..10 {
        rig.subscribe(PushService::Mozilla).await;
    }
    let message = rig.send(rig.message(Audience::All)).await;
    rig.wait_for(message, |_| rig.push_service.all_posts() == 10)
        .await;
    // The answers come after the engine was told to stop: `join!` polls in this order.
    tokio::join!(rig.shutdown(), async { gate.add_permits(10) });
    let stopped = rig.wait_for(message, |_| true).await;
    assert_eq!(stopped.counts.accepted, 10);
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_while_stopping_is_recorded_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Rig::start(|_, _| answer(201), Some(Arc::clone(&gate))).await;
    for _ in 0..10 {
        rig.subscribe(PushService::Mozilla).await;
    }
    let message = rig.send(rig.message(Audience::All)).await;
    rig.wait_for(message, |_| rig.push_service.all_posts() == 10)
        .await;
    // Whoever stops a process kills it when it takes long: what came by then must not be lost.
    let engine = rig.take_engine();
    let stopped = async {
        gate.add_permits(4);
        let looks = AtomicUsize::new(0);
        let looked = rig
            .wait_for(message, |message| {
                message.counts.accepted == 4 || looks.fetch_add(1, Ordering::SeqCst) > 60
            })
            .await;
        assert_eq!(looked.counts.accepted, 4, "while six are still waited for");
        gate.add_permits(6);
    };
    tokio::join!(engine.shutdown(), stopped);
    let stopped = rig.wait_for(message, |_| true).await;
    assert_eq!(stopped.counts.accepted, 10);
}

#[tokio::test(start_paused = true)]
async fn an_audience_of_nobody_is_done_at_once() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    let message = rig.send(rig.message(Audience::All)).await;
    let done = rig.wait_until_done(message).await;
    assert_eq!(done.counts, MessageCounts::default());
    assert!(done.done_at.unwrap() >= FixedClock::START);
    rig.shutdown().await;
}
