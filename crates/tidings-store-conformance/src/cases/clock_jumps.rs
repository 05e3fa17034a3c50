use std::time::Duration;

use tidings_core::batch::NewBatch;
use tidings_core::clock::Timestamp;
use tidings_core::delivery::OutcomeKind;
use tidings_core::id::MessageId;
use tidings_core::message::{Audience, NewMessage};
use tidings_core::store::PassTimes;
use tidings_core::subscription::SubscriptionRecord;

use crate::harness::Harness;
use crate::world::{Sending, World, list_of, seqs};

const HOUR: Duration = Duration::from_hours(1);

/// Sets the clock back, and has everything that waits past ten minutes from then be due.
async fn set_back<H: Harness>(world: &World<H>, by: Duration) -> u64 {
    let now = world.now().minus(by);
    world.entities.clock.set(now);
    let latest = now.plus(Duration::from_mins(10));
    let due = world.store().due_after_clock_jump(now, latest).await;
    due.unwrap()
}

/// A batch of a message that was to be sent when it was accepted.
async fn at_once<H: Harness>(
    world: &World<H>,
    message: MessageId,
    subscribers: &[SubscriptionRecord],
) -> NewBatch {
    NewBatch {
        due_at: world.message(message).await.due_at,
        ..world.batch(list_of(&seqs(subscribers)))
    }
}

async fn retried<H: Harness>(world: &World<H>, next_attempt_at: Timestamp) -> Sending {
    let sending = world.sending(2).await;
    world
        .record(
            &sending,
            sending.all(OutcomeKind::Retrying { next_attempt_at }),
        )
        .await;
    let store = world.store();
    let finished = store.finish_pass(&sending.lease, PassTimes::at(world.now()));
    finished.await.unwrap();
    sending
}

pub(crate) async fn retries_reckoned_from_a_later_time_are_due<H: Harness>(world: World<H>) {
    let soon = world.now().plus(Duration::from_mins(5));
    let mut sending = retried(&world, soon).await;
    assert!(world.claim(1).await.is_empty());

    assert_eq!(set_back(&world, HOUR).await, 1);

    world.claim_again(&mut sending).await;
    let turn = world.load(&sending.batch).await;
    assert!(turn.len() == 2 && turn.iter().all(|member| member.attempts == 1));
    let counts = world.counts(sending.message).await;
    assert_eq!(counts.retrying, 2, "nothing is counted anew");
}

pub(crate) async fn retries_within_the_longest_delay_wait_on<H: Harness>(world: World<H>) {
    let soon = world.now().plus(Duration::from_mins(5));
    let mut sending = retried(&world, soon).await;
    assert_eq!(set_back(&world, Duration::from_mins(5)).await, 0);
    assert!(world.claim(1).await.is_empty());
    world.entities.clock.set(soon);
    world.claim_again(&mut sending).await;
    assert_eq!(world.load(&sending.batch).await.len(), 2);
}

pub(crate) async fn one_late_retry_among_others_is_due<H: Harness>(world: World<H>) {
    let mut sending = world.sending(2).await;
    let at = |minutes| OutcomeKind::Retrying {
        next_attempt_at: world.now().plus(Duration::from_mins(minutes)),
    };
    let outcomes = vec![sending.outcome(0, at(0)), sending.outcome(1, at(55))];
    world.record(&sending, outcomes).await;
    let store = world.store();
    let finished = store.finish_pass(&sending.lease, PassTimes::at(world.now()));
    finished.await.unwrap();
    assert_eq!(set_back(&world, Duration::from_mins(1)).await, 1);
    world.wait(Duration::from_mins(1));
    world.claim_again(&mut sending).await;
    assert_eq!(world.load(&sending.batch).await.len(), 2);
}

pub(crate) async fn what_was_to_be_sent_at_once_is_sent<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(2).await;
    let planned = world.accept(Audience::All).await.id;
    let batch = at_once(&world, planned, &subscribers).await;
    world.cut(planned, vec![batch]).await;
    let accepted = world.accept(Audience::All).await.id;

    assert_eq!(set_back(&world, HOUR).await, 1);

    assert_eq!(world.claim(10).await.len(), 1);
    let plan = world.next_plan().await;
    assert_eq!(plan.unwrap().message, accepted);
}

pub(crate) async fn what_was_never_tried_is_due_however_small_the_jump<H: Harness>(
    world: World<H>,
) {
    let subscribers = world.subscribe_many(2).await;
    let planned = world.accept(Audience::All).await.id;
    let batch = at_once(&world, planned, &subscribers).await;
    world.cut(planned, vec![batch]).await;
    assert_eq!(set_back(&world, Duration::from_mins(5)).await, 1);
    assert_eq!(world.claim(10).await.len(), 1);
}

pub(crate) async fn what_is_planned_after_a_jump_is_due<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(2).await;
    let planned = world.accept(Audience::All).await.id;
    // Its deadline goes by the time that it was accepted.
    let batch = at_once(&world, planned, &subscribers).await;
    assert_eq!(set_back(&world, HOUR).await, 0);
    world.cut(planned, vec![batch]).await;
    assert_eq!(world.claim(10).await.len(), 1);
}

pub(crate) async fn what_was_scheduled_waits_for_its_time<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(2).await;
    let due_at = world.now().plus(HOUR);
    let later = |new: NewMessage| NewMessage { due_at, ..new };
    let planned = later(world.entities.new_message(Audience::All));
    let planned = world.accept_new(planned).await.id;
    let mut batch = world.batch(list_of(&seqs(&subscribers)));
    batch.due_at = due_at;
    world.cut(planned, vec![batch]).await;
    let accepted = later(world.entities.new_message(Audience::All));
    world.accept_new(accepted).await;

    assert_eq!(set_back(&world, Duration::from_mins(1)).await, 0);

    let just_before = due_at.minus(Duration::from_millis(1));
    world.entities.clock.set(just_before);
    assert!(world.claim(10).await.is_empty());
    assert!(world.next_plan().await.is_none());
    world.entities.clock.set(due_at);
    assert_eq!(world.claim(10).await.len(), 1);
}

pub(crate) async fn many_batches_are_due_after_a_jump<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(1).await;
    let message = world.accept(Audience::All).await.id;
    let batch = at_once(&world, message, &subscribers).await;
    world.cut(message, vec![batch; 200]).await;
    assert_eq!(set_back(&world, HOUR).await, 200);
    assert_eq!(world.claim(300).await.len(), 200);
}
