//! Wall clocks are set; messages are neither lost nor doubled by it.

use std::time::Duration;

use tidings_webpush::PushService;

use crate::rig::{Rig, answer, answer_later};

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
