use std::collections::BTreeSet;
use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::batch::{BatchId, Bitmap, Selection, Seq};
use tidings_core::id::MessageId;
use tidings_core::message::{Audience, DIRECT_AUDIENCE, MessageState, NewMessage, Plan};
use tidings_core::store::{PassEnd, PassTimes, PlanRound, PlannedStep};
use tidings_core::subscription::UserId;

use crate::harness::Harness;
use crate::world::{World, all_accepted, at_once, list_of, range_of, seqs};

pub(crate) async fn nothing_is_to_be_planned_at_first<H: Harness>(world: World<H>) {
    assert!(world.next_plan().await.is_none());
}

pub(crate) async fn a_plan_says_what_was_accepted<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(2).await;
    let id = subscribers[1].id;
    for audience in [
        Audience::All,
        Audience::Listed {
            subscriptions: vec![id],
            users: vec![],
        },
        Audience::Listed {
            subscriptions: vec![id, subscribers[0].id],
            users: ["anna", "Zoë 'o; \"42\""]
                .iter()
                .filter_map(|user| UserId::parse(user))
                .collect(),
        },
    ] {
        let message = world.accept(audience.clone()).await;
        let Plan {
            message: id,
            application,
            audience: planned,
            cutoff,
            cursor,
            due_at,
        } = world.next_plan().await.expect("it was just accepted");
        assert_eq!((id, application), (message.id, ApplicationId::DEFAULT));
        assert_eq!(planned, audience);
        assert_eq!((cutoff, cursor), (subscribers[1].seq, Seq::ZERO));
        assert_eq!(due_at, message.due_at);
        world.cut(message.id, vec![]).await;
    }
}

pub(crate) async fn direct_messages_are_planned_first<H: Harness>(world: World<H>) {
    let id = world.subscribe().await.id;
    let direct = Audience::Listed {
        subscriptions: vec![id],
        users: vec![],
    };
    let long_list = Audience::Listed {
        subscriptions: vec![id; DIRECT_AUDIENCE + 1],
        users: vec![],
    };
    let broadcast = world.accept(Audience::All).await.id;
    let long_list = world.accept(long_list).await.id;
    let first_direct = world.accept(direct.clone()).await.id;
    let second_direct = world.accept(direct).await.id;
    for expected in [first_direct, second_direct, broadcast, long_list] {
        assert_eq!(world.next_plan().await.unwrap().message, expected);
        world.cut(expected, vec![]).await;
    }
    assert!(world.next_plan().await.is_none());
}

/// Messages of two applications: so many of the one, then as many of the other, a list of ids each.
async fn of_two_applications<H: Harness>(
    world: &mut World<H>,
    audience: Audience,
    of_each: usize,
) -> [(ApplicationId, Vec<MessageId>); 2] {
    let (another, _) = world.add_application().await;
    let mut accepted = Vec::new();
    for application in [ApplicationId::DEFAULT, another] {
        let mut ids = Vec::new();
        for _ in 0..of_each {
            let new = NewMessage {
                application,
                ..world.entities.new_message(audience.clone())
            };
            ids.push(world.accept_new(new).await.id);
        }
        accepted.push((application, ids));
    }
    accepted.try_into().expect("two")
}

fn to_few() -> Audience {
    Audience::Listed {
        subscriptions: vec![],
        users: vec![UserId::parse("anna").expect("a plain name")],
    }
}

async fn next_ids<H: Harness>(world: &World<H>, round: PlanRound) -> Vec<MessageId> {
    let plans = world.store().next_plans(round).await.unwrap();
    plans.iter().map(|plan| plan.message).collect()
}

pub(crate) async fn applications_take_turns_with_direct_messages<H: Harness>(mut world: World<H>) {
    let [(one, ones), (another, theirs)] = of_two_applications(&mut world, to_few(), 3).await;
    world.accept(Audience::All).await;
    let take = |after, direct| PlanRound {
        after,
        direct,
        ..world.a_round()
    };
    let all = [ones[0], theirs[0], ones[1], theirs[1], ones[2], theirs[2]];
    assert_eq!(next_ids(&world, world.a_round()).await, all);
    assert_eq!(next_ids(&world, take(another, 3)).await, all[..3]);
    let others_first = [theirs[0], ones[0], theirs[1]];
    assert_eq!(next_ids(&world, take(one, 3)).await, others_first);
}

pub(crate) async fn applications_take_turns_with_broadcasts<H: Harness>(mut world: World<H>) {
    let [(one, ones), (another, theirs)] = of_two_applications(&mut world, Audience::All, 2).await;
    let take = |after, bulk| PlanRound {
        after,
        bulk,
        ..world.a_round()
    };
    let first_of_each = [ones[0], theirs[0]];
    assert_eq!(next_ids(&world, world.a_round()).await, first_of_each);
    assert_eq!(next_ids(&world, take(one, 1)).await, [theirs[0]]);
    assert_eq!(next_ids(&world, take(another, 1)).await, [ones[0]]);
}

pub(crate) async fn what_was_planned_makes_room_for_the_next<H: Harness>(mut world: World<H>) {
    let [(_, ones), (_, theirs)] = of_two_applications(&mut world, to_few(), 2).await;
    let broadcast = world.accept(Audience::All).await.id;
    world.cut(ones[0], vec![]).await;
    let left = [ones[1], theirs[0], theirs[1]];
    assert_eq!(next_ids(&world, world.a_round()).await, left);
    for id in left {
        world.cut(id, vec![]).await;
    }
    assert_eq!(next_ids(&world, world.a_round()).await, [broadcast]);
    world.cut(broadcast, vec![]).await;
    assert_eq!(next_ids(&world, world.a_round()).await, []);
}

pub(crate) async fn a_message_is_planned_once_it_is_due<H: Harness>(world: World<H>) {
    let due_at = world.now().plus(Duration::from_hours(1));
    let later = NewMessage {
        due_at,
        ..world.entities.new_message(Audience::All)
    };
    let later = world.accept_new(later).await;
    assert_eq!(later.due_at, due_at);
    let now = world.accept(Audience::All).await.id;
    assert_eq!(world.next_plan().await.unwrap().message, now);
    world.cut(now, vec![]).await;
    assert!(world.next_plan().await.is_none());
    world.entities.clock.set(due_at);
    assert_eq!(world.next_plan().await.unwrap().message, later.id);
    let at_once = world.accept(Audience::All).await.id;
    assert_eq!(world.next_plan().await.unwrap().message, at_once);
}

pub(crate) async fn a_step_moves_the_cursor_and_keeps_its_batches<H: Harness>(world: World<H>) {
    let members = seqs(&world.subscribe_many(6).await);
    let id = world.accept(Audience::All).await.id;

    let first = step(&world, id, Seq::ZERO, &members[..2], false);
    let first = world.store().add_planned(first).await.unwrap().unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(world.next_plan().await.unwrap().cursor, members[1]);
    assert_progress(&world, id, MessageState::Planning, 2).await;

    let nobody = PlannedStep {
        to: members[3],
        ..step(&world, id, members[1], &[], false)
    };
    assert_eq!(
        world.store().add_planned(nobody).await.unwrap(),
        Some(vec![])
    );
    assert_eq!(world.next_plan().await.unwrap().cursor, members[3]);
    assert_progress(&world, id, MessageState::Planning, 2).await;

    let last = step(&world, id, members[3], &members[4..], true);
    let last = world.store().add_planned(last).await.unwrap().unwrap();
    assert_ne!(first, last, "every batch has its own number");
    assert!(world.next_plan().await.is_none());
    assert_progress(&world, id, MessageState::Sending, 4).await;
}

pub(crate) async fn one_step_may_cut_many_batches<H: Harness>(world: World<H>) {
    let members = seqs(&world.subscribe_many(5).await);
    let id = world.accept(Audience::All).await.id;
    let batches = vec![
        world.batch(range_of(&members[..3])),
        world.batch(list_of(&members[3..4])),
        world.batch(list_of(&members[4..])),
    ];
    let numbers: BTreeSet<BatchId> = world.cut(id, batches).await.into_iter().collect();
    assert_eq!(numbers.len(), 3);
    assert_progress(&world, id, MessageState::Sending, 5).await;
}

/// What a batch without members is to the database: nonsense.
fn nobody() -> [Selection; 2] {
    [
        Selection::Members(vec![]),
        Selection::Range {
            first: Seq::from_i64(1),
            members: Bitmap::new(8),
        },
    ]
}

pub(crate) async fn a_step_is_taken_whole_or_not_at_all<H: Harness>(world: World<H>) {
    let members = seqs(&world.subscribe_many(2).await);
    let id = world.accept(Audience::All).await.id;
    for refused in nobody() {
        let mut bad = step(&world, id, Seq::ZERO, &members, true);
        bad.batches.push(world.batch(refused));
        let error = world.store().add_planned(bad).await.unwrap_err();
        assert!(!error.is_transient(), "{error}");

        assert_eq!(world.next_plan().await.unwrap().cursor, Seq::ZERO);
        assert_progress(&world, id, MessageState::Planning, 0).await;
        assert!(world.store().due_groups().await.unwrap().is_empty());
    }
    let good = step(&world, id, Seq::ZERO, &members, true);
    assert!(world.store().add_planned(good).await.unwrap().is_some());
    assert_progress(&world, id, MessageState::Sending, 2).await;
}

pub(crate) async fn a_step_from_elsewhere_is_not_taken<H: Harness>(world: World<H>) {
    let members = seqs(&world.subscribe_many(4).await);
    let id = world.accept(Audience::All).await.id;
    let first = step(&world, id, Seq::ZERO, &members[..2], false);
    world
        .store()
        .add_planned(first.clone())
        .await
        .unwrap()
        .unwrap();

    let ahead = step(&world, id, members[2], &members[3..], true);
    for stale in [
        PlannedStep {
            complete: true,
            ..first.clone()
        },
        first,
        ahead,
    ] {
        assert_eq!(world.store().add_planned(stale).await.unwrap(), None);
        assert_eq!(world.next_plan().await.unwrap().cursor, members[1]);
        assert_progress(&world, id, MessageState::Planning, 2).await;
    }
}

pub(crate) async fn a_complete_plan_takes_no_step<H: Harness>(world: World<H>) {
    let members = seqs(&world.subscribe_many(2).await);
    let id = world.accept(Audience::All).await.id;
    world.cut(id, vec![]).await;
    let again = step(&world, id, Seq::ZERO, &members, true);
    assert_eq!(world.store().add_planned(again).await.unwrap(), None);
    assert_progress(&world, id, MessageState::Done, 0).await;
}

pub(crate) async fn an_unknown_message_takes_no_step<H: Harness>(world: World<H>) {
    let unknown = world.whole_plan(world.entities.message_id(), vec![]);
    assert_eq!(world.store().add_planned(unknown).await.unwrap(), None);
}

pub(crate) async fn of_concurrent_planners_one_takes_the_step<H: Harness>(world: World<H>) {
    let members = seqs(&world.subscribe_many(3).await);
    let id = world.accept(Audience::All).await.id;
    let planners = (0..8).map(|_| {
        let (store, step) = (world.store(), step(&world, id, Seq::ZERO, &members, false));
        async move { store.add_planned(step).await.unwrap() }
    });
    let taken = at_once(planners).await;
    assert_eq!(taken.iter().flatten().count(), 1);
    assert_progress(&world, id, MessageState::Planning, 3).await;
}

pub(crate) async fn a_message_to_nobody_is_done_at_once<H: Harness>(world: World<H>) {
    let id = world.accept(Audience::All).await.id;
    let now = world.wait(Duration::from_secs(1));
    world.cut(id, vec![]).await;
    assert_progress(&world, id, MessageState::Done, 0).await;
    assert_eq!(world.message(id).await.done_at, Some(now));
    assert!(world.next_plan().await.is_none());
}

pub(crate) async fn a_plan_that_completes_last_ends_the_message<H: Harness>(world: World<H>) {
    let members = seqs(&world.subscribe_many(2).await);
    let id = world.accept(Audience::All).await.id;
    let first = step(&world, id, Seq::ZERO, &members, false);
    world.store().add_planned(first).await.unwrap().unwrap();
    let leased = world.claim(1).await.remove(0);
    let accepted = all_accepted(&leased.batch);
    world
        .store()
        .record(&leased.lease, accepted, world.now())
        .await
        .unwrap();
    let end = world
        .store()
        .finish_pass(&leased.lease, PassTimes::at(world.now()))
        .await
        .unwrap();
    assert_eq!(
        end,
        PassEnd::Done {
            message_done: false
        },
        "there may be more batches"
    );
    assert_progress(&world, id, MessageState::Planning, 2).await;

    let now = world.wait(Duration::from_secs(1));
    let last = PlannedStep {
        to: members[1],
        ..step(&world, id, members[1], &[], true)
    };
    assert_eq!(world.store().add_planned(last).await.unwrap(), Some(vec![]));
    assert_progress(&world, id, MessageState::Done, 2).await;
    assert_eq!(world.message(id).await.done_at, Some(now));
}

/// A step that walks from `from` to the last of `members` and cuts one batch of them.
fn step<H: Harness>(
    world: &World<H>,
    message: MessageId,
    from: Seq,
    members: &[Seq],
    complete: bool,
) -> PlannedStep {
    PlannedStep {
        message,
        from,
        to: members.last().copied().unwrap_or(from),
        batches: if members.is_empty() {
            vec![]
        } else {
            vec![world.batch(range_of(members))]
        },
        complete,
        now: world.now(),
    }
}

async fn assert_progress<H: Harness>(
    world: &World<H>,
    id: MessageId,
    state: MessageState,
    targeted: u64,
) {
    let message = world.message(id).await;
    assert_eq!((message.state, message.counts.targeted), (state, targeted));
    assert_eq!(message.done_at.is_some(), state == MessageState::Done);
}
