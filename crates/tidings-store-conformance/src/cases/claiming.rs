use std::collections::BTreeSet;
use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::batch::{BatchId, Bitmap, Lane, LeasedBatch, NewBatch, Selection, Seq, WINDOW};
use tidings_core::clock::Timestamp;
use tidings_core::message::{Audience, NewMessage};
use tidings_core::store::{Claim, DueGroup};
use tidings_core::subscription::PushServiceGroup;
use tidings_webpush::PushService;

use crate::harness::Harness;
use crate::world::{World, at_once, list_of, mozilla};

pub(crate) async fn a_claimed_batch_is_as_it_was_planned<H: Harness>(world: World<H>) {
    let mut every_other = Bitmap::new(WINDOW);
    for bit in (0..WINDOW).step_by(2) {
        every_other.set(bit);
    }
    let mut last_of_nine = Bitmap::new(9);
    last_of_nine.set(8);
    let first = Seq::from_i64(8192);
    for selection in [
        Selection::Range {
            first,
            members: every_other,
        },
        Selection::Range {
            first: Seq::ZERO,
            members: last_of_nine,
        },
        Selection::Members(vec![Seq::from_i64(1)]),
        Selection::Members(
            (0..256)
                .map(|n| Seq::from_i64(n * n * 1_000_003 + 1))
                .collect(),
        ),
    ] {
        let message = world.accept(Audience::All).await.id;
        let planned = world.batch(selection.clone());
        let due_at = planned.due_at;
        let id = world.cut(message, vec![planned]).await[0];
        let claim = world.a_claim(10);
        let token = claim.token;

        let mut claimed = world.store().claim_due(claim).await.unwrap();

        assert_eq!(claimed.len(), 1);
        let LeasedBatch { batch, lease } = claimed.remove(0);
        assert_eq!((batch.id, batch.message), (id, message));
        assert_eq!(batch.application, ApplicationId::DEFAULT);
        assert_eq!(
            (batch.group, batch.lane, batch.due_at),
            (mozilla(), Lane::Bulk, due_at)
        );
        assert_eq!(batch.settled, Bitmap::new(selection.span()));
        assert_eq!(batch.selection, selection);
        assert_eq!((lease.batch, lease.token), (id, token));
    }
}

pub(crate) async fn nothing_is_claimed_before_it_is_due<H: Harness>(world: World<H>) {
    let due_at = world.now().plus(Duration::from_hours(1));
    let batch = batches(&world, &[due_at]).await[0];
    world
        .entities
        .clock
        .set(due_at.minus(Duration::from_millis(1)));
    assert_eq!(claim(&world, 10).await, []);
    world.entities.clock.set(due_at);
    assert_eq!(claim(&world, 10).await, [batch]);
}

pub(crate) async fn the_earliest_due_are_claimed_first<H: Harness>(world: World<H>) {
    let minutes_ago = |minutes| world.now().minus(Duration::from_mins(minutes));
    let [third, first, fourth, second] = *batches(&world, &[2, 4, 1, 3].map(minutes_ago))
        .await
        .as_slice()
    else {
        panic!("four were planned");
    };
    assert_eq!(claim(&world, 1).await, [first]);
    assert_eq!(claim(&world, 10).await, [second, third, fourth]);
}

pub(crate) async fn a_claim_takes_no_more_than_its_limit<H: Harness>(world: World<H>) {
    let now = world.now();
    batches(&world, &[now; 5]).await;
    let sizes = [claim(&world, 2).await.len(), claim(&world, 2).await.len()];
    assert_eq!(sizes, [2, 2]);
    assert_eq!(claim(&world, 2).await.len(), 1);
    assert_eq!(claim(&world, 2).await.len(), 0);
}

pub(crate) async fn a_claim_takes_one_push_service<H: Harness>(world: World<H>) {
    let seqs = [Seq::from_i64(1)];
    let [fcm, apple] = [PushService::Fcm, PushService::Apple].map(PushServiceGroup::of_service);
    let message = world.accept(Audience::All).await.id;
    let of = |group: &PushServiceGroup| NewBatch {
        group: group.clone(),
        ..world.batch(list_of(&seqs))
    };
    let numbers = world
        .cut(message, vec![of(&fcm), of(&apple), of(&fcm)])
        .await;
    let claimed = world
        .store()
        .claim_due(Claim {
            group: fcm,
            ..world.a_claim(10)
        })
        .await
        .unwrap();
    assert_eq!(ids(&claimed), [numbers[0], numbers[2]]);
    assert_eq!(
        claim(&world, 10).await,
        [],
        "there is none for {}",
        mozilla()
    );
}

pub(crate) async fn a_claim_takes_one_lane<H: Harness>(world: World<H>) {
    let subscriber = world.subscribe().await;
    let seqs = [subscriber.seq];
    let broadcast = world.accept(Audience::All).await.id;
    let broadcast = world
        .cut(broadcast, vec![world.batch(list_of(&seqs))])
        .await;
    let listed = Audience::Listed {
        subscriptions: vec![subscriber.id],
        users: vec![],
    };
    let direct = world.accept(listed).await.id;
    let direct = world.cut(direct, vec![world.batch(list_of(&seqs))]).await;
    for (lane, expected) in [(Lane::Direct, direct), (Lane::Bulk, broadcast)] {
        let claim = Claim {
            lane,
            ..world.a_claim(10)
        };
        let claimed = world.store().claim_due(claim).await.unwrap();
        assert_eq!(ids(&claimed), expected);
        assert!(claimed.iter().all(|leased| leased.batch.lane == lane));
    }
}

pub(crate) async fn a_claim_takes_one_application<H: Harness>(mut world: World<H>) {
    let now = world.now();
    let own = batches(&world, &[now]).await[0];
    let (application, _) = world.add_application().await;
    let other = batches_of(&world, application, &[now]).await[0];
    for (application, expected) in [(application, other), (ApplicationId::DEFAULT, own)] {
        let claim = Claim {
            application,
            ..world.a_claim(10)
        };
        let claimed = world.store().claim_due(claim).await.unwrap();
        assert_eq!(ids(&claimed), [expected]);
        assert_eq!(claimed[0].batch.application, application);
    }
}

pub(crate) async fn a_claimed_batch_is_not_claimed_again<H: Harness>(world: World<H>) {
    let now = world.now();
    let batch = batches(&world, &[now]).await[0];
    assert_eq!(claim(&world, 10).await, [batch]);
    world.wait(Duration::from_millis(1));
    assert_eq!(claim(&world, 10).await, []);
}

pub(crate) async fn concurrent_claims_never_share_a_batch<H: Harness>(world: World<H>) {
    let now = world.now();
    let planned: BTreeSet<_> = batches(&world, &[now; 60]).await.into_iter().collect();
    let claimers = (0..8).map(|_| {
        let store = world.store();
        let claims: Vec<_> = (0..20).map(|_| world.a_claim(3)).collect();
        async move {
            let mut claimed = Vec::new();
            for claim in claims {
                claimed.extend(ids(&store.claim_due(claim).await.unwrap()));
            }
            claimed
        }
    });
    let claimed: Vec<_> = at_once(claimers).await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), planned.len(), "none was claimed twice");
    assert_eq!(
        claimed.into_iter().collect::<BTreeSet<_>>(),
        planned,
        "none was left"
    );
}

pub(crate) async fn every_lane_of_a_push_service_has_its_due_group<H: Harness>(world: World<H>) {
    assert_eq!(due_groups(&world).await, []);
    let subscriber = world.subscribe().await;
    let seqs = [subscriber.seq];
    let at = |minutes| world.now().plus(Duration::from_mins(minutes));
    let planned = |group: PushServiceGroup, minutes| NewBatch {
        group,
        due_at: at(minutes),
        selection: list_of(&seqs),
    };
    let fcm = PushServiceGroup::of_service(PushService::Fcm);
    let listed = Audience::Listed {
        subscriptions: vec![subscriber.id],
        users: vec![],
    };
    let direct = world.accept(listed).await.id;
    let direct_due = at(4);
    world.cut(direct, vec![planned(mozilla(), 4)]).await;
    let broadcast = world.accept(Audience::All).await.id;
    let (fcm_due, bulk_due) = (at(3), at(1));
    world
        .cut(
            broadcast,
            vec![
                planned(mozilla(), 2),
                planned(mozilla(), 1),
                planned(fcm.clone(), 3),
            ],
        )
        .await;

    let group = |group: &PushServiceGroup, lane, not_before| DueGroup {
        application: ApplicationId::DEFAULT,
        group: group.clone(),
        lane,
        not_before,
    };
    let expected = [
        group(&fcm, Lane::Bulk, fcm_due),
        group(&mozilla(), Lane::Direct, direct_due),
        group(&mozilla(), Lane::Bulk, bulk_due),
    ];
    assert_eq!(due_groups(&world).await, expected);
}

pub(crate) async fn what_is_claimed_is_in_no_due_group<H: Harness>(world: World<H>) {
    let now = world.now();
    let later = now.plus(Duration::from_hours(1));
    batches(&world, &[now, later]).await;
    let claimed = world.claim(1).await.remove(0);
    let only_the_later = [DueGroup {
        application: ApplicationId::DEFAULT,
        group: mozilla(),
        lane: Lane::Bulk,
        not_before: later,
    }];
    assert_eq!(due_groups(&world).await, only_the_later);
    world.store().release(&claimed.lease).await.unwrap();
    assert_eq!(due_groups(&world).await[0].not_before, now);
}

pub(crate) async fn many_batches_are_few_due_groups<H: Harness>(mut world: World<H>) {
    let now = world.now();
    let (application, _) = world.add_application().await;
    let due: Vec<_> = (0..2_000)
        .map(|n| now.plus(Duration::from_millis(n)))
        .collect();
    batches(&world, &due).await;
    batches_of(&world, application, &due[1..]).await;
    let group = |application, not_before| DueGroup {
        application,
        group: mozilla(),
        lane: Lane::Bulk,
        not_before,
    };
    let mut groups = due_groups(&world).await;
    groups.sort_by_key(|due| due.application.as_i64());
    assert_eq!(
        groups,
        [
            group(ApplicationId::DEFAULT, now),
            group(application, due[1])
        ]
    );
}

/// Plans one message with a batch for each of these instants.
async fn batches<H: Harness>(world: &World<H>, due: &[Timestamp]) -> Vec<BatchId> {
    batches_of(world, ApplicationId::DEFAULT, due).await
}

async fn batches_of<H: Harness>(
    world: &World<H>,
    application: ApplicationId,
    due: &[Timestamp],
) -> Vec<BatchId> {
    let new = NewMessage {
        application,
        ..world.entities.new_message(Audience::All)
    };
    let message = world.accept_new(new).await.id;
    let planned = due.iter().zip(1..).map(|(due_at, seq)| NewBatch {
        group: mozilla(),
        due_at: *due_at,
        selection: list_of(&[Seq::from_i64(seq)]),
    });
    let planned = planned.collect();
    world.cut(message, planned).await
}

async fn claim<H: Harness>(world: &World<H>, limit: u16) -> Vec<BatchId> {
    ids(&world.claim(limit).await)
}

fn ids(claimed: &[LeasedBatch]) -> Vec<BatchId> {
    claimed.iter().map(|leased| leased.batch.id).collect()
}

/// In a fixed order, for none is promised.
async fn due_groups<H: Harness>(world: &World<H>) -> Vec<DueGroup> {
    let mut groups = world.store().due_groups().await.unwrap();
    groups.sort_by(|a, b| (&a.group, a.lane).cmp(&(&b.group, b.lane)));
    groups
}
