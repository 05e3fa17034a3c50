//! A message may be late, but never after its deadline.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidings_delivery::transport::TransportError;
use tidings_webpush::PushService;
use tokio::sync::Semaphore;

use crate::rig::{Rig, answer};

#[tokio::test(start_paused = true)]
async fn nobody_is_tried_after_the_deadline() {
    let silent = |_: &_, _| Err(TransportError::TimedOut("connecting"));
    let mut rig = Rig::start(silent, None).await;
    let (_, resource) = rig.subscribe(PushService::Apple).await;
    let message = rig.broadcast_for(Duration::from_mins(10));
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
async fn what_expires_while_it_waits_for_room_is_not_posted() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.room.forget_permits(Semaphore::MAX_PERMITS);
    rig.subscribe(PushService::Apple).await;
    let message = rig.broadcast_for(Duration::from_secs(10));
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
async fn the_one_attempt_is_not_lost_to_connections_without_room() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.room.forget_permits(Semaphore::MAX_PERMITS);
    rig.subscribe(PushService::Apple).await;
    let message = rig.send(rig.broadcast_for(Duration::ZERO)).await;
    // All connections have been busy for longer than is waited for one.
    rig.pass(Duration::from_secs(40)).await;
    let counts = rig.look(message).await.counts;
    assert_eq!(
        (counts.retrying, counts.expired),
        (0, 0),
        "nobody was asked"
    );
    rig.push_service.room.add_permits(1);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 1);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_says_how_long_the_message_is_still_wanted() {
    let script = |_: &_, number| answer(if number < 6 { 503 } else { 201 });
    let mut rig = Rig::start(script, None).await;
    let (_, resource) = rig.subscribe(PushService::Mozilla).await;
    let message = rig.broadcast_for(Duration::from_hours(1));
    let deadline = message.due_at.plus(Duration::from_hours(1));
    let message = rig.send(message).await;
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 1);
    let posts = rig.push_service.posts_to(&resource);
    assert_eq!(posts.len(), 6);
    for post in &posts {
        let left = deadline.since(post.at);
        let said = Duration::from_secs(post.ttl);
        assert!(said <= left, "never longer than it is wanted: {post:?}");
        let slack = left.saturating_sub(said);
        assert!(slack < Duration::from_secs(1), "{said:?} of {left:?}");
    }
    assert!(posts[5].ttl < posts[0].ttl);
    rig.shutdown().await;
}
