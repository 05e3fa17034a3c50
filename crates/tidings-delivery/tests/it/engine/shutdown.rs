//! Stopping.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidings_webpush::PushService;
use tokio::sync::Semaphore;

use crate::rig::{Log, Rig, answer};

#[tokio::test(start_paused = true)]
async fn stopping_records_what_was_under_way() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Rig::start(|_, _| answer(201), Some(Arc::clone(&gate))).await;
    for _ in 0..10 {
        rig.subscribe(PushService::Mozilla).await;
    }
    let message = rig.broadcast().await;
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
    let message = rig.broadcast().await;
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
async fn who_had_no_turn_before_the_stop_has_it_after_the_start() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.answer_after(Duration::from_millis(100));
    rig.subscribe_many(300, PushService::Mozilla).await;
    let message = rig.broadcast().await;
    let second = rig.broadcast().await;
    rig.wait_until(|| rig.push_service.all_posts() >= 64).await;
    let engine = rig.take_engine();
    let claims = rig.commanded.calls("claim_due");
    tokio::join!(engine.shutdown(), rig.pass(Duration::from_secs(1)));
    assert_eq!(rig.commanded.calls("claim_due"), claims, "nothing more");
    let posts = rig.push_service.all_posts();
    let stopped = [rig.look(message).await, rig.look(second).await];
    let accepted: u64 = stopped.iter().map(|it| it.counts.accepted).sum();
    assert_eq!(accepted, u64::try_from(posts).unwrap(), "all recorded");
    assert!(posts < 600, "it stopped in the middle: {posts}");
    rig.restart();
    for message in [message, second] {
        assert_eq!(rig.wait_until_done(message).await.counts.accepted, 300);
    }
    assert_eq!(rig.push_service.all_posts(), 600, "each once");
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_come_are_waited_for_ten_seconds() {
    let (log, _guard) = Log::of_this_thread();
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Rig::start(|_, _| answer(201), Some(gate)).await;
    rig.subscribe_many(3, PushService::Mozilla).await;
    rig.broadcast().await;
    rig.wait_until(|| rig.push_service.all_posts() == 3).await;
    let told = rig.clock_now();
    rig.shutdown().await;
    let took = rig.clock_now().since(told).as_millis();
    assert!((10_000..10_500).contains(&took), "{took} ms");
    assert_eq!(log.lines("WARN"), 0, "the batch was given back");
    assert_eq!(rig.store.due_groups().await.unwrap().len(), 1);
}
