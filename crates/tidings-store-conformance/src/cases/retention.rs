use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::delivery::OutcomeKind;
use tidings_core::message::{Audience, MessageState};
use tidings_core::receipt::ReceiptEvent;
use tidings_core::store::{Accepted, PageRequest, PassTimes, StoreError, Sweep, Swept};
use tokio::task::JoinSet;

use crate::harness::Harness;
use crate::views;
use crate::world::{Sending, World, list_of, seqs};

const APP: ApplicationId = ApplicationId::DEFAULT;

async fn finish<H: Harness>(world: &World<H>, sending: &Sending) {
    let store = world.store();
    let finished = store.finish_pass(&sending.lease, PassTimes::at(world.now()));
    finished.await.unwrap();
}

async fn fold<H: Harness>(world: &World<H>, before: Timestamp) -> Swept {
    let sweep = Sweep {
        fold_before: before,
        ..world.tombstones_before(Timestamp::from_millis(0))
    };
    world.store().sweep(sweep).await.unwrap()
}

/// One delivery of each final outcome, done.
async fn done<H: Harness>(world: &World<H>) -> Sending {
    let sending = world.sending(7).await;
    let next_attempt_at = world.now();
    let retried = sending.outcome(0, OutcomeKind::Retrying { next_attempt_at });
    world.record(&sending, vec![retried]).await;
    let outcomes = [
        OutcomeKind::Accepted,
        OutcomeKind::Accepted,
        OutcomeKind::Gone,
        OutcomeKind::Refused,
        OutcomeKind::Expired,
        OutcomeKind::Ended,
        OutcomeKind::Cancelled,
    ];
    let outcomes = outcomes.into_iter().enumerate();
    let outcomes = outcomes.map(|(n, kind)| sending.outcome(n, kind)).collect();
    world.record(&sending, outcomes).await;
    finish(world, &sending).await;
    sending
}

pub(crate) async fn a_message_keeps_its_counts_without_its_batches<H: Harness>(
    mut world: World<H>,
) {
    let sending = done(&world).await;
    let before = views::message(&world.message(sending.message).await);
    assert_eq!(
        fold(&world, world.now()).await.folded,
        0,
        "not one that was done at that instant"
    );
    let later = world.wait(Duration::from_mins(10));

    // The batch, and a row for each of gone, refused and expired.
    assert_eq!(fold(&world, later).await.folded, 4);

    let page = PageRequest {
        after: None,
        limit: 10,
    };
    for _ in 0..2 {
        assert_eq!(
            views::message(&world.message(sending.message).await),
            before
        );
        let list = world.store().messages(APP, page).await.unwrap();
        assert_eq!(views::message(&list.items[0]), before);
        assert_eq!(fold(&world, later).await, Swept::default(), "once");
        world.harness.reopen().await;
    }
    let late = world
        .store()
        .record(
            &sending.lease,
            sending.all(OutcomeKind::Accepted),
            world.now(),
        )
        .await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
}

pub(crate) async fn what_is_not_done_keeps_its_batches<H: Harness>(world: World<H>) {
    let mut sending = world.sending(2).await;
    let next_attempt_at = world.now().plus(Duration::from_secs(1));
    world
        .record(
            &sending,
            sending.all(OutcomeKind::Retrying { next_attempt_at }),
        )
        .await;
    finish(&world, &sending).await;
    let later = world.wait(Duration::from_hours(1));
    assert_eq!(fold(&world, later).await, Swept::default());
    world.claim_again(&mut sending).await;
    assert_eq!(world.load(&sending.batch).await[0].attempts, 1);
}

pub(crate) async fn counts_are_exact_while_many_deliveries_are_folded<H: Harness>(world: World<H>) {
    let mut subscribers = world.subscribe_at_once(1_400).await;
    subscribers.sort_by_key(|subscriber| subscriber.seq);
    let message = world.accept(Audience::All).await.id;
    let batches = seqs(&subscribers)
        .chunks(7)
        .map(|few| world.batch(list_of(few)))
        .collect();
    world.cut(message, batches).await;
    for leased in world.claim(200).await {
        let members = leased.batch.selection.unsettled(&leased.batch.settled);
        let outcomes = members.map(|(position, _)| tidings_core::delivery::Outcome {
            position,
            subscription: None,
            kind: OutcomeKind::Refused,
            attempt: 1,
            last_answer: None,
        });
        let (store, now) = (world.store(), world.now());
        let outcomes = outcomes.collect();
        store.record(&leased.lease, outcomes, now).await.unwrap();
        store
            .finish_pass(&leased.lease, PassTimes::at(now))
            .await
            .unwrap();
    }
    let before = views::message(&world.message(message).await);
    assert_eq!(
        (before.state, before.counts.refused),
        (MessageState::Done, 1_400)
    );
    let later = world.wait(Duration::from_hours(1));
    let sweep = Sweep {
        fold_before: later,
        ..world.tombstones_before(Timestamp::from_millis(0))
    };
    let store = world.store();
    let mut sweeping = JoinSet::new();
    sweeping.spawn(async move { store.sweep(sweep).await.unwrap() });
    let swept = loop {
        assert_eq!(views::message(&world.message(message).await), before);
        if let Some(swept) = sweeping.try_join_next() {
            break swept.unwrap();
        }
    };
    assert_eq!(swept.folded, 1_600);
    assert_eq!(views::message(&world.message(message).await), before);
}

pub(crate) async fn messages_to_nobody_hold_up_no_other<H: Harness>(world: World<H>) {
    for _ in 0..230 {
        let message = world.accept(Audience::All).await.id;
        world.cut(message, vec![]).await;
        let state = world.message(message).await.state;
        assert_eq!(state, MessageState::Done);
    }
    world.wait(Duration::from_secs(1));
    let sending = done(&world).await;
    let before = views::message(&world.message(sending.message).await);
    let later = world.wait(Duration::from_mins(10));

    assert_eq!(fold(&world, later).await.folded, 4);

    assert_eq!(
        views::message(&world.message(sending.message).await),
        before
    );
    let sweep = Sweep {
        messages_before: later,
        ..world.tombstones_before(Timestamp::from_millis(0))
    };
    let swept = world.store().sweep(sweep).await.unwrap();
    assert_eq!(swept.messages, 231);
}

pub(crate) async fn a_message_is_forgotten_long_after_it_was_done<H: Harness>(world: World<H>) {
    let key = world.entities.idempotency_key();
    let new = world.entities.new_message(Audience::All);
    let id = new.id;
    world.store().accept(new, Some(key.clone())).await.unwrap();
    world.cut(id, vec![]).await;
    let subscriber = world.subscribe().await.id;
    let shown = world.entities.receipt(id, subscriber, ReceiptEvent::Shown);
    let now = world.now();
    let added = world.store().add_receipts(APP, vec![shown], now).await;
    assert_eq!(added.unwrap(), 1);
    let kept = world.accept(Audience::All).await.id;
    let done_at = world.message(id).await.done_at.unwrap();
    let later = world.wait(Duration::from_hours(24));
    let forget = |before| Sweep {
        fold_before: later,
        messages_before: before,
        ..world.tombstones_before(Timestamp::from_millis(0))
    };

    let swept = world.store().sweep(forget(done_at)).await.unwrap();
    assert_eq!(swept.messages, 0, "not one that was done at that instant");
    let swept = world.store().sweep(forget(later)).await.unwrap();
    assert_eq!((swept.messages, swept.receipts), (1, 1));

    assert!(world.store().message(APP, id).await.unwrap().is_none());
    assert_eq!(world.message(kept).await.state, MessageState::Planning);
    let again = world.entities.new_message(Audience::All);
    let again = world.store().accept(again, Some(key)).await.unwrap();
    assert!(matches!(again, Accepted::New(_)));
}

pub(crate) async fn a_failed_message_is_sent_no_more<H: Harness>(world: World<H>) {
    let sending = world.sending(3).await;
    world
        .record(&sending, vec![sending.outcome(0, OutcomeKind::Accepted)])
        .await;
    let before = world.counts(sending.message).await;
    let planned = world.accept(Audience::All).await.id;
    let now = world.wait(Duration::from_secs(1));
    for message in [sending.message, planned] {
        assert!(world.store().fail_message(message, now).await.unwrap());
        assert!(!world.store().fail_message(message, now).await.unwrap());
        let failed = world.message(message).await;
        assert_eq!(
            (failed.state, failed.done_at),
            (MessageState::Failed, Some(now))
        );
    }
    assert_eq!(world.counts(sending.message).await, before);
    assert!(world.next_plan().await.is_none());
    assert!(world.store().due_groups().await.unwrap().is_empty());
    let late = world
        .store()
        .record(&sending.lease, sending.all(OutcomeKind::Accepted), now)
        .await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    let step = world.whole_plan(
        planned,
        vec![world.batch(list_of(&seqs(&sending.subscribers)))],
    );
    assert!(world.store().add_planned(step).await.unwrap().is_none());
    let later = world.wait(Duration::from_hours(1));
    assert_eq!(fold(&world, later).await.folded, 1);
    assert_eq!(world.counts(sending.message).await, before);
}

pub(crate) async fn a_message_that_is_done_cannot_fail<H: Harness>(world: World<H>) {
    let sending = done(&world).await;
    let store = world.store();
    let failed = store.fail_message(sending.message, world.now());
    assert!(!failed.await.unwrap());
    let unknown = world.entities.new_message(Audience::All).id;
    let failed = store.fail_message(unknown, world.now());
    assert!(!failed.await.unwrap());
    assert_eq!(
        world.message(sending.message).await.state,
        MessageState::Done
    );
}
