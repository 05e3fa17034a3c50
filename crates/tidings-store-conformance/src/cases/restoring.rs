use std::num::NonZeroU32;
use std::time::Duration;

use tidings_core::application::{ApplicationId, DEFAULT_MAX_SUBSCRIPTIONS_PER_USER};
use tidings_core::batch::Seq;
use tidings_core::delivery::OutcomeKind;
use tidings_core::store::{
    NewSubscription, Restored, SubscriptionChange, SuspectPage, SuspectsDecided, Sweep,
};
use tidings_core::subscription::{PushServiceGroup, SubscriptionRecord, SubscriptionState, UserId};
use tidings_webpush::PushService;

use crate::harness::Harness;
use crate::views;
use crate::world::{World, mozilla};

const APP: ApplicationId = ApplicationId::DEFAULT;

async fn restore<H: Harness>(
    world: &World<H>,
    record: &SubscriptionRecord,
    even_ended: bool,
    cap: NonZeroU32,
) -> Restored {
    let restored = world.store().restore(APP, record.id, even_ended, cap).await;
    restored.unwrap().expect("it is known")
}

async fn of_user<H: Harness>(world: &World<H>, user: &str) -> SubscriptionRecord {
    let new = NewSubscription {
        change: SubscriptionChange {
            user: Some(UserId::parse(user)),
            ..Default::default()
        },
        ..world.entities.new_subscription(world.key)
    };
    world.register(new).await
}

/// One that its push service called gone.
async fn a_gone_one<H: Harness>(world: &World<H>) -> SubscriptionRecord {
    let sending = world.sending(1).await;
    world.record(&sending, sending.all(OutcomeKind::Gone)).await;
    let gone = world.subscription(sending.subscribers[0].id).await;
    assert_eq!(gone.state, SubscriptionState::Gone);
    gone
}

pub(crate) async fn a_gone_subscription_is_restored<H: Harness>(world: World<H>) {
    let gone = a_gone_one(&world).await;
    let cap = DEFAULT_MAX_SUBSCRIPTIONS_PER_USER;
    let restored = restore(&world, &gone, false, cap).await;
    assert!(matches!(restored, Restored::Active(_)), "{restored:?}");
    let active = world.subscription(gone.id).await;
    let state = SubscriptionState::Active;
    let expected = SubscriptionRecord { state, ..gone };
    assert_eq!(views::subscription(&active), views::subscription(&expected));
    // It is no tombstone any more: nothing forgets it.
    let later = world.wait(Duration::from_hours(24 * 400));
    world.store().sweep(Sweep::at(later)).await.unwrap();
    world.subscription(active.id).await;
}

pub(crate) async fn an_ended_subscription_is_restored_only_if_asked<H: Harness>(world: World<H>) {
    let record = of_user(&world, "u").await;
    world.end(&record).await;
    let cap = DEFAULT_MAX_SUBSCRIPTIONS_PER_USER;
    let refused = restore(&world, &record, false, cap).await;
    assert!(matches!(refused, Restored::Ended), "{refused:?}");
    assert_eq!(world.state_of(&record).await, SubscriptionState::Ended);
    let restored = restore(&world, &record, true, cap).await;
    assert!(matches!(restored, Restored::Active(_)), "{restored:?}");
    let after = world.subscription(record.id).await;
    assert_eq!(views::subscription(&after), views::subscription(&record));
}

pub(crate) async fn restoring_heeds_the_cap<H: Harness>(world: World<H>) {
    let record = of_user(&world, "u").await;
    world.end(&record).await;
    let other = of_user(&world, "u").await;
    let refused = restore(&world, &record, true, NonZeroU32::MIN).await;
    assert!(matches!(refused, Restored::TooManyOfUser), "{refused:?}");
    assert_eq!(world.state_of(&record).await, SubscriptionState::Ended);
    world.end(&other).await;
    let restored = restore(&world, &record, true, NonZeroU32::MIN).await;
    assert!(matches!(restored, Restored::Active(_)), "{restored:?}");
}

pub(crate) async fn an_active_subscription_stays_when_restored<H: Harness>(world: World<H>) {
    let record = of_user(&world, "u").await;
    // Also where its person has enough: it is one of those.
    let same = restore(&world, &record, false, NonZeroU32::MIN).await;
    let Restored::Active(same) = same else {
        panic!("it is active, not {same:?}")
    };
    assert_eq!(views::subscription(&same), views::subscription(&record));
}

pub(crate) async fn an_unknown_one_is_not_restored<H: Harness>(mut world: World<H>) {
    let cap = DEFAULT_MAX_SUBSCRIPTIONS_PER_USER;
    let unknown = world.entities.subscription_id();
    let nothing = world
        .store()
        .restore(APP, unknown, true, cap)
        .await
        .unwrap();
    assert!(nothing.is_none());
    let record = world.subscribe().await;
    world.end(&record).await;
    let (other, _) = world.add_application().await;
    let nothing = world
        .store()
        .restore(other, record.id, true, cap)
        .await
        .unwrap();
    assert!(nothing.is_none(), "another application's");
    assert_eq!(world.state_of(&record).await, SubscriptionState::Ended);
}

pub(crate) async fn without_suspects_nothing_is_decided<H: Harness>(world: World<H>) {
    let gone = a_gone_one(&world).await;
    let active = world.subscribe().await;
    let page = suspects(&world, Seq::ZERO, 10);
    let cap = DEFAULT_MAX_SUBSCRIPTIONS_PER_USER;
    let restored = world.store().restore_suspects(page.clone(), cap).await;
    let confirmed = world.store().confirm_suspects(page).await;
    for decided in [restored.unwrap(), confirmed.unwrap()] {
        assert_eq!(decided, SuspectsDecided::default());
    }
    assert_eq!(world.state_of(&gone).await, SubscriptionState::Gone);
    assert_eq!(world.state_of(&active).await, SubscriptionState::Active);
}

fn suspects<H: Harness>(world: &World<H>, after: Seq, limit: u16) -> SuspectPage {
    SuspectPage {
        application: APP,
        group: mozilla(),
        after,
        limit,
        now: world.now(),
    }
}

/// 60 that were called gone in a wave.
async fn a_wave<H: Harness>(world: &World<H>) -> Vec<SubscriptionRecord> {
    let sending = world.sending(60).await;
    world.record(&sending, sending.all(OutcomeKind::Gone)).await;
    for subscriber in &sending.subscribers {
        assert_eq!(world.state_of(subscriber).await, SubscriptionState::Suspect);
    }
    sending.subscribers
}

async fn states<H: Harness>(
    world: &World<H>,
    subscribers: &[SubscriptionRecord],
) -> Vec<SubscriptionState> {
    let mut states = Vec::new();
    for subscriber in subscribers {
        states.push(world.state_of(subscriber).await);
    }
    states
}

pub(crate) async fn suspects_are_restored_part_by_part<H: Harness>(world: World<H>) {
    let wave = a_wave(&world).await;
    let cap = DEFAULT_MAX_SUBSCRIPTIONS_PER_USER;
    let elsewhere = SuspectPage {
        group: PushServiceGroup::of_service(PushService::Fcm),
        ..suspects(&world, Seq::ZERO, 40)
    };
    let decided = world
        .store()
        .restore_suspects(elsewhere, cap)
        .await
        .unwrap();
    assert_eq!(decided, SuspectsDecided::default());

    let page = suspects(&world, Seq::ZERO, 40);
    let first = world.store().restore_suspects(page, cap).await.unwrap();
    assert_eq!((first.changed, first.left), (40, 0));
    let (restored, others) = wave.split_at(40);
    assert!(
        states(&world, restored)
            .await
            .iter()
            .all(|it| *it == SubscriptionState::Active)
    );
    assert!(
        states(&world, others)
            .await
            .iter()
            .all(|it| *it == SubscriptionState::Suspect)
    );

    let page = suspects(&world, first.next.expect("there are more"), 40);
    let rest = world.store().restore_suspects(page, cap).await.unwrap();
    let expected = SuspectsDecided {
        changed: 20,
        left: 0,
        next: None,
    };
    assert_eq!(rest, expected);
    assert!(world.store().suspected_waves().await.unwrap().is_empty());
}

pub(crate) async fn a_full_users_suspects_stay<H: Harness>(world: World<H>) {
    let wave = a_wave(&world).await;
    let hers = SubscriptionChange {
        user: Some(UserId::parse("u")),
        ..Default::default()
    };
    let cap = NonZeroU32::MIN;
    for suspect in &wave[..2] {
        let changed = world
            .store()
            .change_subscription(APP, suspect.id, hers.clone(), cap)
            .await;
        changed.unwrap().expect("it is known");
    }
    let page = suspects(&world, Seq::ZERO, 100);
    let decided = world.store().restore_suspects(page, cap).await.unwrap();
    assert_eq!((decided.changed, decided.left), (59, 1));
    assert_eq!(world.state_of(&wave[0]).await, SubscriptionState::Active);
    assert_eq!(world.state_of(&wave[1]).await, SubscriptionState::Suspect);
}

pub(crate) async fn confirmed_suspects_are_tombstones<H: Harness>(world: World<H>) {
    let wave = a_wave(&world).await;
    let page = suspects(&world, Seq::ZERO, 100);
    let decided = world.store().confirm_suspects(page).await.unwrap();
    assert_eq!((decided.changed, decided.left, decided.next), (60, 0, None));
    assert!(
        states(&world, &wave)
            .await
            .iter()
            .all(|it| *it == SubscriptionState::Gone)
    );
    assert!(world.store().suspected_waves().await.unwrap().is_empty());
    // As old as their confirmation: they can still be restored for a while.
    let later = world.wait(Duration::from_mins(1));
    let swept = world.store().sweep(world.tombstones_before(later)).await;
    assert_eq!(swept.unwrap().tombstones, 60);
}

pub(crate) async fn one_suspect_is_restored<H: Harness>(world: World<H>) {
    let wave = a_wave(&world).await;
    let cap = DEFAULT_MAX_SUBSCRIPTIONS_PER_USER;
    let restored = restore(&world, &wave[7], false, cap).await;
    assert!(matches!(restored, Restored::Active(_)), "{restored:?}");
    assert_eq!(world.state_of(&wave[7]).await, SubscriptionState::Active);
    let waves = world.store().suspected_waves().await.unwrap();
    assert_eq!(waves[0].subscriptions, 59);
}
