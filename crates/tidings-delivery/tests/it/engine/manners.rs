//! What push services say about themselves and about keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings_core::alert::AlertKind;
use tidings_core::batch::Lane;
use tidings_core::message::MessageState;
use tidings_webpush::{PushResource, PushService};

use crate::rig::{Rig, answer, answer_later};

#[tokio::test(start_paused = true)]
async fn one_endpoint_that_is_slowed_down_slows_no_other() {
    let slowed = |resource: &PushResource| resource.expose().ends_with("/slow");
    let script = move |resource: &_, number| match number {
        1 if slowed(resource) => answer_later(429, "3600"),
        _ => answer(201),
    };
    let rig = Rig::start(script, None).await;
    let mut rig = rig.in_steps_of(Duration::from_secs(1));
    let others = rig.subscribe_many(50, PushService::Fcm).await;
    let endpoint = "https://fcm.googleapis.com/fcm/send/slow";
    let (_, slow) = rig.subscribe_at(endpoint).await;
    let message = rig.broadcast().await;
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 51);
    let first = rig.push_service.history()[0].at;
    for (_, resource) in others {
        let posts = rig.push_service.posts(&resource);
        assert_eq!(posts.len(), 1);
        assert!(posts[0].since(first) < Duration::from_secs(2));
    }
    let posts = rig.push_service.posts(&slow);
    assert!(posts[1].since(posts[0]) >= Duration::from_hours(1));
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_service_in_distress_gets_half() {
    let script = |_: &_, number| match number {
        1 => answer_later(429, "60"),
        _ => answer(201),
    };
    let mut rig = Rig::start(script, None).await;
    rig.push_service.answer_after(Duration::from_millis(100));
    let subscribed = rig.subscribe_many(300, PushService::Fcm).await;
    let limit = || rig.metrics.limit(PushService::Fcm, Lane::Bulk);
    let message = rig.broadcast().await;
    rig.wait_until(|| rig.push_service.all_posts() >= 64).await;
    assert_eq!(limit(), 64, "as at the beginning");
    rig.wait_until(|| limit() < 64).await;
    assert_eq!(limit(), 32);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 300);
    for (_, resource) in subscribed {
        assert_eq!(rig.push_service.posts(&resource).len(), 2);
    }
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_everybody_refuses_rests_until_one_accepts() {
    let refuses = Arc::new(AtomicBool::new(false));
    let script = {
        let refuses = Arc::clone(&refuses);
        move |resource: &PushResource, _| {
            let fcm = resource.push_service() == PushService::Fcm;
            let refuses = fcm && refuses.load(Ordering::SeqCst);
            answer(if refuses { 401 } else { 201 })
        }
    };
    let rig = Rig::start(script, None).await;
    rig.push_service.answer_after(Duration::from_millis(20));
    let (_, resource) = rig.subscribe_many(300, PushService::Fcm).await[0].clone();
    rig.subscribe_many(50, PushService::Mozilla).await;
    let good = rig.broadcast().await;
    assert_eq!(rig.wait_until_done(good).await.counts.accepted, 350);
    refuses.store(true, Ordering::SeqCst);
    let posts_then = rig.push_service.posts_at(&resource).len();
    let message = rig.broadcast().await;
    rig.wait_until(|| rig.alerted() == [AlertKind::KeyPaused])
        .await;
    rig.pass(Duration::from_secs(1)).await;
    let all_posts = rig.push_service.posts_at(&resource).len();
    let posts = all_posts - posts_then;
    // Nearly all of the last two hundred answers.
    assert!((180..290).contains(&posts), "what was under way: {posts}");
    let mut rig = rig.in_steps_of(Duration::from_secs(1));
    rig.pass(Duration::from_mins(20)).await;
    let probes = rig.push_service.posts_at(&resource).split_off(all_posts);
    assert!((5..25).contains(&probes.len()), "{}", probes.len());
    let gap = |pair: &[crate::rig::Post]| pair[1].at.since(pair[0].at);
    let gaps: Vec<_> = probes.windows(2).map(gap).collect();
    assert!(gaps.iter().all(|gap| !gap.is_zero()), "one at a time");
    assert!(gaps.last() > gaps.first(), "at growing distances: {gaps:?}");
    let counts = rig.look(message).await.counts;
    assert_eq!(counts.accepted, 50, "Mozilla's do not wait");
    refuses.store(false, Ordering::SeqCst);
    let mended = rig.clock_now();
    let counts = rig.wait_until_done(message).await.counts;
    let took = rig.clock_now().since(mended);
    assert!(
        took < Duration::from_mins(6),
        "all with the probe: {took:?}"
    );
    let refused = u64::try_from(posts + probes.len()).unwrap();
    assert!(counts.refused <= refused, "{counts:?}");
    assert_eq!(counts.accepted + counts.refused, 350);
    assert_eq!(rig.alerted(), []);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_strangers_subscriptions_made_with_another_key_change_nothing() {
    let theirs = |resource: &PushResource| resource.expose().contains("/stranger");
    let script = move |resource: &_, _| answer(if theirs(resource) { 403 } else { 201 });
    let mut rig = Rig::start(script, None).await;
    rig.push_service.answer_after(Duration::from_millis(50));
    for number in 0..60 {
        rig.subscribe_many(2, PushService::Fcm).await;
        let endpoint = format!("https://fcm.googleapis.com/fcm/send/stranger{number}");
        rig.subscribe_at(&endpoint).await;
    }
    let message = rig.broadcast().await;
    let counts = rig.wait_until_done(message).await.counts;
    assert_eq!((counts.accepted, counts.refused), (120, 60));
    let posts = rig.push_service.history();
    assert_eq!(posts.len(), 180);
    let took = posts[179].at.since(posts[0].at);
    assert!(took < Duration::from_secs(1), "nobody rested: {took:?}");
    assert_eq!(rig.alerted(), []);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn strangers_in_a_row_hold_up_nobody_who_accepted_before() {
    let theirs = |resource: &PushResource| resource.expose().contains("/stranger");
    let script = move |resource: &_, _| answer(if theirs(resource) { 403 } else { 201 });
    let mut rig = Rig::start(script, None).await;
    rig.push_service.answer_after(Duration::from_millis(50));
    let good = rig.subscribe_many(30, PushService::Fcm).await;
    let message = rig.broadcast().await;
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 30);
    let mut strangers = Vec::new();
    for number in 0..400 {
        let endpoint = format!("https://fcm.googleapis.com/fcm/send/stranger{number}");
        strangers.push(rig.subscribe_at(&endpoint).await.0);
    }
    // Beside somebody who accepts they say nothing.
    let broadcast = rig.broadcast().await;
    let counts = rig.wait_until_done(broadcast).await.counts;
    assert_eq!((counts.accepted, counts.refused), (30, 400), "all at once");
    assert_eq!(rig.alerted(), []);
    rig.shutdown().await;
    // Nothing is known but what is stored, and they alone are sent to.
    rig.restart();
    strangers.truncate(250);
    let only_them = rig.send(rig.direct(strangers)).await;
    rig.wait_until(|| rig.alerted() == [AlertKind::KeyPaused])
        .await;
    rig.pass(Duration::from_secs(30)).await;
    assert_eq!(rig.look(only_them).await.state, MessageState::Sending);
    let (id, resource) = &good[0];
    let before = rig.push_service.posts(resource).len();
    let asked = rig.clock_now();
    let direct = rig.send(rig.direct(vec![*id])).await;
    assert_eq!(rig.wait_until_done(direct).await.counts.accepted, 1);
    let posted = rig.push_service.posts(resource)[before];
    let waited = posted.since(asked);
    assert!(waited < Duration::from_millis(500), "{waited:?}");
    assert_eq!(rig.alerted(), [], "its acceptance ends the rest of all");
    let counts = rig.wait_until_done(only_them).await.counts;
    assert_eq!(counts.refused, 250);
    rig.shutdown().await;
}
