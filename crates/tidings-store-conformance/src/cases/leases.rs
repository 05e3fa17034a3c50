//! Who does not hold the token of a batch can do nothing to it.

use std::time::Duration;

use tidings_core::batch::{BatchId, Lease};
use tidings_core::delivery::{Outcome, OutcomeKind};
use tidings_core::message::{MessageCounts, MessageState};
use tidings_core::store::{PassEnd, PassTimes, StoreError};
use tidings_core::subscription::SubscriptionState;

use crate::harness::Harness;
use crate::world::{Sending, World, at_once};

pub(crate) async fn a_held_lease_is_kept_alive<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    assert!(renew(&world, &sending.lease).await);
    world
        .record(&sending, vec![sending.outcome(0, OutcomeKind::Accepted)])
        .await;
    assert!(renew(&world, &sending.lease).await);
}

pub(crate) async fn a_lease_with_another_token_is_none<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    let forged = Lease {
        token: [7; 16],
        ..sending.lease.clone()
    };
    assert_useless(&world, &sending, &forged).await;
    assert!(
        renew(&world, &sending.lease).await,
        "the right one is not disturbed"
    );
}

pub(crate) async fn a_lease_on_an_unknown_batch_is_none<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    let unknown = BatchId::from_i64(sending.batch.id.as_i64() + 1_000);
    let lease = Lease {
        batch: unknown,
        ..sending.lease.clone()
    };
    assert_useless(&world, &sending, &lease).await;
}

pub(crate) async fn a_lost_lease_records_nothing<H: Harness>(mut world: World<H>) {
    let sending = world.sending(2).await;
    world.harness.lose_leases().await;
    assert_useless(&world, &sending, &sending.lease).await;
}

pub(crate) async fn a_lost_lease_is_claimable<H: Harness>(mut world: World<H>) {
    let mut sending = world.sending(2).await;
    let lost = sending.lease.clone();
    world
        .record(&sending, vec![sending.outcome(0, OutcomeKind::Accepted)])
        .await;
    world.harness.lose_leases().await;
    world.claim_again(&mut sending).await;
    assert_ne!(sending.lease, lost);
    assert!(
        sending
            .batch
            .settled
            .get(sending.outcome(0, OutcomeKind::Accepted).position.0)
    );
    assert_eq!(
        sending.batch.settled.count(),
        1,
        "what was recorded is not sent again"
    );
}

pub(crate) async fn a_lost_lease_does_not_disturb_the_next<H: Harness>(mut world: World<H>) {
    let mut sending = world.sending(2).await;
    let lost = sending.lease.clone();
    world.harness.lose_leases().await;
    world.claim_again(&mut sending).await;
    assert_useless(&world, &sending, &lost).await;
    assert!(renew(&world, &sending.lease).await);
    world
        .record(&sending, sending.all(OutcomeKind::Accepted))
        .await;
    let end = world
        .store()
        .finish_pass(&sending.lease, PassTimes::at(world.now()))
        .await
        .unwrap();
    assert_eq!(end, PassEnd::Done { message_done: true });
}

pub(crate) async fn a_released_lease_records_nothing<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    world.store().release(&sending.lease).await.unwrap();
    assert_useless(&world, &sending, &sending.lease).await;
}

pub(crate) async fn a_released_batch_is_claimable_at_once<H: Harness>(world: World<H>) {
    let mut sending = world.sending(3).await;
    let retry = OutcomeKind::Retrying {
        next_attempt_at: world.now().plus(Duration::from_hours(1)),
    };
    let recorded = vec![
        sending.outcome(0, OutcomeKind::Accepted),
        sending.outcome(1, retry),
    ];
    world.record(&sending, recorded).await;
    world.store().release(&sending.lease).await.unwrap();

    world.claim_again(&mut sending).await;

    assert_eq!(sending.batch.settled.count(), 1);
    let turn = world.load(&sending.batch).await;
    assert_eq!(
        turn.len(),
        1,
        "neither the settled one nor the one that waits"
    );
    let counts = world.counts(sending.message).await;
    assert_eq!((counts.accepted, counts.retrying), (1, 1));
}

pub(crate) async fn a_finished_lease_records_nothing<H: Harness>(world: World<H>) {
    let mut sending = world.sending(2).await;
    let first = sending.lease.clone();
    let end = world
        .store()
        .finish_pass(&first, PassTimes::at(world.now()))
        .await
        .unwrap();
    assert!(
        matches!(end, PassEnd::Again { .. }),
        "nothing was recorded: {end:?}"
    );
    assert_useless(&world, &sending, &first).await;

    world.claim_again(&mut sending).await;
    world
        .record(&sending, sending.all(OutcomeKind::Accepted))
        .await;
    world
        .store()
        .finish_pass(&sending.lease, PassTimes::at(world.now()))
        .await
        .unwrap();
    for lease in [&first, &sending.lease] {
        assert_eq!(
            lost(&world, lease, sending.all(OutcomeKind::Refused)).await,
            [true; 2]
        );
        assert!(!renew(&world, lease).await);
    }
    let message = world.message(sending.message).await;
    assert_eq!(
        (message.counts.accepted, message.state),
        (2, MessageState::Done)
    );
}

pub(crate) async fn of_concurrent_passes_one_is_finished<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    let now = world.now();
    world
        .record(&sending, sending.all(OutcomeKind::Accepted))
        .await;
    let passes = (0..8).map(|_| {
        let (store, lease) = (world.store(), sending.lease.clone());
        async move { store.finish_pass(&lease, PassTimes::at(now)).await }
    });
    let ends = at_once(passes).await;
    let done = |end: &&Result<_, _>| matches!(end, Ok(PassEnd::Done { message_done: true }));
    assert_eq!(ends.iter().filter(done).count(), 1);
    let lost = |end: &&Result<_, _>| matches!(end, Err(StoreError::LeaseLost));
    assert_eq!(ends.iter().filter(lost).count(), 7);
}

/// Tries everything with a lease that must not work, and sees that nothing happened.
async fn assert_useless<H: Harness>(world: &World<H>, sending: &Sending, lease: &Lease) {
    assert!(!renew(world, lease).await);
    let retry = OutcomeKind::Retrying {
        next_attempt_at: world.now().plus(Duration::from_secs(1)),
    };
    for kind in [OutcomeKind::Gone, OutcomeKind::Accepted, retry] {
        assert_eq!(
            lost(world, lease, sending.all(kind)).await,
            [true; 2],
            "{kind:?}"
        );
    }
    assert_eq!(
        lost(world, lease, vec![]).await,
        [true; 2],
        "not even nothing"
    );
    world.store().release(lease).await.unwrap();

    let targeted = u64::from(sending.batch.selection.member_count());
    let expected = MessageCounts {
        targeted,
        ..MessageCounts::default()
    };
    assert_eq!(world.counts(sending.message).await, expected);
    for subscriber in &sending.subscribers {
        assert_eq!(world.state_of(subscriber).await, SubscriptionState::Active);
    }
    let turn = world.load(&sending.batch).await;
    assert!(
        turn.iter().all(|member| member.attempts == 0),
        "no attempt was noted"
    );
    assert_eq!(turn.len(), sending.subscribers.len(), "and nobody waits");
}

/// Whether recording and finishing are told that the lease is lost.
async fn lost<H: Harness>(world: &World<H>, lease: &Lease, outcomes: Vec<Outcome>) -> [bool; 2] {
    let recorded = world.store().record(lease, outcomes, world.now()).await;
    let finished = world
        .store()
        .finish_pass(lease, PassTimes::at(world.now()))
        .await;
    [
        matches!(recorded, Err(StoreError::LeaseLost)),
        matches!(finished, Err(StoreError::LeaseLost)),
    ]
}

async fn renew<H: Harness>(world: &World<H>, lease: &Lease) -> bool {
    world.store().renew(lease).await.unwrap()
}
