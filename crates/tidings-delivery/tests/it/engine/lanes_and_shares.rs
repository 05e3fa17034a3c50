//! Who goes first.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::message::{Audience, MessageState, NewMessage};
use tidings_webpush::{PushResource, PushService};
use tokio::sync::Semaphore;

use crate::rig::{Fault, Rig, answer, answer_later, other_application};

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
    let message = rig.broadcast().await;
    let done = rig.wait_until_done(message).await;
    assert_eq!((done.counts.targeted, done.counts.accepted), (600, 600));
    assert_eq!(rig.push_service.all_posts(), 600);
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
    let broadcast = rig.broadcast().await;
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
async fn a_direct_message_passes_batches_that_nobody_has_claimed() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.answer_after(Duration::from_millis(500));
    rig.subscribe_many(100, PushService::Fcm).await;
    let (person, resource) = rig.subscribe(PushService::Fcm).await;
    // More batches than may be open at once.
    let mut broadcasts = Vec::new();
    for _ in 0..12 {
        broadcasts.push(rig.broadcast().await);
    }
    rig.wait_until(|| rig.push_service.all_posts() >= 64).await;
    let before = rig.push_service.posts(&resource).len();
    let sent_at = rig.push_service.history().last().unwrap().at;
    rig.send(rig.direct(vec![person])).await;
    rig.wait_until(|| rig.push_service.posts(&resource).len() > before)
        .await;
    let posts = rig.push_service.posts(&resource);
    let waited = posts[before].since(sent_at);
    assert!(waited <= Duration::from_millis(100), "{waited:?}");
    for broadcast in broadcasts {
        assert_eq!(rig.wait_until_done(broadcast).await.counts.accepted, 101);
    }
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_small_application_does_not_wait_behind_a_big_ones_broadcasts() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.answer_after(Duration::from_millis(100));
    rig.subscribe_many(20, PushService::Fcm).await;
    let key = rig.add_other_application().await;
    let app = other_application();
    let mut theirs: Vec<PushResource> = Vec::new();
    for _ in 0..20 {
        let subscription = rig.entities.subscription_at(PushService::Fcm);
        theirs.push(rig.register(subscription, app, key).await.1);
    }
    for _ in 0..40 {
        rig.broadcast().await;
    }
    rig.wait_until(|| rig.push_service.all_posts() >= 64).await;
    let second = rig
        .send(NewMessage {
            application: app,
            ..rig.message(Audience::All)
        })
        .await;
    assert_eq!(rig.wait_until_done(second).await.counts.accepted, 20);
    // When their answers are recorded, the first one's may all be posted.
    let posted = |resource: &PushResource| rig.push_service.posts(resource)[0];
    let last = theirs.iter().map(posted).max().unwrap();
    let mut before = rig.push_service.history();
    before.retain(|post| post.at < last);
    let posts = before.len();
    assert!(posts < 500, "of the first one's 800, and 20: {posts}");
    for resource in theirs {
        assert_eq!(rig.push_service.posts(&resource).len(), 1);
    }
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_small_applications_direct_message_is_planned_among_the_first_of_a_big_ones() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    let (person, resource) = rig.subscribe(PushService::Fcm).await;
    let key = rig.add_other_application().await;
    let app = other_application();
    let subscription = rig.entities.subscription_at(PushService::Fcm);
    let (theirs, their_resource) = rig.register(subscription, app, key).await;
    rig.commanded.fail("next_plans", Fault::Hangs);
    for _ in 0..300 {
        rig.send(rig.direct(vec![person])).await;
    }
    let second = rig
        .send(NewMessage {
            application: app,
            ..rig.direct(vec![theirs])
        })
        .await;
    let planned = rig.commanded.calls("add_planned");
    rig.commanded
        .fail_after(planned + 64, "add_planned", Fault::Hangs);
    rig.commanded.mend("next_plans");
    assert_eq!(rig.wait_until_done(second).await.counts.accepted, 1);
    assert_eq!(rig.push_service.posts(&their_resource).len(), 1);
    let rounds = rig.commanded.calls("next_plans");
    rig.commanded.mend("add_planned");
    rig.wait_until(|| rig.push_service.posts(&resource).len() == 300)
        .await;
    let rounds = rig.commanded.calls("next_plans") - rounds;
    assert!(rounds < 10, "many in one round: {rounds}");
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_small_broadcast_is_planned_while_a_big_one_still_is() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.subscribe_many(4196, PushService::Fcm).await;
    let key = rig.add_other_application().await;
    let app = other_application();
    let subscription = rig.entities.subscription_at(PushService::Mozilla);
    let (_, resource) = rig.register(subscription, app, key).await;
    rig.commanded.fail("next_plans", Fault::Hangs);
    let big = rig.broadcast().await;
    // Ids know who came first by the millisecond.
    rig.entities.clock.advance(Duration::from_millis(1));
    let another = rig.broadcast().await;
    let small = rig
        .send(NewMessage {
            application: app,
            ..rig.message(Audience::All)
        })
        .await;
    rig.commanded.fail_after(2, "add_planned", Fault::Hangs);
    rig.commanded.mend("next_plans");
    rig.wait_until(|| rig.push_service.posts(&resource).len() == 1)
        .await;
    assert_eq!(rig.look(big).await.state, MessageState::Planning);
    assert_eq!(rig.look(big).await.counts.targeted, 4096);
    assert_eq!(rig.look(another).await.counts.targeted, 0, "its own turn");
    rig.wait_until_done(small).await;
    rig.crash().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_answers_keeps_no_other_from_being_opened() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Rig::start(|_, _| answer(201), Some(Arc::clone(&gate))).await;
    rig.subscribe_many(4, PushService::Fcm).await;
    let mut broadcasts = Vec::new();
    for _ in 0..10 {
        broadcasts.push(rig.broadcast().await);
    }
    rig.wait_until(|| rig.push_service.all_posts() == 40).await;
    gate.add_permits(40);
    for broadcast in broadcasts {
        assert_eq!(rig.wait_until_done(broadcast).await.counts.accepted, 4);
    }
    rig.shutdown().await;
}

/// Passes that wait for one slow answer try the others again: no more of them at once than may be
/// open, or a broadcast of many batches would take all room from the next one.
#[tokio::test(start_paused = true)]
async fn batches_that_try_again_are_open_ones() {
    const BROADCASTS: usize = 6;
    const MOST_OPEN: usize = 4;

    let script = |_: &_, number| {
        if number <= BROADCASTS {
            answer_later(503, "5")
        } else {
            answer(201)
        }
    };
    let mut rig = Rig::start(script, None).await;
    rig.subscribe_many(29, PushService::Mozilla).await;
    // At the same push service, but at an origin of its own.
    let slow = "https://other.push.services.mozilla.com/wpush/v2/1";
    let (_, slow) = rig.subscribe_at(slow).await;
    rig.push_service.slow_down(&slow, Duration::from_secs(30));
    let mut messages = Vec::new();
    for _ in 0..BROADCASTS {
        messages.push(rig.broadcast().await);
    }
    rig.wait_until(|| rig.push_service.all_posts() == BROADCASTS * 30)
        .await;
    let mut loads = Vec::new();
    for _ in 0..120 {
        let before = rig.commanded.calls("load_members");
        rig.pass(Duration::from_millis(50)).await;
        loads.push(rig.commanded.calls("load_members") - before);
    }
    assert_eq!(loads.iter().sum::<usize>(), BROADCASTS);
    assert_eq!(loads.iter().max(), Some(&MOST_OPEN), "{loads:?}");
    for message in messages {
        let done = rig.wait_until_done(message).await;
        assert_eq!(done.counts.accepted, 30);
    }
    rig.shutdown().await;
}
