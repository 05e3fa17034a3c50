use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::batch::Lane;
use tidings_core::clock::Timestamp;
use tidings_core::delivery::OutcomeKind;
use tidings_core::message::{Audience, MessageState};
use tidings_core::store::{DueGroup, PassEnd, PassTimes};

use crate::harness::Harness;
use crate::world::{Sending, World, all_accepted, at_once, list_of, mozilla, range_of, seqs};

async fn finish<H: Harness>(world: &World<H>, sending: &Sending) -> PassEnd {
    world
        .store()
        .finish_pass(&sending.lease, PassTimes::at(world.now()))
        .await
        .unwrap()
}

pub(crate) async fn the_last_outcome_ends_batch_and_message<H: Harness>(world: World<H>) {
    let sending = world.sending(3).await;
    let outcomes = [
        OutcomeKind::Accepted,
        OutcomeKind::Gone,
        OutcomeKind::Expired,
    ];
    let outcomes = outcomes
        .into_iter()
        .enumerate()
        .map(|(n, kind)| sending.outcome(n, kind));
    world.record(&sending, outcomes.collect()).await;
    let message = world.message(sending.message).await;
    assert_eq!(
        (message.state, message.done_at),
        (MessageState::Sending, None)
    );

    let now = world.wait(Duration::from_secs(1));
    assert_eq!(
        finish(&world, &sending).await,
        PassEnd::Done { message_done: true }
    );

    let message = world.message(sending.message).await;
    assert_eq!(
        (message.state, message.done_at),
        (MessageState::Done, Some(now))
    );
    assert!(
        world.claim(1).await.is_empty(),
        "a batch that is done is not claimed"
    );
    assert!(world.store().due_groups().await.unwrap().is_empty());
}

pub(crate) async fn the_last_batch_ends_the_message<H: Harness>(world: World<H>) {
    let members = seqs(&world.subscribe_many(4).await);
    let message = world.accept(Audience::All).await.id;
    let batches = members
        .chunks(2)
        .map(|two| world.batch(range_of(two)))
        .collect();
    world.cut(message, batches).await;
    let ends = finish_all_at_once(&world).await;
    assert_eq!(ends.len(), 2);
    assert!(ends.contains(&PassEnd::Done {
        message_done: false
    }));
    assert!(ends.contains(&PassEnd::Done { message_done: true }));
    assert_eq!(world.message(message).await.state, MessageState::Done);
}

pub(crate) async fn of_concurrent_last_batches_one_ends_the_message<H: Harness>(world: World<H>) {
    let members = seqs(&world.subscribe_many(20).await);
    let message = world.accept(Audience::All).await.id;
    let batches = members
        .chunks(1)
        .map(|one| world.batch(list_of(one)))
        .collect();
    world.cut(message, batches).await;
    let ends = finish_all_at_once(&world).await;
    let last = ends
        .iter()
        .filter(|end| **end == PassEnd::Done { message_done: true })
        .count();
    assert_eq!((ends.len(), last), (20, 1));
    assert_eq!(world.message(message).await.state, MessageState::Done);
}

/// Claims everything, has all accepted, and ends the passes from as many tasks.
async fn finish_all_at_once<H: Harness>(world: &World<H>) -> Vec<PassEnd> {
    let now = world.now();
    let passes = world.claim(100).await.into_iter().map(|leased| {
        let store = world.store();
        let accepted = all_accepted(&leased.batch);
        async move {
            store.record(&leased.lease, accepted, now).await.unwrap();
            store
                .finish_pass(&leased.lease, PassTimes::at(now))
                .await
                .unwrap()
        }
    });
    at_once(passes).await
}

pub(crate) async fn a_batch_is_due_again_at_its_earliest_attempt<H: Harness>(world: World<H>) {
    let mut sending = world.sending(4).await;
    let at = |seconds| world.now().plus(Duration::from_secs(seconds));
    let earliest = at(20);
    let retry = |n, next_attempt_at| sending.outcome(n, OutcomeKind::Retrying { next_attempt_at });
    let accepted = sending.outcome(0, OutcomeKind::Accepted);
    world
        .record(
            &sending,
            vec![
                accepted,
                retry(1, at(30)),
                retry(2, earliest),
                retry(3, at(40)),
            ],
        )
        .await;

    assert_eq!(
        finish(&world, &sending).await,
        PassEnd::Again {
            not_before: earliest
        }
    );

    assert_eq!(
        world.message(sending.message).await.state,
        MessageState::Sending
    );
    let group = DueGroup {
        application: ApplicationId::DEFAULT,
        group: mozilla(),
        lane: Lane::Bulk,
        not_before: earliest,
    };
    assert_eq!(world.store().due_groups().await.unwrap(), [group]);
    world
        .entities
        .clock
        .set(earliest.minus(Duration::from_millis(1)));
    assert!(world.claim(1).await.is_empty());
    world.entities.clock.set(earliest);
    world.claim_again(&mut sending).await;
    let turn: Vec<_> = world
        .load(&sending.batch)
        .await
        .iter()
        .map(|m| m.position)
        .collect();
    assert_eq!(turn, [sending.outcome(2, OutcomeKind::Accepted).position]);
}

pub(crate) async fn a_retry_that_ended_does_not_call_the_batch<H: Harness>(world: World<H>) {
    let mut sending = world.sending(2).await;
    let at = |seconds| world.now().plus(Duration::from_secs(seconds));
    let (sooner, later) = (at(10), at(20));
    let retry = |n, next_attempt_at| sending.outcome(n, OutcomeKind::Retrying { next_attempt_at });
    world
        .record(&sending, vec![retry(0, sooner), retry(1, later)])
        .await;
    finish(&world, &sending).await;
    world.entities.clock.set(sooner);
    world.claim_again(&mut sending).await;
    world
        .record(&sending, vec![sending.outcome(0, OutcomeKind::Accepted)])
        .await;
    assert_eq!(
        finish(&world, &sending).await,
        PassEnd::Again { not_before: later }
    );
}

pub(crate) async fn who_was_not_recorded_is_due_at_once<H: Harness>(world: World<H>) {
    let mut sending = world.sending(3).await;
    let next_attempt_at = world.now().plus(Duration::from_hours(1));
    let retry = sending.outcome(0, OutcomeKind::Retrying { next_attempt_at });
    world
        .record(
            &sending,
            vec![retry, sending.outcome(1, OutcomeKind::Accepted)],
        )
        .await;
    let now = world.wait(Duration::from_secs(1));
    assert_eq!(
        finish(&world, &sending).await,
        PassEnd::Again { not_before: now }
    );
    world.claim_again(&mut sending).await;
    let turn: Vec<_> = world
        .load(&sending.batch)
        .await
        .iter()
        .map(|m| m.position)
        .collect();
    assert_eq!(turn, [sending.outcome(2, OutcomeKind::Accepted).position]);
}

pub(crate) async fn who_was_left_out_is_due_when_it_was_told<H: Harness>(world: World<H>) {
    let mut sending = world.sending(3).await;
    let soon = world.now().plus(Duration::from_secs(1));
    let retry = sending.outcome(
        0,
        OutcomeKind::Retrying {
            next_attempt_at: soon,
        },
    );
    world.record(&sending, vec![retry]).await;
    finish(&world, &sending).await;
    world.entities.clock.set(soon);
    world.claim_again(&mut sending).await;
    // The retry's turn has come, and nobody had theirs.
    let resume_at = soon.plus(Duration::from_mins(1));
    let end = PassEnd::Again {
        not_before: resume_at,
    };
    assert_eq!(finish_until(&world, &sending, resume_at).await, end);
    world
        .entities
        .clock
        .set(resume_at.minus(Duration::from_millis(1)));
    assert!(world.claim(1).await.is_empty());
    world.entities.clock.set(resume_at);
    world.claim_again(&mut sending).await;
    assert_eq!(world.load(&sending.batch).await.len(), 3);
    let gone_by = world.now().minus(Duration::from_mins(1));
    let end = PassEnd::Again {
        not_before: world.now(),
    };
    assert_eq!(finish_until(&world, &sending, gone_by).await, end);
}

pub(crate) async fn a_retry_is_not_held_up_by_who_was_left_out<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    let next_attempt_at = world.now().plus(Duration::from_secs(10));
    let retry = sending.outcome(0, OutcomeKind::Retrying { next_attempt_at });
    world.record(&sending, vec![retry]).await;
    let resume_at = world.now().plus(Duration::from_mins(1));
    let end = PassEnd::Again {
        not_before: next_attempt_at,
    };
    assert_eq!(finish_until(&world, &sending, resume_at).await, end);
}

pub(crate) async fn a_retry_that_came_due_in_the_pass_is_not_held_up<H: Harness>(world: World<H>) {
    let mut sending = world.sending(3).await;
    let retry_at = |sending: &Sending, n, next_attempt_at| {
        sending.outcome(n, OutcomeKind::Retrying { next_attempt_at })
    };
    let first = world.now();
    let had_its_turn = retry_at(&sending, 0, first);
    world.record(&sending, vec![had_its_turn]).await;
    finish(&world, &sending).await;
    world.claim_again(&mut sending).await;
    let looked_at = world.now();
    let next_attempt_at = looked_at.plus(Duration::from_secs(1));
    let retry = retry_at(&sending, 1, next_attempt_at);
    world.record(&sending, vec![retry]).await;
    let now = world.wait(Duration::from_secs(5));
    let resume_at = now.plus(Duration::from_mins(1));
    let times = PassTimes {
        looked_at,
        now,
        resume_at: Some(resume_at),
    };
    let store = world.store();
    let end = store.finish_pass(&sending.lease, times).await.unwrap();
    let not_before = next_attempt_at;
    assert_eq!(end, PassEnd::Again { not_before });

    world.claim_again(&mut sending).await;
    let accepted = sending.outcome(1, OutcomeKind::Accepted);
    world.record(&sending, vec![accepted]).await;
    // Who had no outcome waits, in a pass that seems to begin later too: the clock was set back.
    let times = PassTimes {
        looked_at: resume_at,
        ..times
    };
    let end = store.finish_pass(&sending.lease, times).await.unwrap();
    let not_before = resume_at;
    assert_eq!(end, PassEnd::Again { not_before });
}

async fn finish_until<H: Harness>(
    world: &World<H>,
    sending: &Sending,
    resume_at: Timestamp,
) -> PassEnd {
    let times = PassTimes {
        resume_at: Some(resume_at),
        ..PassTimes::at(world.now())
    };
    world
        .store()
        .finish_pass(&sending.lease, times)
        .await
        .unwrap()
}

pub(crate) async fn a_missed_attempt_is_due_at_once<H: Harness>(world: World<H>) {
    let mut sending = world.sending(2).await;
    let next_attempt_at = world.now().plus(Duration::from_secs(10));
    world
        .record(
            &sending,
            sending.all(OutcomeKind::Retrying { next_attempt_at }),
        )
        .await;
    finish(&world, &sending).await;
    world
        .entities
        .clock
        .set(next_attempt_at.plus(Duration::from_secs(5)));
    world.claim_again(&mut sending).await;
    let PassEnd::Again { not_before } = finish(&world, &sending).await else {
        panic!("nothing was recorded");
    };
    assert!(not_before <= world.now(), "{not_before}");
    world.claim_again(&mut sending).await;
}

pub(crate) async fn a_batch_may_take_many_passes<H: Harness>(world: World<H>) {
    let mut sending = world.sending(3).await;
    for attempt in 1..5 {
        let next_attempt_at = world.now().plus(Duration::from_secs(10));
        let mut outcomes = sending.all(OutcomeKind::Retrying { next_attempt_at });
        for outcome in &mut outcomes {
            outcome.attempt = attempt;
        }
        world.record(&sending, outcomes).await;
        assert_eq!(
            finish(&world, &sending).await,
            PassEnd::Again {
                not_before: next_attempt_at
            }
        );
        world.entities.clock.set(next_attempt_at);
        world.claim_again(&mut sending).await;
        let turn = world.load(&sending.batch).await;
        assert!(turn.len() == 3 && turn.iter().all(|member| member.attempts == attempt));
    }
    world
        .record(&sending, sending.all(OutcomeKind::Accepted))
        .await;
    assert_eq!(
        finish(&world, &sending).await,
        PassEnd::Done { message_done: true }
    );
    let counts = world.counts(sending.message).await;
    assert_eq!((counts.accepted, counts.retrying), (3, 0));
}
