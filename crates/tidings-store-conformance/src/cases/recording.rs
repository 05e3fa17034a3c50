use std::time::Duration;

use tidings_core::batch::{Position, Seq};
use tidings_core::clock::Timestamp;
use tidings_core::delivery::{LastAnswer, Outcome, OutcomeKind};
use tidings_core::message::{Audience, MessageCounts};
use tidings_core::store::StoreError;
use tidings_core::subscription::SubscriptionState;

use crate::harness::Harness;
use crate::world::{Sending, World, all_accepted, at_once, list_of, outcome, range_of, seqs};

const FINAL: [OutcomeKind; 6] = [
    OutcomeKind::Accepted,
    OutcomeKind::Gone,
    OutcomeKind::Refused,
    OutcomeKind::Expired,
    OutcomeKind::Ended,
    OutcomeKind::Cancelled,
];

fn retry_at(next_attempt_at: Timestamp) -> OutcomeKind {
    OutcomeKind::Retrying { next_attempt_at }
}

/// Checks all counts, and that they sum up.
async fn assert_counts<H: Harness>(world: &World<H>, sending: &Sending, expected: MessageCounts) {
    let counts = world.counts(sending.message).await;
    assert_eq!(counts, expected);
    let MessageCounts {
        targeted,
        retrying,
        accepted,
        gone,
        refused,
        expired,
        ended,
        cancelled,
    } = counts;
    let known = retrying + accepted + gone + refused + expired + ended + cancelled;
    assert_eq!(targeted, counts.pending() + known, "{counts:?}");
}

pub(crate) async fn each_outcome_has_its_count<H: Harness>(world: World<H>) {
    for select in [range_of, list_of] {
        let sending = world.sending_as(8, select).await;
        let mut expected = MessageCounts {
            targeted: 8,
            ..MessageCounts::default()
        };
        assert_counts(&world, &sending, expected).await;
        for (subscriber, kind) in FINAL.into_iter().enumerate() {
            world
                .record(&sending, vec![sending.outcome(subscriber, kind)])
                .await;
            *match kind {
                OutcomeKind::Accepted => &mut expected.accepted,
                OutcomeKind::Gone => &mut expected.gone,
                OutcomeKind::Refused => &mut expected.refused,
                OutcomeKind::Expired => &mut expected.expired,
                OutcomeKind::Ended => &mut expected.ended,
                OutcomeKind::Cancelled => &mut expected.cancelled,
                OutcomeKind::Retrying { .. } => &mut expected.retrying,
            } += 1;
            assert_counts(&world, &sending, expected).await;
        }
        let retry = retry_at(world.now().plus(Duration::from_secs(1)));
        world
            .record(&sending, vec![sending.outcome(6, retry)])
            .await;
        expected.retrying = 1;
        assert_counts(&world, &sending, expected).await;
        assert_eq!(expected.pending(), 1);
    }
}

pub(crate) async fn many_outcomes_are_recorded_at_once<H: Harness>(world: World<H>) {
    let mut subscribers = world.subscribe_at_once(256).await;
    subscribers.sort_by_key(|subscriber| subscriber.seq);
    let message = world.accept(Audience::All).await.id;
    world
        .cut(message, vec![world.batch(range_of(&seqs(&subscribers)))])
        .await;
    let leased = world.claim(1).await.remove(0);
    let sending = Sending {
        subscribers,
        message,
        batch: leased.batch,
        lease: leased.lease,
    };
    world
        .record(&sending, sending.all(OutcomeKind::Accepted))
        .await;
    let all = MessageCounts {
        targeted: 256,
        accepted: 256,
        ..MessageCounts::default()
    };
    assert_counts(&world, &sending, all).await;
}

pub(crate) async fn an_outcome_recorded_twice_counts_once<H: Harness>(world: World<H>) {
    let sending = world.sending(8).await;
    let once = |subscriber| vec![sending.outcome(subscriber, OutcomeKind::Accepted)];
    world.record(&sending, once(0)).await;
    world.record(&sending, once(0)).await;
    world
        .record(&sending, [once(1), once(0), once(1)].concat())
        .await;
    let two = MessageCounts {
        targeted: 8,
        accepted: 2,
        ..MessageCounts::default()
    };
    assert_counts(&world, &sending, two).await;
}

pub(crate) async fn a_final_outcome_is_never_replaced<H: Harness>(world: World<H>) {
    let later = world.now().plus(Duration::from_secs(1));
    for first in FINAL {
        let sending = world.sending(3).await;
        world
            .record(&sending, vec![sending.outcome(0, first)])
            .await;
        let before = world.counts(sending.message).await;
        for second in FINAL.into_iter().chain([retry_at(later)]) {
            world
                .record(&sending, vec![sending.outcome(0, second)])
                .await;
            assert_counts(&world, &sending, before).await;
        }
    }
}

pub(crate) async fn a_delivery_that_is_retried_counts_once<H: Harness>(world: World<H>) {
    let sending = world.sending(3).await;
    for attempt in 1..4 {
        let next = world.now().plus(Duration::from_secs(1));
        let retry = Outcome {
            attempt,
            ..sending.outcome(0, retry_at(next))
        };
        world.record(&sending, vec![retry]).await;
        let one = MessageCounts {
            targeted: 3,
            retrying: 1,
            ..MessageCounts::default()
        };
        assert_counts(&world, &sending, one).await;
        world.entities.clock.set(next);
        assert_eq!(world.load(&sending.batch).await[0].attempts, attempt);
    }
}

pub(crate) async fn a_retried_delivery_moves_to_its_final_count<H: Harness>(world: World<H>) {
    for kind in FINAL {
        let sending = world.sending(3).await;
        let retry = retry_at(world.now().plus(Duration::from_secs(1)));
        world
            .record(
                &sending,
                vec![sending.outcome(0, retry), sending.outcome(1, retry)],
            )
            .await;
        world.record(&sending, vec![sending.outcome(0, kind)]).await;
        let counts = world.counts(sending.message).await;
        assert_eq!((counts.retrying, counts.pending()), (1, 1), "{kind:?}");
        world.record(&sending, vec![sending.outcome(1, kind)]).await;
        let counts = world.counts(sending.message).await;
        assert_eq!((counts.retrying, counts.pending()), (0, 1), "{kind:?}");
    }
}

pub(crate) async fn recording_nothing_changes_nothing<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    world.record(&sending, vec![]).await;
    let none = MessageCounts {
        targeted: 2,
        ..MessageCounts::default()
    };
    assert_counts(&world, &sending, none).await;
}

pub(crate) async fn what_the_push_service_said_may_be_kept<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    let said = |status, reason: &str| {
        Some(LastAnswer {
            status,
            reason: reason.to_owned(),
        })
    };
    let refused = Outcome {
        last_answer: said(Some(413), &"ß".repeat(200)),
        ..sending.outcome(0, OutcomeKind::Refused)
    };
    let retry = Outcome {
        last_answer: said(None, "connection reset"),
        ..sending.outcome(1, retry_at(world.now()))
    };
    world.record(&sending, vec![refused, retry]).await;
    let both = MessageCounts {
        targeted: 2,
        refused: 1,
        retrying: 1,
        ..MessageCounts::default()
    };
    assert_counts(&world, &sending, both).await;
}

pub(crate) async fn only_gone_makes_a_tombstone<H: Harness>(world: World<H>) {
    let retry = retry_at(world.now().plus(Duration::from_secs(1)));
    for kind in FINAL.into_iter().chain([retry]) {
        let sending = world.sending(2).await;
        world.record(&sending, vec![sending.outcome(0, kind)]).await;
        let expected = match kind {
            OutcomeKind::Gone => SubscriptionState::Gone,
            _ => SubscriptionState::Active,
        };
        assert_eq!(
            world.state_of(&sending.subscribers[0]).await,
            expected,
            "{kind:?}"
        );
        assert_eq!(
            world.state_of(&sending.subscribers[1]).await,
            SubscriptionState::Active
        );
    }
}

pub(crate) async fn a_gone_subscription_is_reached_no_more<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    world
        .record(&sending, vec![sending.outcome(0, OutcomeKind::Gone)])
        .await;
    let app = sending.subscribers[0].application;
    let counted = world.store().subscriptions_by_vapid_key(app).await.unwrap();
    assert_eq!(counted.get(&world.key), Some(&1));
    world.accept(Audience::All).await;
    let plan = world.next_plan().await.unwrap();
    let audience = world
        .store()
        .audience(&plan, plan.cutoff, 10)
        .await
        .unwrap();
    assert_eq!(
        audience.iter().map(|m| m.seq).collect::<Vec<_>>(),
        [sending.subscribers[1].seq]
    );
}

pub(crate) async fn a_gone_subscription_becomes_active_again<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    let gone = vec![sending.outcome(0, OutcomeKind::Gone)];
    world.record(&sending, gone.clone()).await;
    let subscriber = &sending.subscribers[0];
    let again = world
        .entities
        .registration(subscriber.subscription.clone(), world.key);
    let again = world.register(again).await;
    assert_eq!(
        (again.id, again.state),
        (subscriber.id, SubscriptionState::Active)
    );

    world.record(&sending, gone).await;
    let state = world.state_of(subscriber).await;
    assert_eq!(
        state,
        SubscriptionState::Active,
        "recorded again, the outcome changes nothing"
    );
}

pub(crate) async fn gone_tombstones_are_forgotten_too<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    world
        .record(&sending, vec![sending.outcome(0, OutcomeKind::Gone)])
        .await;
    let kept = world
        .store()
        .sweep(world.tombstones_before(world.now()))
        .await
        .unwrap();
    assert_eq!(kept.tombstones, 0);
    let later = world.wait(Duration::from_millis(1));
    assert_eq!(
        world
            .store()
            .sweep(world.tombstones_before(later))
            .await
            .unwrap()
            .tombstones,
        1
    );
}

pub(crate) async fn a_member_without_subscription_is_recorded<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    let ended = Outcome {
        subscription: None,
        attempt: 0,
        ..sending.outcome(0, OutcomeKind::Ended)
    };
    world.record(&sending, vec![ended]).await;
    let one = MessageCounts {
        targeted: 2,
        ended: 1,
        ..MessageCounts::default()
    };
    assert_counts(&world, &sending, one).await;
}

pub(crate) async fn outcomes_are_recorded_all_or_none<H: Harness>(world: World<H>) {
    let sending = world.sending(4).await;
    let retry = retry_at(world.now().plus(Duration::from_secs(1)));
    for outside in [4, 4_095, u16::MAX] {
        let stranger = Outcome {
            position: Position(outside),
            ..sending.outcome(0, OutcomeKind::Accepted)
        };
        let outcomes = vec![
            sending.outcome(0, OutcomeKind::Gone),
            sending.outcome(1, retry),
            stranger,
            sending.outcome(3, OutcomeKind::Accepted),
        ];
        assert_refused(&world, &sending, outcomes).await;
    }
}

pub(crate) async fn an_outcome_for_nobody_is_refused<H: Harness>(world: World<H>) {
    // Position 1 is inside the range without being a member.
    let select = |seqs: &[Seq]| range_of(&[seqs[0], seqs[2], seqs[3]]);
    let sending = world.sending_as(4, select).await;
    let retry = retry_at(world.now().plus(Duration::from_secs(1)));
    for kind in [OutcomeKind::Accepted, retry] {
        let stranger = Outcome {
            position: Position(1),
            ..sending.outcome(0, kind)
        };
        let outcomes = vec![sending.outcome(0, OutcomeKind::Gone), stranger];
        assert_refused(&world, &sending, outcomes).await;
    }
}

/// Nothing of these outcomes is recorded. The first one would be a subscription that is gone.
async fn assert_refused<H: Harness>(world: &World<H>, sending: &Sending, outcomes: Vec<Outcome>) {
    let recorded = world
        .store()
        .record(&sending.lease, outcomes, world.now())
        .await;
    assert!(
        matches!(recorded, Err(StoreError::Refused(_))),
        "{recorded:?}"
    );
    let targeted = u64::from(sending.batch.selection.member_count());
    let none = MessageCounts {
        targeted,
        ..MessageCounts::default()
    };
    assert_counts(world, sending, none).await;
    assert_eq!(
        world.state_of(&sending.subscribers[0]).await,
        SubscriptionState::Active
    );
    let turn = world.load(&sending.batch).await;
    assert_eq!(turn.len() as u64, targeted, "nobody waits");
}

pub(crate) async fn a_messages_counts_are_those_of_its_batches<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(6).await;
    let all = seqs(&subscribers);
    let message = world.accept(Audience::All).await.id;
    let other = world.accept(Audience::All).await.id;
    let batches = vec![
        world.batch(range_of(&all[..4])),
        world.batch(list_of(&all[4..])),
    ];
    world.cut(message, batches).await;
    world.cut(other, vec![world.batch(range_of(&all))]).await;
    for leased in world.claim(10).await {
        let mut one = all_accepted(&leased.batch);
        one.truncate(1);
        world
            .store()
            .record(&leased.lease, one, world.now())
            .await
            .unwrap();
    }
    let expected = |accepted| MessageCounts {
        targeted: 6,
        accepted,
        ..MessageCounts::default()
    };
    assert_eq!(world.counts(message).await, expected(2));
    assert_eq!(world.counts(other).await, expected(1));
}

pub(crate) async fn concurrent_records_lose_and_double_nothing<H: Harness>(world: World<H>) {
    let sending = world.sending(60).await;
    let now = world.now();
    let retry = retry_at(now.plus(Duration::from_secs(1)));
    // Every delivery is retried once, then accepted, and each of these is recorded by two tasks.
    for kind in [retry, OutcomeKind::Accepted] {
        let recorders = (0..2).flat_map(|_| (0..60).step_by(5)).map(|first| {
            let (store, lease) = (world.store(), sending.lease.clone());
            let outcomes = (first..first + 5).map(|subscriber| sending.outcome(subscriber, kind));
            let outcomes = outcomes.collect();
            async move { store.record(&lease, outcomes, now).await.unwrap() }
        });
        at_once(recorders).await;
        let mut expected = MessageCounts {
            targeted: 60,
            ..MessageCounts::default()
        };
        if kind.is_final() {
            expected.accepted = 60;
        } else {
            expected.retrying = 60;
        }
        assert_counts(&world, &sending, expected).await;
    }
}

pub(crate) async fn other_batches_are_not_touched<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(4).await;
    let all = seqs(&subscribers);
    let message = world.accept(Audience::All).await.id;
    let batches = vec![
        world.batch(range_of(&all[..2])),
        world.batch(range_of(&all[2..])),
    ];
    world.cut(message, batches).await;
    let claimed = world.claim(2).await;
    let (first, second) = (&claimed[0], &claimed[1]);
    let retry = retry_at(world.now().plus(Duration::from_hours(1)));
    let mine = subscribers.iter().filter(|s| {
        first
            .batch
            .selection
            .unsettled(&first.batch.settled)
            .any(|(_, seq)| seq == s.seq)
    });
    let outcomes = mine.map(|s| outcome(&first.batch, s, retry, 1)).collect();
    world
        .store()
        .record(&first.lease, outcomes, world.now())
        .await
        .unwrap();
    assert_eq!(world.load(&first.batch).await.len(), 0);
    assert_eq!(world.load(&second.batch).await.len(), 2);
}
