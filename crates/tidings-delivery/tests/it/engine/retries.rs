//! Whose next attempt is due has it, whoever else of the batch is still waited for.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tidings_delivery::transport::TransportError;
use tidings_webpush::{PushResource, PushService};

use crate::rig::{Answered, Rig, answer, answer_later};

/// At Mozilla, but at an origin of its own.
const OF_MOZILLA: &str = "https://other.push.services.mozilla.com/wpush/v2/1";
const STRANGER: &str = "https://hangs.example/1";

/// As long as the transport waits for an answer.
const LONG: Duration = Duration::from_secs(30);

type Script = fn(&PushResource, usize) -> Answered;

/// Somebody at one of these services, and somebody in the same batch whose answers take long.
async fn beside_a_slow_one(
    service: PushService,
    slow: &str,
    script: Script,
) -> (Rig, PushResource, PushResource) {
    let rig = Rig::start(script, None).await;
    let (_, resource) = rig.subscribe(service).await;
    let (_, slow) = rig.subscribe_at(slow).await;
    rig.push_service.slow_down(&slow, LONG);
    (rig, resource, slow)
}

/// Everybody says once that it is too early; then all is well.
fn later_once(_: &PushResource, number: usize) -> Answered {
    match number {
        1 => answer_later(503, "1"),
        _ => answer(201),
    }
}

/// Those that are slow accept, the others never do.
fn unwell_but_the_slow(resource: &PushResource, _: usize) -> Answered {
    answer(if is_slow(resource) { 201 } else { 503 })
}

fn is_slow(resource: &PushResource) -> bool {
    [OF_MOZILLA, STRANGER].contains(&resource.expose())
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_wait_for_the_slowest_answer_of_its_batch() {
    for (service, slow) in [
        (PushService::Mozilla, OF_MOZILLA),
        (PushService::Other, STRANGER),
    ] {
        let script: Script = |resource, number| match number {
            1 if !is_slow(resource) => answer_later(503, "1"),
            _ => answer(201),
        };
        let (mut rig, resource, slow) = beside_a_slow_one(service, slow, script).await;
        let message = rig.broadcast().await;
        let counts = rig
            .wait_for(message, |message| message.counts.accepted == 1)
            .await
            .counts;
        assert_eq!((counts.retrying, counts.pending()), (0, 1), "{service}");
        let posts = rig.push_service.posts(&resource);
        let pause = posts[1].since(posts[0]).as_millis();
        assert!((1000..2000).contains(&pause), "{service}: {pause} ms");
        assert_eq!(rig.wait_until_done(message).await.counts.accepted, 2);
        assert_eq!(rig.push_service.all_posts(), 3, "{service}");
        assert_eq!(rig.push_service.posts(&slow).len(), 1, "{service}");
        rig.shutdown().await;
    }
}

/// What is kept of the delivery that is tried again: attempts made, and the next one's time.
fn kept(rig: &Rig) -> Option<(usize, i64)> {
    let sql = "SELECT attempts, next_attempt_at FROM deliveries WHERE state = 'retrying'";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    rig.database().query_row(sql, (), row).ok()
}

#[tokio::test(start_paused = true)]
async fn attempts_in_one_pass_are_counted_and_further_and_further_apart() {
    let (rig, resource, slow) =
        beside_a_slow_one(PushService::Mozilla, OF_MOZILLA, unwell_but_the_slow).await;
    rig.push_service.slow_down(&slow, Duration::from_mins(10));
    let mut rig = rig.in_steps_of(Duration::from_millis(100));
    let message = rig.send(rig.broadcast_for(Duration::from_hours(1))).await;
    let posts = || rig.push_service.posts(&resource);
    for number in 1..=7 {
        rig.wait_until(|| posts().len() >= number).await;
        rig.pass(Duration::from_millis(250)).await;
        let (attempts, next_attempt_at) = kept(&rig).unwrap();
        let last = posts()[attempts - 1].as_millis();
        let pause = next_attempt_at - last;
        assert!(pause <= 1000 << attempts, "{attempts}: {pause} ms");
        // It may have been tried again at once.
        assert!((number..=posts().len()).contains(&attempts), "{attempts}");
        rig.wait_until(|| posts().len() > attempts).await;
        let late = posts()[attempts].as_millis() - next_attempt_at;
        assert!((0..=500).contains(&late), "{attempts}: {late} ms");
    }
    assert_eq!(rig.commanded.calls("finish_pass"), 0, "all in one pass");
    let counts = rig.look(message).await.counts;
    assert_eq!((counts.retrying, counts.pending()), (1, 1));
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_retries_in_a_pass() {
    let script: Script = |resource, _| {
        if is_slow(resource) {
            answer(201)
        } else {
            answer_later(503, "1")
        }
    };
    let (mut rig, resource, _) = beside_a_slow_one(PushService::Mozilla, OF_MOZILLA, script).await;
    let message = rig.broadcast_for(Duration::from_secs(5));
    let deadline = message.due_at.plus(Duration::from_secs(5));
    let message = rig.send(message).await;
    rig.wait_for(message, |message| message.counts.expired == 1)
        .await;
    assert!(rig.clock_now() < deadline.plus(Duration::from_millis(500)));
    let posts = rig.push_service.posts_to(&resource);
    assert!((4..=5).contains(&posts.len()), "{posts:?}");
    assert!(posts.iter().all(|post| post.at < deadline), "{posts:?}");
    assert!(posts[0].ttl > posts[3].ttl, "what is left of it");
    let counts = rig.wait_until_done(message).await.counts;
    assert_eq!((counts.accepted, counts.expired), (1, 1));
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_since_an_earlier_pass_does_not_wait_for_answers_of_this_one() {
    let script: Script = |resource, number| match number {
        1 if is_slow(resource) => answer_later(503, "1"),
        1 => answer_later(503, "3"),
        _ => answer(201),
    };
    let (mut rig, resource, slow) =
        beside_a_slow_one(PushService::Mozilla, OF_MOZILLA, script).await;
    rig.push_service.slow_down(&slow, Duration::ZERO);
    let message = rig.broadcast().await;
    rig.wait_for(message, |message| message.counts.retrying == 2)
        .await;
    rig.push_service.slow_down(&slow, LONG);
    rig.wait_for(message, |message| message.counts.accepted == 1)
        .await;
    let posts = rig.push_service.posts(&resource);
    let pause = posts[1].since(posts[0]).as_millis();
    assert!((3000..4000).contains(&pause), "{pause} ms");
    assert_eq!(rig.push_service.posts(&slow).len(), 2, "not answered yet");
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 2);
    assert_eq!(rig.push_service.all_posts(), 4);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pass_does_not_go_on_only_to_wait_for_retries() {
    let mut rig = Rig::start(later_once, None).await;
    rig.subscribe_many(2, PushService::Mozilla).await;
    let message = rig.broadcast().await;
    rig.wait_for(message, |message| message.counts.retrying == 2)
        .await;
    rig.pass(Duration::from_millis(500)).await;
    assert_eq!(rig.commanded.calls("finish_pass"), 1);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 2);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_was_left_out_is_tried_while_others_are_waited_for() {
    let (rig, _, hanging) =
        beside_a_slow_one(PushService::Other, STRANGER, |_, _| answer(201)).await;
    let mut down = Vec::new();
    for number in 0..8 {
        let endpoint = format!("https://down.example/{number}");
        down.push(rig.subscribe_at(&endpoint).await.1);
    }
    rig.push_service.slow_down(&hanging, Duration::from_mins(5));
    rig.push_service.take_down(&down[0]);
    let mut rig = rig.in_steps_of(Duration::from_millis(100));
    let message = rig.broadcast().await;
    rig.pass(Duration::from_secs(8)).await;
    assert_eq!(rig.look(message).await.counts.accepted, 1);
    rig.push_service.bring_up(&down[0]);
    let up = rig.clock_now();
    rig.wait_for(message, |message| message.counts.accepted == 9)
        .await;
    let took = rig.clock_now().since(up);
    assert!(took < Duration::from_mins(2), "{took:?}");
    assert_eq!(rig.commanded.calls("finish_pass"), 0, "all in one pass");
    assert!(rig.commanded.calls("load_members") < 60);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 10);
    assert_eq!(rig.push_service.all_posts(), 10, "each once");
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_while_a_pass_waits_moves_no_retry() {
    for seconds in [3600, -3600] {
        let script: Script = |resource, number| match number {
            1 if !is_slow(resource) => answer_later(503, "5"),
            _ => answer(201),
        };
        let (mut rig, resource, _) =
            beside_a_slow_one(PushService::Mozilla, OF_MOZILLA, script).await;
        let began = tokio::time::Instant::now();
        let message = rig.send(rig.broadcast_for(Duration::from_hours(24))).await;
        rig.wait_for(message, |message| message.counts.retrying == 1)
            .await;
        rig.set_clock_by(seconds);
        rig.wait_until(|| rig.push_service.posts(&resource).len() == 2)
            .await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(8), "{seconds}: {took:?}");
        assert!(rig.commanded.calls("load_members") < 10, "{seconds}");
        assert_eq!(rig.wait_until_done(message).await.counts.accepted, 2);
        assert_eq!(rig.push_service.all_posts(), 3, "{seconds}");
        rig.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_has_one_attempt_at_a_time_and_counts_are_exact() {
    let script: Script = |resource, number| {
        let kind = resource.expose().bytes().map(usize::from).sum::<usize>() + number;
        match kind % 5 {
            0 => answer_later(503, "1"),
            1 => answer(429),
            2 => Err(TransportError::Broken("reset".to_owned())),
            _ => answer(201),
        }
    };
    let (mut rig, _, slow) = beside_a_slow_one(PushService::Mozilla, OF_MOZILLA, script).await;
    let (_, stranger) = rig.subscribe_at(STRANGER).await;
    for slow in [&slow, &stranger] {
        rig.push_service.slow_down(slow, Duration::from_mins(1));
    }
    let latency = Duration::from_millis(700);
    rig.push_service.answer_after(latency);
    let mut all = rig.subscribe_many(60, PushService::Mozilla).await;
    all.extend(rig.subscribe_many(40, PushService::Other).await);
    let message = rig.send(rig.broadcast_for(Duration::from_hours(1))).await;
    let counts = rig.wait_until_done(message).await.counts;
    assert_eq!((counts.targeted, counts.accepted), (103, 103));
    for (_, resource) in &all {
        let posts = rig.push_service.posts(resource);
        let accepted =
            (1..100).find(|number| script(resource, *number).is_ok_and(|it| is_success(&it)));
        assert_eq!(Some(posts.len()), accepted, "none after it was accepted");
        for pair in posts.windows(2) {
            assert!(pair[1].since(pair[0]) >= latency, "{posts:?}");
        }
    }
    rig.shutdown().await;
}

fn is_success(response: &Response<Bytes>) -> bool {
    response.status().is_success()
}
