//! Wall clocks are set; messages are neither lost nor doubled by it.

use std::time::Duration;

use tidings_core::subscription::PushServiceGroup;
use tidings_webpush::PushService;

use crate::rig::{Fault, Rig, answer, answer_later};

const HOUR: i64 = 60 * 60;

/// Everybody waits for ten minutes; then the clock is set, and half a minute passes.
async fn after_a_jump_of(seconds: i64) {
    let script = |_: &_, number| match number {
        1 => answer_later(503, "600"),
        _ => answer(201),
    };
    let rig = Rig::start(script, None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(500));
    rig.subscribe_many(30, PushService::Mozilla).await;
    let message = rig.broadcast().await;
    rig.wait_for(message, |message| message.counts.retrying == 30)
        .await;
    rig.set_clock_by(seconds);
    rig.pass(Duration::from_secs(30)).await;
    assert_eq!(rig.look(message).await.counts.accepted, 30);
    assert_eq!(rig.push_service.all_posts(), 60);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_forward_loses_and_doubles_nothing() {
    after_a_jump_of(HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_delays_and_doubles_nothing() {
    after_a_jump_of(-HOUR).await;
}

/// A batch is not claimed and a plan is not kept yet while the clock is set back.
#[tokio::test(start_paused = true)]
async fn what_waits_for_its_first_turn_does_not_wait_for_the_clock() {
    let rig = Rig::start(|_, _| answer(201), None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(500));
    rig.subscribe_many(3, PushService::Mozilla).await;
    let mozilla = PushServiceGroup::of_service(PushService::Mozilla);
    rig.commanded.refuse_claims(Some(mozilla));
    let planned = rig.broadcast().await;
    rig.pass(Duration::from_secs(2)).await;
    rig.commanded.fail("add_planned", Fault::Unavailable);
    let accepted = rig.broadcast().await;
    rig.pass(Duration::from_secs(2)).await;
    assert_eq!(rig.look(planned).await.counts.targeted, 3);
    assert_eq!(rig.look(accepted).await.counts.targeted, 0);

    rig.set_clock_by(-HOUR);
    rig.commanded.refuse_claims(None);
    rig.commanded.mend("add_planned");
    rig.pass(Duration::from_secs(30)).await;
    for message in [planned, accepted] {
        assert_eq!(rig.look(message).await.counts.accepted, 3);
    }
    rig.shutdown().await;
}

/// What was answered before the jump is recorded only after it was heeded.
#[tokio::test(start_paused = true)]
async fn a_retry_recorded_after_the_jump_does_not_wait_for_the_clock() {
    let script = |_: &_, number| match number {
        1 => answer_later(503, "20"),
        _ => answer(201),
    };
    let rig = Rig::start(script, None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(100));
    rig.subscribe_many(3, PushService::Mozilla).await;
    rig.commanded.fail("record", Fault::Hangs);
    let message = rig.broadcast().await;
    rig.pass(Duration::from_secs(2)).await;
    assert_eq!(rig.push_service.all_posts(), 3);
    let looked = rig.commanded.calls("due_after_clock_jump");

    rig.set_clock_by(-HOUR);
    rig.pass(Duration::from_millis(1500)).await;
    assert!(rig.commanded.calls("due_after_clock_jump") > looked);
    rig.commanded.mend("record");
    rig.pass(Duration::from_secs(30)).await;
    assert_eq!(rig.look(message).await.counts.accepted, 3);
    rig.shutdown().await;
}
