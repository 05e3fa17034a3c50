use std::ops::Range;
use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::batch::{NewBatch, Seq};
use tidings_core::clock::Timestamp;
use tidings_core::delivery::{LastAnswer, OutcomeKind};
use tidings_core::message::{Audience, NewMessage};
use tidings_core::store::{
    Claim, NewSubscription, PassTimes, Recorded, SuspectPage, SuspectedWave, Sweep,
};
use tidings_core::subscription::{PushServiceGroup, SubscriptionState};
use tidings_webpush::PushService;

use crate::harness::Harness;
use crate::world::{Sending, World, all_accepted, list_of, mozilla, range_of, seqs};

const HOUR: Duration = Duration::from_hours(1);

/// Records the same for some of the subscribers, and says how many became suspect.
async fn answer<H: Harness>(
    world: &World<H>,
    sending: &Sending,
    subscribers: Range<usize>,
    kind: OutcomeKind,
) -> u32 {
    let outcomes = subscribers.map(|n| sending.outcome(n, kind)).collect();
    let recorded = world
        .store()
        .record(&sending.lease, outcomes, world.now())
        .await;
    let Recorded { suspected } = recorded.unwrap();
    suspected
}

async fn gone<H: Harness>(world: &World<H>, sending: &Sending, subscribers: Range<usize>) -> u32 {
    answer(world, sending, subscribers, OutcomeKind::Gone).await
}

async fn in_state<H: Harness>(
    world: &World<H>,
    sending: &Sending,
    state: SubscriptionState,
) -> usize {
    let mut count = 0;
    for subscriber in &sending.subscribers {
        count += usize::from(world.state_of(subscriber).await == state);
    }
    count
}

pub(crate) async fn in_a_wave_who_is_gone_is_suspect<H: Harness>(world: World<H>) {
    let sending = world.sending(60).await;
    assert_eq!(world.store().suspected_waves().await.unwrap(), []);

    assert_eq!(gone(&world, &sending, 0..55).await, 55);

    assert_eq!(
        in_state(&world, &sending, SubscriptionState::Suspect).await,
        55
    );
    assert_eq!(
        world.counts(sending.message).await.gone,
        55,
        "that is what was answered"
    );
    let wave = SuspectedWave {
        application: ApplicationId::DEFAULT,
        group: mozilla(),
        subscriptions: 55,
        since: world.now(),
    };
    assert_eq!(world.store().suspected_waves().await.unwrap(), [wave]);
    world.wait(Duration::from_mins(1));
    assert_eq!(gone(&world, &sending, 50..57).await, 2, "each once");
}

pub(crate) async fn a_suspect_is_sent_nothing<H: Harness>(world: World<H>) {
    let sending = world.sending(52).await;
    let another = world.accept(Audience::All).await.id;
    let members = seqs(&sending.subscribers);
    world
        .cut(another, vec![world.batch(range_of(&members))])
        .await;
    let another = world.claim(1).await.remove(0).batch;
    assert_eq!(gone(&world, &sending, 0..50).await, 50);

    let loaded = world.load(&another).await;
    let reached = loaded.iter().filter(|member| member.target.is_some());
    assert_eq!(reached.count(), 2);
    world.accept(Audience::All).await;
    let plan = world.next_plan().await.unwrap();
    let audience = world.store().audience(&plan, plan.cutoff, 100).await;
    assert_eq!(audience.unwrap().len(), 2);
}

pub(crate) async fn too_few_are_no_wave<H: Harness>(world: World<H>) {
    let sending = world.sending(49).await;
    assert_eq!(gone(&world, &sending, 0..49).await, 0);
    assert_eq!(
        in_state(&world, &sending, SubscriptionState::Gone).await,
        49
    );
}

pub(crate) async fn a_small_part_of_the_answers_is_no_wave<H: Harness>(world: World<H>) {
    let sending = world.sending_at_once(300).await;
    let accepted = answer(&world, &sending, 0..201, OutcomeKind::Accepted).await;
    assert_eq!(accepted, 0);
    // 50 of 251: less than one in five.
    assert_eq!(gone(&world, &sending, 201..251).await, 0);
    // 63 of 264 are more.
    assert_eq!(gone(&world, &sending, 251..264).await, 63);
}

pub(crate) async fn tombstones_from_right_before_a_wave_become_suspect<H: Harness>(
    world: World<H>,
) {
    let sending = world.sending(70).await;
    assert_eq!(gone(&world, &sending, 0..10).await, 0);
    world.wait(2 * HOUR);
    assert_eq!(gone(&world, &sending, 10..59).await, 0);
    world.wait(Duration::from_mins(50));
    assert_eq!(gone(&world, &sending, 59..60).await, 50);
    assert_eq!(
        in_state(&world, &sending, SubscriptionState::Gone).await,
        10
    );
    assert_eq!(
        in_state(&world, &sending, SubscriptionState::Suspect).await,
        50
    );
}

pub(crate) async fn many_tombstones_become_suspect_bit_by_bit<H: Harness>(world: World<H>) {
    let sending = world.sending_at_once(3_201).await;
    answer(&world, &sending, 0..2_401, OutcomeKind::Accepted).await;
    assert_eq!(gone(&world, &sending, 2_401..3_001).await, 0);
    let at_once = gone(&world, &sending, 3_001..3_201).await;
    assert!(at_once >= 200, "{at_once}");
    world
        .store()
        .sweep(world.tombstones_before(Timestamp::from_millis(0)))
        .await
        .unwrap();
    let waves = world.store().suspected_waves().await.unwrap();
    assert_eq!(waves[0].subscriptions, 800);
}

pub(crate) async fn what_a_subscriber_ended_is_no_tombstone_of_a_wave<H: Harness>(world: World<H>) {
    let sending = world.sending(52).await;
    world.end(&sending.subscribers[51]).await;
    assert_eq!(gone(&world, &sending, 0..50).await, 50);
    assert_eq!(
        world.state_of(&sending.subscribers[51]).await,
        SubscriptionState::Ended
    );
}

pub(crate) async fn what_is_usual_is_no_wave<H: Harness>(world: World<H>) {
    let sending = world.sending_at_once(1_350).await;
    answer(&world, &sending, 0..960, OutcomeKind::Accepted).await;
    assert_eq!(gone(&world, &sending, 960..1_000).await, 0);
    world.wait(Duration::from_hours(24));
    // One in 25 is usual here, so 60 of 160 are not a wave.
    answer(&world, &sending, 1_000..1_100, OutcomeKind::Accepted).await;
    assert_eq!(gone(&world, &sending, 1_100..1_160).await, 0);
    world.wait(2 * HOUR);
    // That too belongs to the history now: one in 12. All of them are a wave.
    assert_eq!(gone(&world, &sending, 1_160..1_220).await, 60);
    // What is older than 30 days is no history: then one in five is one.
    world.wait(Duration::from_hours(31 * 24));
    answer(&world, &sending, 1_220..1_290, OutcomeKind::Accepted).await;
    assert_eq!(gone(&world, &sending, 1_290..1_350).await, 60);
}

pub(crate) async fn what_tells_nothing_hides_no_wave<H: Harness>(world: World<H>) {
    let sending = world.sending_at_once(600).await;
    let next_attempt_at = world.now();
    let answered = |n, kind| {
        let mut outcome = sending.outcome(n, kind);
        outcome.last_answer = Some(LastAnswer {
            status: Some(503),
            reason: String::new(),
        });
        outcome
    };
    let mut outcomes: Vec<_> = (0..150)
        .map(|n| answered(n, OutcomeKind::Retrying { next_attempt_at }))
        .collect();
    outcomes.extend((150..300).map(|n| answered(n, OutcomeKind::Expired)));
    outcomes.extend((300..400).map(|n| sending.outcome(n, OutcomeKind::Ended)));
    // Refused before it was sent, so by nobody else.
    outcomes.extend((400..500).map(|n| sending.outcome(n, OutcomeKind::Refused)));
    world.record(&sending, outcomes).await;
    assert_eq!(gone(&world, &sending, 500..550).await, 50);
}

pub(crate) async fn a_refusal_by_the_push_service_is_an_answer<H: Harness>(world: World<H>) {
    let sending = world.sending_at_once(300).await;
    let refused = (0..201).map(|n| {
        let mut outcome = sending.outcome(n, OutcomeKind::Refused);
        outcome.last_answer = Some(LastAnswer {
            status: Some(413),
            reason: String::new(),
        });
        outcome
    });
    world.record(&sending, refused.collect()).await;
    assert_eq!(gone(&world, &sending, 201..251).await, 0);
}

pub(crate) async fn a_wave_is_over_after_a_quiet_hour<H: Harness>(world: World<H>) {
    let sending = world.sending_at_once(400).await;
    assert_eq!(gone(&world, &sending, 0..50).await, 50);
    // The numbers alone would say that it is over.
    answer(&world, &sending, 50..350, OutcomeKind::Accepted).await;
    world.wait(Duration::from_mins(50));
    assert_eq!(gone(&world, &sending, 350..351).await, 1);
    world.wait(Duration::from_mins(11));
    assert_eq!(gone(&world, &sending, 351..352).await, 0);
    assert_eq!(in_state(&world, &sending, SubscriptionState::Gone).await, 1);
}

pub(crate) async fn a_lasting_wave_is_not_what_is_usual<H: Harness>(world: World<H>) {
    let sending = world.sending_at_once(1_550).await;
    answer(&world, &sending, 0..990, OutcomeKind::Accepted).await;
    assert_eq!(gone(&world, &sending, 990..1_000).await, 0);
    world.wait(2 * HOUR);
    // Measured by all that came before, these would be a tenth of it after two hours.
    for n in 0..10 {
        let first = 1_000 + 55 * n;
        assert_eq!(gone(&world, &sending, first..first + 55).await, 55, "{n}");
        world.wait(Duration::from_mins(50));
    }
}

pub(crate) async fn a_wave_that_was_seen_in_the_future_is_over_in_time<H: Harness>(
    world: World<H>,
) {
    let sending = world.sending(53).await;
    let real = world.now();
    world.wait(Duration::from_hours(24));
    assert_eq!(gone(&world, &sending, 0..50).await, 50);
    world.entities.clock.set(real);
    assert_eq!(gone(&world, &sending, 50..51).await, 1, "it goes on");
    world.wait(Duration::from_mins(61));
    assert_eq!(gone(&world, &sending, 51..53).await, 0);
}

pub(crate) async fn who_was_confirmed_is_suspect_no_more<H: Harness>(world: World<H>) {
    let first = world.sending(60).await;
    assert_eq!(gone(&world, &first, 0..60).await, 60);
    let now = world.wait(2 * HOUR);
    let by_an_operator = SuspectPage {
        application: ApplicationId::DEFAULT,
        group: mozilla(),
        after: Seq::ZERO,
        limit: 30,
        now,
    };
    let store = world.store();
    let confirmed = store.confirm_suspects(by_an_operator).await.unwrap();
    assert_eq!(confirmed.changed, 30);
    let by_time = Sweep {
        suspects_before: now,
        ..world.tombstones_before(Timestamp::from_millis(0))
    };
    assert_eq!(store.sweep(by_time).await.unwrap().confirmed, 30);

    let next = world.sending(60).await;
    assert_eq!(gone(&world, &next, 0..60).await, 60);
    let swept = world.tombstones_before(Timestamp::from_millis(0));
    assert_eq!(store.sweep(swept).await.unwrap().suspected, 0);

    assert_eq!(in_state(&world, &first, SubscriptionState::Gone).await, 60);
}

pub(crate) async fn each_push_service_has_its_own_waves<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(60).await;
    let members = seqs(&subscribers);
    let message = world.accept(Audience::All).await.id;
    let group = PushServiceGroup::of_service(PushService::Fcm);
    let batches = [(mozilla(), 0..30), (group.clone(), 30..60)].map(|(group, range)| NewBatch {
        group,
        ..world.batch(list_of(&members[range]))
    });
    world.cut(message, batches.into()).await;
    for (group, range) in [(mozilla(), 0..30), (group, 30..60)] {
        let claim = Claim {
            group,
            ..world.a_claim(1)
        };
        let leased = world.store().claim_due(claim).await.unwrap().remove(0);
        let sending = Sending {
            subscribers: subscribers[range].to_vec(),
            message,
            batch: leased.batch,
            lease: leased.lease,
        };
        assert_eq!(gone(&world, &sending, 0..30).await, 0);
    }
}

pub(crate) async fn each_application_has_its_own_waves<H: Harness>(mut world: World<H>) {
    let (application, key) = world.add_application().await;
    let own = world.sending(30).await;
    assert_eq!(gone(&world, &own, 0..30).await, 0);
    let mut subscribers = Vec::new();
    for _ in 0..30 {
        let new = world.entities.new_subscription(key);
        subscribers.push(world.register(NewSubscription { application, ..new }).await);
    }
    let new = NewMessage {
        application,
        ..world.entities.new_message(Audience::All)
    };
    let message = world.accept_new(new).await.id;
    let batch = world.batch(range_of(&seqs(&subscribers)));
    world.cut(message, vec![batch]).await;
    let claim = Claim {
        application,
        ..world.a_claim(1)
    };
    let leased = world.store().claim_due(claim).await.unwrap().remove(0);
    let others = Sending {
        subscribers,
        message,
        batch: leased.batch,
        lease: leased.lease,
    };
    assert_eq!(gone(&world, &others, 0..30).await, 0);
}

pub(crate) async fn answers_are_counted_over_a_restart<H: Harness>(mut world: World<H>) {
    let mut sending = world.sending(60).await;
    gone(&world, &sending, 0..49).await;
    world.harness.reopen().await;
    world.harness.lose_leases().await;
    world.claim_again(&mut sending).await;
    assert_eq!(gone(&world, &sending, 49..50).await, 50);
    world.harness.reopen().await;
    let waves = world.store().suspected_waves().await.unwrap();
    assert_eq!(waves[0].subscriptions, 50);
}

pub(crate) async fn an_outcome_recorded_twice_is_one_answer<H: Harness>(world: World<H>) {
    let sending = world.sending(49).await;
    for _ in 0..2 {
        assert_eq!(gone(&world, &sending, 0..49).await, 0);
    }
}

pub(crate) async fn time_confirms_a_suspect<H: Harness>(world: World<H>) {
    let sending = world.sending(51).await;
    gone(&world, &sending, 0..50).await;
    let since = world.now();
    let later = world.wait(Duration::from_hours(24));
    let before = |suspects_before| Sweep {
        now: later,
        suspects_before,
        ..world.tombstones_before(since)
    };
    let swept = world.store().sweep(before(since)).await.unwrap();
    assert_eq!(swept.confirmed, 0, "not one of that instant");

    let swept = world.store().sweep(before(later)).await.unwrap();

    assert_eq!(swept.confirmed, 50);
    assert_eq!(
        in_state(&world, &sending, SubscriptionState::Gone).await,
        50
    );
    assert_eq!(world.store().suspected_waves().await.unwrap(), []);
    let after = later.plus(Duration::from_millis(1));
    let swept = world.store().sweep(world.tombstones_before(after)).await;
    assert_eq!(swept.unwrap().tombstones, 50, "tombstones from then on");
}

pub(crate) async fn who_is_shown_again_is_suspect_no_more<H: Harness>(world: World<H>) {
    let sending = world.sending(50).await;
    gone(&world, &sending, 0..50).await;
    let subscription = sending.subscribers[7].subscription.clone();
    let again = world.entities.registration(subscription, world.key);
    assert_eq!(world.register(again).await.state, SubscriptionState::Active);
    world.end(&sending.subscribers[8]).await;
    let waves = world.store().suspected_waves().await.unwrap();
    assert_eq!(waves[0].subscriptions, 48);
}

pub(crate) async fn sending_goes_on_in_a_wave<H: Harness>(world: World<H>) {
    let sending = world.sending(60).await;
    gone(&world, &sending, 0..50).await;
    answer(&world, &sending, 50..60, OutcomeKind::Accepted).await;
    let finished = world.store();
    let finished = finished.finish_pass(&sending.lease, PassTimes::at(world.now()));
    finished.await.unwrap();
    let counts = world.counts(sending.message).await;
    assert_eq!((counts.gone, counts.accepted), (50, 10));
    let next = world.sending(1).await;
    assert_eq!(all_accepted(&next.batch).len(), 1);
}

pub(crate) async fn old_counts_of_answers_are_forgotten<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    gone(&world, &sending, 0..1).await;
    let swept = |answers_before| Sweep {
        answers_before,
        ..world.tombstones_before(Timestamp::from_millis(0))
    };
    let store = world.store();
    let long_ago = world.now().minus(HOUR);
    assert_eq!(store.sweep(swept(long_ago)).await.unwrap().answers, 0);
    let later = world.wait(HOUR);
    assert_eq!(store.sweep(swept(later)).await.unwrap().answers, 1);
}
