//! Reading from the store takes long, or fails, and nothing is lost or held up by it.

use std::time::Duration;

use tidings_core::alert::AlertKind;
use tidings_webpush::PushService;

use crate::rig::{Fault, Log, Rig, answer};

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_for_a_while_is_late_by_no_more_than_that() {
    for method in ["load_members", "message_to_send"] {
        let (log, _guard) = Log::of_this_thread();
        let mut rig = Rig::start(|_, _| answer(201), None).await;
        rig.subscribe_many(10, PushService::Mozilla).await;
        rig.commanded.fail(method, Fault::Unavailable);
        let message = rig.broadcast().await;
        rig.pass(Duration::from_secs(20)).await;
        assert_eq!(rig.alerted(), [AlertKind::OutcomesNotRecorded], "{method}");
        assert_eq!(rig.push_service.all_posts(), 0, "{method}");
        rig.commanded.mend(method);
        let mended = rig.clock_now();
        let done = rig.wait_until_done(message).await;
        let took = rig.clock_now().since(mended);
        assert!(took < Duration::from_secs(1), "{method}: {took:?}");
        assert_eq!(done.counts.accepted, 10, "{method}");
        assert_eq!(rig.alerted(), [], "{method}");
        assert_eq!(log.lines("a pass over a batch failed"), 0, "{method}");
        assert_eq!(rig.metrics.record_failures(), 0, "{method}");
        rig.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_read_lets_others_go_on() {
    let rig = Rig::start(|_, _| answer(201), None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(500));
    rig.subscribe_many(10, PushService::Mozilla).await;
    rig.commanded.fail("load_members", Fault::Hangs);
    let hidden = rig.broadcast().await;
    rig.pass(Duration::from_secs(1)).await;
    rig.commanded.hide_members(Some(hidden));
    rig.commanded.mend("load_members");
    rig.pass(Duration::from_secs(5)).await;
    assert_eq!(rig.alerted(), [AlertKind::OutcomesNotRecorded]);
    let other = rig.broadcast().await;
    rig.pass(Duration::from_secs(40)).await;
    assert_eq!(rig.look(other).await.counts.accepted, 10);
    assert_eq!(rig.look(hidden).await.counts.pending(), 10);
    // It was tried for long once.
    for _ in 0..10 {
        rig.pass(Duration::from_secs(5)).await;
        assert_eq!(rig.alerted(), []);
    }
    rig.commanded.hide_members(None);
    rig.pass(Duration::from_secs(80)).await;
    assert_eq!(rig.look(hidden).await.counts.accepted, 10);
    assert_eq!(rig.alerted(), []);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_expires_all_the_same() {
    let rig = Rig::start(|_, _| answer(201), None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(500));
    rig.subscribe_many(10, PushService::Mozilla).await;
    rig.commanded.fail("load_members", Fault::Hangs);
    let message = rig.send(rig.broadcast_for(Duration::from_secs(100))).await;
    rig.pass(Duration::from_secs(1)).await;
    rig.commanded.hide_members(Some(message));
    rig.commanded.mend("load_members");
    rig.pass(Duration::from_secs(90)).await;
    assert_eq!(rig.look(message).await.counts.pending(), 10);
    rig.pass(Duration::from_secs(150)).await;
    let done = rig.look(message).await;
    assert_eq!((done.counts.expired, done.counts.pending()), (10, 0));
    assert!(done.done_at.is_some());
    assert_eq!(rig.push_service.all_posts(), 0);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_recorded_while_more_members_are_loaded() {
    for fault in [Fault::Hangs, Fault::Unavailable] {
        let rig = Rig::start(|_, _| answer(201), None).await;
        let mut rig = rig.in_steps_of(Duration::from_millis(10));
        rig.push_service.answer_after(Duration::from_millis(500));
        rig.subscribe_many(300, PushService::Mozilla).await;
        rig.commanded.fail_after(1, "load_members", fault);
        let message = rig.broadcast().await;
        rig.wait_until(|| rig.push_service.all_posts() == 256).await;
        let answered = rig.clock_now().plus(Duration::from_millis(500));
        rig.wait_for(message, |message| message.counts.accepted == 256)
            .await;
        let waited = rig.clock_now().since(answered);
        assert!(
            waited <= Duration::from_millis(220),
            "{fault:?}: {waited:?}"
        );
        rig.commanded.mend("load_members");
        assert_eq!(rig.wait_until_done(message).await.counts.accepted, 300);
        assert_eq!(rig.push_service.all_posts(), 300, "each once");
        rig.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_does_not_hold_up_a_stop() {
    for method in ["load_members", "message_to_send"] {
        for fault in [Fault::Hangs, Fault::Unavailable] {
            let (log, _guard) = Log::of_this_thread();
            let mut rig = Rig::start(|_, _| answer(201), None).await;
            rig.subscribe(PushService::Mozilla).await;
            rig.commanded.fail(method, fault);
            rig.broadcast().await;
            rig.pass(Duration::from_secs(2)).await;
            assert!(rig.commanded.calls(method) > 0);
            let told = rig.clock_now();
            rig.shutdown().await;
            let took = rig.clock_now().since(told).as_millis();
            assert!(took < 500, "{method} {fault:?}: {took} ms");
            assert_eq!(log.lines("stopped before"), 0, "{method} {fault:?}");
            // It was given back.
            assert_eq!(rig.store.due_groups().await.unwrap().len(), 1);
        }
    }
}
