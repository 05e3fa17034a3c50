//! What each answer leads to.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tidings_core::message::MessageCounts;
use tidings_core::subscription::SubscriptionState;
use tidings_delivery::transport::TransportError;
use tidings_webpush::PushService;

use crate::rig::{Answered, Rig, answer, answer_later};

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
        let message = rig.broadcast_for(Duration::from_mins(10));
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
    let message = rig.broadcast().await;
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
async fn what_nobody_looked_at_is_posted_again_at_once() {
    let script = |_: &_, number| match number {
        1 | 2 | 4..=6 => Err(TransportError::NotProcessed),
        _ => answer(201),
    };
    let mut rig = Rig::start(script, None).await;
    let (_, resource) = rig.subscribe(PushService::Fcm).await;
    for tries in [3, 7] {
        let message = rig.broadcast().await;
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
async fn now_or_never_is_tried_once() {
    let mut rig = Rig::start(|_, _| answer(503), None).await;
    let (_, resource) = rig.subscribe(PushService::Mozilla).await;
    let message = rig.broadcast_for(Duration::ZERO);
    let message = rig.send(message).await;
    assert_eq!(rig.wait_until_done(message).await.counts.expired, 1);
    assert_eq!(rig.push_service.posts(&resource).len(), 1);
    rig.shutdown().await;
}

/// What a push service says in its own way.
struct Case {
    name: &'static str,
    service: PushService,
    first: fn() -> Answered,
    /// Attempts, if the second one is accepted.
    attempts: usize,
    count: Count,
}

#[expect(clippy::unnecessary_wraps, reason = "what a script answers with")]
fn with_header(status: u16, name: &str, value: &str) -> Answered {
    let response = Response::builder().status(status).header(name, value);
    Ok(response.body(Bytes::new()).unwrap())
}

#[expect(clippy::unnecessary_wraps, reason = "what a script answers with")]
fn with_body(status: u16, body: &'static str) -> Answered {
    let response = Response::builder().status(status);
    Ok(response.body(Bytes::from_static(body.as_bytes())).unwrap())
}

const CASES: [Case; 10] = [
    Case {
        name: "WNS dropped it",
        service: PushService::Wns,
        first: || with_header(200, "x-wns-status", "dropped"),
        attempts: 2,
        count: |counts| counts.accepted,
    },
    Case {
        name: "WNS received it",
        service: PushService::Wns,
        first: || with_header(200, "x-wns-status", "received"),
        attempts: 1,
        count: |counts| counts.accepted,
    },
    Case {
        name: "WNS is throttled",
        service: PushService::Wns,
        first: || answer(406),
        attempts: 2,
        count: |counts| counts.accepted,
    },
    Case {
        name: "others find nothing acceptable",
        service: PushService::Mozilla,
        first: || answer(406),
        attempts: 1,
        count: |counts| counts.refused,
    },
    Case {
        name: "Apple knows another key",
        service: PushService::Apple,
        first: || with_body(400, r#"{"reason":"VapidPkHashMismatch"}"#),
        attempts: 1,
        count: |counts| counts.refused,
    },
    Case {
        name: "Mozilla is unwell",
        service: PushService::Mozilla,
        first: || answer(500),
        attempts: 2,
        count: |counts| counts.accepted,
    },
    Case {
        name: "FCM is asked too often",
        service: PushService::Fcm,
        first: || answer_later(429, "5"),
        attempts: 2,
        count: |counts| counts.accepted,
    },
    Case {
        name: "a request takes too long",
        service: PushService::Other,
        first: || answer(408),
        attempts: 2,
        count: |counts| counts.accepted,
    },
    Case {
        name: "a connection breaks",
        service: PushService::Fcm,
        first: || Err(TransportError::Broken("reset".to_owned())),
        attempts: 2,
        count: |counts| counts.accepted,
    },
    Case {
        name: "FCM knows the subscription no more",
        service: PushService::Fcm,
        first: || answer(410),
        attempts: 1,
        count: |counts| counts.gone,
    },
];

#[tokio::test(start_paused = true)]
async fn each_push_service_is_understood_in_its_own_way() {
    for case in CASES {
        let script = move |_: &_, number| match number {
            1 => (case.first)(),
            _ => answer(201),
        };
        let mut rig = Rig::start(script, None).await;
        let (_, resource) = rig.subscribe(case.service).await;
        let message = rig.broadcast().await;
        let done = rig.wait_until_done(message).await;
        assert_eq!((case.count)(&done.counts), 1, "{}", case.name);
        let attempts = rig.push_service.posts(&resource).len();
        assert_eq!(attempts, case.attempts, "{}", case.name);
        rig.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_pause_is_at_most_twice_the_last_ones_bound_and_five_minutes() {
    let rig = Rig::start(|_, _| answer(503), None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(200));
    let subscribed = rig.subscribe_many(20, PushService::Apple).await;
    let message = rig.send(rig.broadcast_for(Duration::from_mins(30))).await;
    assert_eq!(rig.wait_until_done(message).await.counts.expired, 20);
    let mut longest = Duration::ZERO;
    for (_, resource) in subscribed {
        let posts = rig.push_service.posts(&resource);
        assert!(posts.len() > 10, "{posts:?}");
        for (number, pair) in posts.windows(2).enumerate() {
            let pause = pair[1].since(pair[0]);
            let bound = Duration::from_secs(2 << number.min(20)).min(Duration::from_mins(5));
            // A step, and a batch's next look at the queue.
            assert!(
                pause <= bound + Duration::from_secs(2),
                "{number}: {pause:?}"
            );
            longest = longest.max(pause);
        }
    }
    assert!(
        longest > Duration::from_mins(2),
        "they do grow: {longest:?}"
    );
    rig.shutdown().await;
}
