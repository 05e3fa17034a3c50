//! What is sent is recorded, at once and once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tidings_core::alert::AlertKind;
use tidings_core::batch::Lane;
use tidings_webpush::PushService;
use tokio::sync::Semaphore;

use crate::rig::{Fault, Rig, answer};

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
    let message = rig.broadcast().await;
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
    let message = rig.broadcast().await;
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
async fn an_outcome_is_recorded_in_200_ms_and_seen_while_others_are_waited_for() {
    let rig = Rig::start(|_, _| answer(201), None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(10));
    let (_, quick) = rig.subscribe(PushService::Fcm).await;
    let (_, slow) = rig
        .subscribe_at("https://android.googleapis.com/gcm/1")
        .await;
    rig.push_service.hang(&slow);
    let mut messages = Vec::new();
    // Passes look at their clocks at different times before and after these.
    for (number, latency) in [110, 210, 310, 410, 510].into_iter().enumerate() {
        let latency = Duration::from_millis(latency);
        rig.push_service.answer_after(latency);
        messages.push(rig.broadcast().await);
        rig.wait_until(|| rig.commanded.recorded().len() > number)
            .await;
        let answered_at = rig.push_service.posts(&quick)[number].plus(latency);
        let (recorded_at, outcomes) = rig.commanded.recorded()[number];
        assert_eq!(outcomes, 1);
        let waited = recorded_at.since(answered_at);
        assert!(waited <= Duration::from_millis(210), "{waited:?}");
        rig.settle().await;
        let counts = rig.look(messages[number]).await.counts;
        assert_eq!((counts.accepted, counts.pending()), (1, 1));
    }
    rig.push_service.unhang(&slow);
    for message in messages {
        assert_eq!(rig.wait_until_done(message).await.counts.accepted, 2);
    }
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn so_many_outcomes_of_all_batches_together_are_recorded_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Rig::start(|_, _| answer(201), Some(Arc::clone(&gate))).await;
    for service in [PushService::Fcm, PushService::Mozilla] {
        rig.subscribe_many(90, service).await;
    }
    let message = rig.broadcast().await;
    rig.wait_until(|| rig.push_service.all_posts() == 128).await;
    // Just after everybody has looked whether it is time.
    rig.pass(Duration::from_millis(250)).await;
    gate.add_permits(127);
    rig.settle().await;
    assert_eq!(rig.commanded.recorded(), []);
    gate.add_permits(1);
    rig.settle().await;
    assert!(!rig.commanded.recorded().is_empty());
    gate.add_permits(52);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 180);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_than_256_outcomes_wait_to_be_recorded() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.subscribe_many(600, PushService::Apple).await;
    let message = rig.broadcast().await;
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 600);
    let sizes: Vec<_> = rig.commanded.recorded().iter().map(|it| it.1).collect();
    assert!(sizes.iter().all(|size| *size <= 256), "{sizes:?}");
    // All at one instant, so it was not time that had them recorded.
    assert!(sizes.len() >= 3, "{sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 600);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn of_all_batches_together_no_more_than_256_answers_are_unrecorded_when_more_is_sent() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.answer_after(Duration::from_millis(10));
    let people = rig.subscribe_many(30, PushService::Fcm).await;
    let people: Vec<_> = people.into_iter().map(|it| it.0).collect();
    rig.commanded.fail("record", Fault::Hangs);
    let mut messages = Vec::new();
    for _ in 0..60 {
        messages.push(rig.send(rig.direct(people.clone())).await);
    }
    rig.pass(Duration::from_secs(30)).await;
    let posts = rig.push_service.all_posts();
    // What may be under way of both lanes when the 256th answer comes.
    let room = rig.metrics.limit(PushService::Fcm, Lane::Bulk)
        + rig.metrics.limit(PushService::Fcm, Lane::Direct);
    let most = 256 + usize::try_from(room).unwrap();
    assert!((256..=most).contains(&posts), "{posts}, at most {most}");
    rig.commanded.mend("record");
    for message in messages {
        assert_eq!(rig.wait_until_done(message).await.counts.accepted, 30);
    }
    assert_eq!(rig.push_service.all_posts(), 60 * 30, "nothing twice");
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_direct_message_does_not_wait_until_a_broadcast_is_recorded() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.answer_after(Duration::from_millis(10));
    let people = rig.subscribe_many(100, PushService::Fcm).await;
    rig.commanded.fail("record", Fault::Hangs);
    let mut messages = Vec::new();
    for _ in 0..10 {
        messages.push(rig.broadcast().await);
    }
    rig.pass(Duration::from_secs(5)).await;
    let before = rig.push_service.all_posts();
    let room = rig.metrics.limit(PushService::Fcm, Lane::Bulk);
    let most = 224 + usize::try_from(room).unwrap();
    assert!((256..=most).contains(&before), "{before}, at most {most}");
    let one = |number: usize| rig.send(rig.direct(vec![people[number].0]));
    messages.push(one(0).await);
    rig.settle().await;
    assert_eq!(rig.push_service.all_posts(), before + 1, "at once");
    for number in 1..100 {
        messages.push(one(number).await);
        rig.pass(Duration::from_millis(20)).await;
    }
    let direct = rig.push_service.all_posts() - before;
    assert_eq!(
        direct, 32,
        "those that a kill repeats are not more than 256"
    );
    rig.commanded.mend("record");
    for message in messages {
        rig.wait_until_done(message).await;
    }
    assert_eq!(rig.push_service.all_posts(), 1100, "nothing twice");
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_nothing_can_be_recorded() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.answer_after(Duration::from_millis(100));
    rig.subscribe_many(300, PushService::Fcm).await;
    rig.subscribe_many(20, PushService::Mozilla).await;
    let message = rig.broadcast().await;
    rig.wait_until(|| rig.push_service.all_posts() > 0).await;
    rig.commanded.fail("record", Fault::Unavailable);
    rig.wait_until(|| !rig.alerted().is_empty()).await;
    assert_eq!(rig.alerted(), [AlertKind::OutcomesNotRecorded]);
    rig.settle().await;
    let posts = rig.push_service.all_posts();
    let claims = rig.commanded.calls("claim_due");
    let second = rig.broadcast().await;
    rig.pass(Duration::from_mins(2)).await;
    assert_eq!(rig.push_service.all_posts(), posts);
    assert_eq!(rig.commanded.calls("claim_due"), claims);
    assert!(rig.metrics.record_failures() > 100);
    rig.commanded.mend("record");
    for message in [message, second] {
        assert_eq!(rig.wait_until_done(message).await.counts.accepted, 320);
    }
    assert_eq!(rig.push_service.all_posts(), 640, "nothing twice");
    assert_eq!(rig.alerted(), []);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_cannot_be_recorded_rests_longer_each_time() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    let (_, one) = rig.subscribe(PushService::Fcm).await;
    let (_, other) = rig.subscribe(PushService::Mozilla).await;
    rig.commanded.refuse_one_batch();
    let message = rig.broadcast().await;
    let again = |resource| rig.push_service.posts(resource).len();
    rig.wait_until(|| again(&one).max(again(&other)) >= 6).await;
    let refused = if again(&one) > 1 { &one } else { &other };
    let posts = rig.push_service.posts(refused);
    for (number, pair) in posts.windows(2).enumerate() {
        let rest = pair[1].since(pair[0]).as_secs();
        assert!(rest >= 1 << number, "{posts:?}");
    }
    let counts = rig.look(message).await.counts;
    assert_eq!((counts.accepted, counts.pending()), (1, 1));
    assert_eq!(again(&one) + again(&other), 7, "the other one's was once");
    rig.commanded.refuse_no_batch();
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 2);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn counts_are_exact_after_a_crash() {
    let mut rig = Rig::start(
        |resource: &_, _| answer(if ends_in_7(resource) { 413 } else { 201 }),
        None,
    )
    .await;
    rig.push_service.answer_after(Duration::from_millis(70));
    let subscribed = rig.subscribe_many(500, PushService::Fcm).await;
    let message = rig.broadcast().await;
    for accepted in [60, 200] {
        rig.wait_for(message, |message| message.counts.accepted > accepted)
            .await;
        rig.crash().await;
        rig.restart();
    }
    let refused = subscribed.iter().filter(|it| ends_in_7(&it.1)).count();
    let counts = rig.wait_until_done(message).await.counts;
    assert_eq!(counts.targeted, 500);
    assert_eq!(counts.refused, u64::try_from(refused).unwrap());
    assert_eq!(counts.accepted, 500 - counts.refused);
    rig.shutdown().await;
}

fn ends_in_7(resource: &tidings_webpush::PushResource) -> bool {
    resource.expose().ends_with('7')
}
