//! The plan: in steps, each of them durable.

use std::time::Duration;

use tidings_core::alert::AlertKind;
use tidings_core::message::{MessageCounts, MessageState};
use tidings_testkit::FixedClock;
use tidings_webpush::PushService;

use crate::rig::{Fault, Log, Rig, answer};

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

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_once_before_anything_is_sent_and_ends_by_itself() {
    for method in ["add_planned", "claim_due"] {
        let (log, _guard) = Log::of_this_thread();
        let mut rig = Rig::start(|_, _| answer(201), None).await;
        rig.subscribe_many(3, PushService::Fcm).await;
        rig.commanded.fail(method, Fault::Unavailable);
        let message = rig.broadcast().await;
        rig.wait_until(|| !rig.alerted().is_empty()).await;
        assert_eq!(rig.alerted(), [AlertKind::OutcomesNotRecorded], "{method}");
        rig.pass(Duration::from_mins(2)).await;
        assert!(rig.commanded.calls(method) > 100, "{method}: tried again");
        assert_eq!(rig.alerted(), [AlertKind::OutcomesNotRecorded], "{method}");
        let told = log.lines("cannot be written to the database");
        assert_eq!(told, 1, "{method}");
        assert_eq!(log.lines("ERROR"), 1, "{method}: nothing else");
        rig.commanded.mend(method);
        let counts = rig.wait_until_done(message).await.counts;
        assert_eq!(counts.accepted, 3, "{method}");
        assert_eq!(rig.alerted(), [], "{method}");
        rig.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_is_told_once_for_each_message_and_stops_no_sending() {
    let (log, _guard) = Log::of_this_thread();
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.answer_after(Duration::from_millis(100));
    rig.subscribe_many(300, PushService::Fcm).await;
    let first = rig.broadcast().await;
    rig.wait_until(|| rig.push_service.all_posts() > 0).await;
    for cause in ["this page", "that page"] {
        rig.commanded.fail("add_planned", Fault::Refuses(cause));
        let damaged = rig.broadcast().await;
        rig.pass(Duration::from_mins(1)).await;
        assert_eq!(log.lines(cause), 1);
        assert_eq!(log.lines(&damaged.to_string()), 1);
        assert_eq!(rig.look(damaged).await.state, MessageState::Failed);
    }
    assert_eq!(log.lines("ERROR"), 2);
    assert_eq!(rig.alerted(), []);
    assert_eq!(rig.look(first).await.counts.accepted, 300);
    rig.commanded.mend("add_planned");
    let next = rig.broadcast().await;
    assert_eq!(rig.wait_until_done(next).await.counts.accepted, 300);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_refused_for_good_has_failed_and_others_go_on() {
    for method in ["audience", "add_planned"] {
        let (log, _guard) = Log::of_this_thread();
        let mut rig = Rig::start(|_, _| answer(201), None).await;
        let (person, _) = rig.subscribe(PushService::Fcm).await;
        rig.commanded.fail("next_plans", Fault::Hangs);
        let damaged = rig.send(rig.direct(vec![person])).await;
        rig.commanded.refuse_plan(method, damaged);
        let good = rig.send(rig.direct(vec![person])).await;
        let broadcast = rig.broadcast().await;
        rig.commanded.mend("next_plans");
        rig.settle().await;
        let planned = rig.look(good).await.state;
        assert_ne!(planned, MessageState::Planning, "{method}: no time passed");
        assert_eq!(rig.wait_until_done(broadcast).await.counts.accepted, 1);
        assert_eq!(rig.wait_until_done(good).await.counts.accepted, 1);
        assert_eq!(rig.look(damaged).await.state, MessageState::Failed);
        assert_eq!(rig.commanded.calls(method), 5 + 2, "{method}");
        assert_eq!(log.lines("ERROR"), 1, "{method}");
        assert_eq!(log.lines(&damaged.to_string()), 1, "{method}");
        rig.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_refused_now_and_then_goes_on() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.subscribe_many(3, PushService::Fcm).await;
    rig.commanded.fail("audience", Fault::Refuses("this page"));
    let message = rig.broadcast().await;
    rig.wait_until(|| rig.commanded.calls("audience") == 4)
        .await;
    assert_eq!(rig.look(message).await.state, MessageState::Planning);
    rig.commanded.mend("audience");
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 3);
    rig.shutdown().await;
}
