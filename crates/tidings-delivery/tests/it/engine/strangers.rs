//! Push services that anybody may make up, many of them in one batch.

use std::time::Duration;

use tidings_delivery::transport::TransportError;
use tidings_webpush::{PushResource, PushService};

use crate::rig::{Rig, answer};

/// So many subscriptions at one origin. The first of them.
async fn subscribe_at(rig: &Rig, host: &str, count: usize) -> PushResource {
    let mut first = None;
    for number in 0..count {
        let endpoint = format!("https://{host}/{number}");
        let (_, resource) = rig.subscribe_at(&endpoint).await;
        first.get_or_insert(resource);
    }
    first.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_slow_one_holds_up_no_other_in_its_batch_nor_in_other_batches() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.answer_after(Duration::from_millis(20));
    let slow = subscribe_at(&rig, "slow.example", 600).await;
    // Just before it would be taken for one that hangs.
    rig.push_service
        .slow_down(&slow, Duration::from_millis(900));
    rig.subscribe_many(40, PushService::Other).await;
    // More than may be open at once.
    let mut messages = Vec::new();
    for _ in 0..8 {
        messages.push(rig.broadcast().await);
    }
    let others = || rig.push_service.all_posts() - rig.push_service.posts_at(&slow).len();
    rig.wait_until(|| others() == 320).await;
    let posts = rig.push_service.history();
    let took = posts[posts.len() - 1].at.since(posts[0].at);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(rig.push_service.posts_at(&slow).len() < 400, "not over yet");
    rig.push_service.slow_down(&slow, Duration::from_millis(1));
    for message in messages {
        assert_eq!(rig.wait_until_done(message).await.counts.accepted, 640);
    }
    assert_eq!(rig.push_service.all_posts(), 8 * 640, "each once");
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_accepted_before_a_restart_does_not_wait_for_names_that_hang() {
    let script = |resource: &PushResource, _| {
        if resource.origin().contains("hangs") {
            Err(TransportError::TimedOut("waiting for the answer"))
        } else {
            answer(201)
        }
    };
    let rig = Rig::start(script, None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(500));
    for number in 0..100 {
        let hanging = subscribe_at(&rig, &format!("{number}.hangs.example"), 1).await;
        rig.push_service
            .slow_down(&hanging, Duration::from_secs(30));
    }
    let (id, good) = rig.subscribe_at("https://up.example/x").await;
    let first = rig.send(rig.direct(vec![id])).await;
    assert_eq!(rig.wait_until_done(first).await.counts.accepted, 1);
    rig.crash().await;
    rig.restart();
    rig.broadcast().await;
    rig.pass(Duration::from_secs(5)).await;
    assert_eq!(rig.push_service.posts(&good).len(), 2);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn names_of_one_slow_server_hold_up_nobody() {
    let rig = Rig::start(|_, _| answer(201), None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(100));
    rig.push_service.answer_after(Duration::from_millis(20));
    let mut names = Vec::new();
    for number in 0..24 {
        names.push(subscribe_at(&rig, &format!("{number}.slow.example"), 20).await);
    }
    let good = subscribe_at(&rig, "up.example", 40).await;
    let first = rig.broadcast().await;
    assert_eq!(rig.wait_until_done(first).await.counts.accepted, 520);
    // They have all answered well until then.
    for name in &names {
        rig.push_service.slow_down(name, Duration::from_secs(29));
    }
    for number in 2..5 {
        let began = rig.clock_now();
        rig.broadcast().await;
        let posts = || rig.push_service.posts_at(&good).len();
        rig.wait_until(|| posts() == 40 * number).await;
        let waited = rig.clock_now().since(began);
        assert!(waited < Duration::from_secs(5), "{number}: {waited:?}");
        rig.pass(Duration::from_secs(40)).await;
    }
    rig.push_service.answer_after(Duration::ZERO);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_left_alone_for_long_delays_nobody_who_is_not() {
    let rig = Rig::start(|_, _| answer(201), None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(100));
    let down = subscribe_at(&rig, "down.example", 10).await;
    rig.push_service.take_down(&down);
    rig.broadcast().await;
    rig.pass(Duration::from_mins(20)).await;
    let mut shaky = Vec::new();
    for number in 0..30 {
        let endpoint = format!("https://shaky.example/{number}");
        shaky.push(rig.subscribe_at(&endpoint).await);
    }
    rig.push_service.take_down(&shaky[0].1);
    let before = rig.push_service.dialled().len();
    // By the first of all, so that the next probe is half a minute away.
    rig.wait_until(|| rig.push_service.dialled().len() > before)
        .await;
    let failing = rig.send(rig.direct(shaky[..5].iter().map(|it| it.0).collect()));
    let failing = failing.await;
    rig.wait_for(failing, |message| message.counts.retrying == 5)
        .await;
    let message = rig.broadcast().await;
    rig.pass(Duration::from_millis(100)).await;
    assert_eq!(rig.push_service.all_posts(), 0, "both are left alone");
    rig.push_service.bring_up(&shaky[0].1);
    let up = rig.clock_now();
    rig.wait_for(message, |message| message.counts.accepted == 30)
        .await;
    let took = rig.clock_now().since(up);
    assert!(took < Duration::from_secs(10), "{took:?}");
    rig.push_service.bring_up(&down);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 40);
    rig.shutdown().await;
}
