use std::num::NonZeroU32;
use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::batch::{Lane, Position, Selection};
use tidings_core::delivery::OutcomeKind;
use tidings_core::message::Audience;
use tidings_core::store::{Claim, Imported, LoadedMember, NewSubscription, SubscriptionChange};
use tidings_core::subscription::UserId;
use tidings_core::vapid_key::VapidKeyState;

use crate::harness::Harness;
use crate::views;
use crate::world::{Sending, World, list_of, outcome, range_of, seqs};

pub(crate) async fn members_of_a_range_are_loaded<H: Harness>(world: World<H>) {
    let sending = world
        .sending_as(5, |seqs| range_of(&[seqs[0], seqs[2], seqs[4]]))
        .await;
    let loaded = world.load(&sending.batch).await;
    assert_eq!(positions(&loaded), [0, 2, 4]);
    assert_targets(&sending, &loaded, &[0, 2, 4]);
}

pub(crate) async fn members_of_a_list_are_loaded<H: Harness>(world: World<H>) {
    let sending = world
        .sending_as(5, |seqs| list_of(&[seqs[0], seqs[2], seqs[4]]))
        .await;
    let loaded = world.load(&sending.batch).await;
    assert_eq!(positions(&loaded), [0, 1, 2]);
    assert_targets(&sending, &loaded, &[0, 2, 4]);
}

/// The loaded members are these subscribers, with all that sending needs.
fn assert_targets(sending: &Sending, loaded: &[LoadedMember], subscribers: &[usize]) {
    assert_eq!(loaded.len(), subscribers.len());
    for (member, subscriber) in loaded.iter().zip(subscribers) {
        let expected = &sending.subscribers[*subscriber];
        let target = member.target.as_ref().expect("the subscription is active");
        assert_eq!(target.id, expected.id);
        assert_eq!(
            views::capability(&target.subscription),
            views::capability(&expected.subscription)
        );
        assert_eq!(target.encoding, expected.details.encoding);
        assert_eq!(target.vapid_key, expected.details.vapid_key);
        assert_eq!(member.attempts, 0);
    }
}

pub(crate) async fn a_target_names_its_own_vapid_key<H: Harness>(world: World<H>) {
    let key = world.entities.new_vapid_key(VapidKeyState::Live);
    let key = world.store().add_vapid_key(key).await.unwrap().id;
    let new = world.entities.new_subscription(world.key);
    world
        .register(NewSubscription {
            vapid_key: Some(key),
            ..new
        })
        .await;
    let subscribers = [world.subscribe().await.seq];
    let first = tidings_core::batch::Seq::from_i64(1);
    let message = world.accept(Audience::All).await.id;
    world
        .cut(
            message,
            vec![world.batch(list_of(&[first, subscribers[0]]))],
        )
        .await;
    let batch = world.claim(1).await.remove(0).batch;
    let loaded = world.load(&batch).await;
    let keys: Vec<_> = loaded
        .iter()
        .flat_map(|member| &member.target)
        .map(|t| t.vapid_key)
        .collect();
    assert_eq!(keys, [key, world.key]);
}

pub(crate) async fn who_accepted_before_is_known_by_it<H: Harness>(world: World<H>) {
    let sending = world.sending_as(5, range_of).await;
    assert_eq!(known(&world.load(&sending.batch).await), [false; 5]);
    let kinds = [
        OutcomeKind::Accepted,
        OutcomeKind::Refused,
        OutcomeKind::Accepted,
        OutcomeKind::Expired,
        OutcomeKind::Cancelled,
    ];
    let outcomes = (0..).zip(kinds).map(|(it, kind)| sending.outcome(it, kind));
    world.record(&sending, outcomes.collect()).await;
    let all = seqs(&sending.subscribers);
    for select in [range_of, list_of] {
        let again = world.another_to(select(&all)).await;
        let loaded = world.load(&again.batch).await;
        assert_eq!(known(&loaded), [true, false, true, false, false]);
    }
    // From a list, too; of whom it was known already, it still is.
    let list = world.another_to(list_of(&all[..2])).await;
    let kind = OutcomeKind::Accepted;
    let outcomes = [0, 1].map(|it| outcome(&list.batch, &sending.subscribers[it], kind, 1));
    world
        .store()
        .record(&list.lease, outcomes.to_vec(), world.now())
        .await
        .unwrap();
    let again = world.another_to(range_of(&all)).await;
    let loaded = world.load(&again.batch).await;
    assert_eq!(known(&loaded), [true, true, true, false, false]);
}

pub(crate) async fn another_vapid_key_has_to_be_accepted_anew<H: Harness>(world: World<H>) {
    let live = world.entities.new_vapid_key(VapidKeyState::Live);
    let live = world.store().add_vapid_key(live).await.unwrap().id;
    let new = world.entities.new_subscription(world.key);
    let first = world.register(new.clone()).await;
    let others = world.subscribe_many(2).await;
    let all = [first.seq, others[0].seq, others[1].seq];
    let sending = world.another_to(range_of(&all)).await;
    let accepted = |subscriber| outcome(&sending.batch, subscriber, OutcomeKind::Accepted, 1);
    let outcomes = vec![accepted(&first), accepted(&others[0])];
    world
        .store()
        .record(&sending.lease, outcomes, world.now())
        .await
        .unwrap();
    let of_key = |key| NewSubscription {
        vapid_key: Some(key),
        ..new.clone()
    };
    for (key, known_then) in [(world.key, true), (live, false), (live, false)] {
        world.register(of_key(key)).await;
        let again = world.another_to(range_of(&all)).await;
        let loaded = world.load(&again.batch).await;
        assert_eq!(known(&loaded), [known_then, true, false]);
    }
    let again = world.another_to(range_of(&all)).await;
    let outcomes = vec![outcome(&again.batch, &first, OutcomeKind::Accepted, 1)];
    world
        .store()
        .record(&again.lease, outcomes, world.now())
        .await
        .unwrap();
    for (key, known_then) in [(live, true), (world.key, false)] {
        let lines = vec![of_key(key)];
        let imported = world.store().import(lines).await.unwrap();
        assert_eq!(imported, [Imported::Updated]);
        let again = world.another_to(range_of(&all)).await;
        let loaded = world.load(&again.batch).await;
        assert_eq!(known(&loaded), [known_then, true, false]);
    }
}

/// Of which of them something was accepted before.
fn known(loaded: &[LoadedMember]) -> Vec<bool> {
    let targets = loaded.iter().flat_map(|member| &member.target);
    targets.map(|target| target.has_accepted).collect()
}

pub(crate) async fn only_what_was_asked_for_is_loaded<H: Harness>(world: World<H>) {
    for select in [range_of, list_of] {
        let sending = world.sending_as(4, select).await;
        let asked = vec![Position(1), Position(3)];
        let loaded = world
            .store()
            .load_members(&sending.batch, asked, world.now())
            .await
            .unwrap();
        let mut loaded = positions(&loaded.turn);
        loaded.sort_unstable();
        assert_eq!(loaded, [1, 3]);
        let none = world
            .store()
            .load_members(&sending.batch, vec![], world.now())
            .await
            .unwrap();
        assert!(none.turn.is_empty() && none.waiting.is_empty());
    }
}

pub(crate) async fn positions_without_a_member_are_left_out<H: Harness>(world: World<H>) {
    for (select, last) in [
        (
            (|seqs| range_of(&[seqs[0], seqs[2]])) as fn(&[_]) -> Selection,
            2,
        ),
        (|seqs| list_of(&[seqs[0], seqs[2]]), 1),
    ] {
        let sending = world.sending_as(3, select).await;
        let asked = (0..100).map(Position).collect();
        let loaded = world
            .store()
            .load_members(&sending.batch, asked, world.now())
            .await
            .unwrap();
        let mut loaded = positions(&loaded.turn);
        loaded.sort_unstable();
        assert_eq!(loaded, [0, last]);
    }
}

pub(crate) async fn a_whole_window_is_loaded_at_once<H: Harness>(world: World<H>) {
    let mut subscribers = world.subscribe_at_once(4_096).await;
    subscribers.sort_by_key(|subscriber| subscriber.seq);
    let message = world.accept(Audience::All).await.id;
    world
        .cut(message, vec![world.batch(range_of(&seqs(&subscribers)))])
        .await;
    let batch = world.claim(1).await.remove(0).batch;
    let loaded = world.load(&batch).await;
    let ids: Vec<_> = loaded
        .iter()
        .flat_map(|member| &member.target)
        .map(|t| t.id)
        .collect();
    let expected: Vec<_> = subscribers.iter().map(|subscriber| subscriber.id).collect();
    assert!(
        ids == expected,
        "4096 members in the order of their positions"
    );
}

pub(crate) async fn few_of_a_wide_range_are_loaded<H: Harness>(world: World<H>) {
    let sending = world.sending_at_once(300).await;
    for asked in [vec![0, 299], vec![5, 6, 8], vec![299], vec![]] {
        let positions = asked.iter().copied().map(Position).collect();
        let loaded = world
            .store()
            .load_members(&sending.batch, positions, world.now())
            .await
            .unwrap();
        let ids: Vec<_> = loaded
            .turn
            .iter()
            .map(|member| member.target.as_ref().unwrap().id)
            .collect();
        let expected: Vec<_> = asked
            .iter()
            .map(|n| sending.subscribers[usize::from(*n)].id)
            .collect();
        assert_eq!(ids, expected);
    }
}

pub(crate) async fn an_ended_member_has_no_target<H: Harness>(world: World<H>) {
    for select in [range_of, list_of] {
        let sending = world.sending_as(3, select).await;
        world.end(&sending.subscribers[1]).await;
        assert_eq!(
            targets(&world.load(&sending.batch).await),
            [true, false, true]
        );
    }
}

pub(crate) async fn a_member_gone_meanwhile_has_no_target<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    let another = world.accept(Audience::All).await.id;
    world
        .cut(
            another,
            vec![world.batch(range_of(&seqs(&sending.subscribers)))],
        )
        .await;
    let another = world.claim(1).await.remove(0);
    let gone = outcome(
        &another.batch,
        &sending.subscribers[0],
        OutcomeKind::Gone,
        1,
    );
    world
        .store()
        .record(&another.lease, vec![gone], world.now())
        .await
        .unwrap();
    assert_eq!(targets(&world.load(&sending.batch).await), [false, true]);
}

pub(crate) async fn a_forgotten_member_has_no_target<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    world.end(&sending.subscribers[0]).await;
    let later = world.wait(Duration::from_hours(1));
    world
        .store()
        .sweep(world.tombstones_before(later))
        .await
        .unwrap();
    assert_eq!(targets(&world.load(&sending.batch).await), [false, true]);
}

pub(crate) async fn who_is_another_person_by_now_has_no_target<H: Harness>(world: World<H>) {
    let mut subscribers = Vec::new();
    for user in ["alice", "alice", "alice", "bob"] {
        let new = world.entities.new_subscription(world.key);
        let change = belongs_to(Some(user));
        subscribers.push(world.register(NewSubscription { change, ..new }).await);
    }
    let audience = Audience::Listed {
        subscriptions: vec![subscribers[3].id],
        users: vec![UserId::parse("alice").unwrap()],
    };
    let message = world.accept(audience).await.id;
    let everybody = world.batch(list_of(&seqs(&subscribers)));
    world.cut(message, vec![everybody]).await;
    let claim = Claim {
        lane: Lane::Direct,
        ..world.a_claim(1)
    };
    let batch = world
        .store()
        .claim_due(claim)
        .await
        .unwrap()
        .remove(0)
        .batch;
    assert_eq!(targets(&world.load(&batch).await), [true; 4]);

    // One logs out, on one somebody else logs in, and who was picked by hand stays so.
    for (subscriber, user) in [(0, None), (1, Some("bob")), (3, Some("carol"))] {
        let (store, id) = (world.store(), subscribers[subscriber].id);
        let change = belongs_to(user);
        let changed = store
            .change_subscription(ApplicationId::DEFAULT, id, change, NonZeroU32::MAX)
            .await;
        changed.unwrap().expect("it is known");
    }
    assert_eq!(
        targets(&world.load(&batch).await),
        [false, false, true, true]
    );
}

fn belongs_to(user: Option<&str>) -> SubscriptionChange {
    SubscriptionChange {
        user: Some(user.and_then(UserId::parse)),
        ..Default::default()
    }
}

pub(crate) async fn who_waits_for_another_attempt_is_left_out<H: Harness>(world: World<H>) {
    let sending = world.sending(3).await;
    let next_attempt_at = world.now().plus(Duration::from_secs(10));
    let mut retry = sending.outcome(1, OutcomeKind::Retrying { next_attempt_at });
    retry.attempt = 3;
    world.record(&sending, vec![retry]).await;

    assert_eq!(positions(&world.load(&sending.batch).await), [0, 2]);
    let asked = vec![Position(0), Position(1)];
    let loaded = world
        .store()
        .load_members(&sending.batch, asked, world.now())
        .await
        .unwrap();
    assert_eq!(loaded.waiting, [(Position(1), next_attempt_at)]);
    world
        .entities
        .clock
        .set(next_attempt_at.minus(Duration::from_millis(1)));
    assert_eq!(positions(&world.load(&sending.batch).await), [0, 2]);

    world.entities.clock.set(next_attempt_at);
    let loaded = world.load(&sending.batch).await;
    let attempts: Vec<_> = loaded
        .iter()
        .map(|member| (member.position.0, member.attempts))
        .collect();
    assert_eq!(attempts, [(0, 0), (1, 3), (2, 0)]);
}

fn positions(loaded: &[LoadedMember]) -> Vec<u16> {
    loaded.iter().map(|member| member.position.0).collect()
}

fn targets(loaded: &[LoadedMember]) -> Vec<bool> {
    loaded
        .iter()
        .map(|member| member.target.is_some())
        .collect()
}
