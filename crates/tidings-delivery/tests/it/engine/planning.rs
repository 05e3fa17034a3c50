//! The plan: in steps, each of them durable.

use tidings_core::message::{MessageCounts, MessageState};
use tidings_testkit::FixedClock;
use tidings_webpush::PushService;

use crate::rig::{Fault, Rig, answer};

#[tokio::test(start_paused = true)]
async fn an_audience_of_nobody_is_done_at_once() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    let message = rig.broadcast().await;
    let done = rig.wait_until_done(message).await;
    assert_eq!(done.counts, MessageCounts::default());
    assert!(done.done_at.unwrap() >= FixedClock::START);
    rig.shutdown().await;
}

/// More than one step of the planner reads.
const TWO_STEPS: u64 = 4196;

#[tokio::test(start_paused = true)]
async fn sending_begins_while_planning_goes_on_which_a_crash_does_not_begin_anew() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    let count = usize::try_from(TWO_STEPS).unwrap();
    let subscribed = rig.subscribe_many(count, PushService::Fcm).await;
    rig.commanded.fail_after(1, "add_planned", Fault::Hangs);
    let message = rig.broadcast().await;
    let planning = rig
        .wait_for(message, |message| message.counts.accepted > 0)
        .await;
    assert_eq!(planning.state, MessageState::Planning);
    assert_eq!(planning.counts.targeted, 4096, "the first step");
    rig.crash().await;
    let before = rig.push_service.all_posts();
    assert!(before < count, "it was in the middle");
    rig.restart();
    let done = rig.wait_until_done(message).await;
    assert_eq!(rig.commanded.calls("add_planned"), 1, "the second step");
    let counts = done.counts;
    assert_eq!((counts.targeted, counts.accepted), (TWO_STEPS, TWO_STEPS));
    for (_, resource) in &subscribed {
        assert!(!rig.push_service.posts(resource).is_empty());
    }
    let twice = rig.push_service.all_posts() - count;
    assert!(twice <= 64 + 256, "under way or not yet recorded: {twice}");
    rig.shutdown().await;
}
