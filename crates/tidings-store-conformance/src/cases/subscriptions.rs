use std::num::NonZeroU32;
use std::time::Duration;

use tidings_core::application::{ApplicationId, DEFAULT_MAX_SUBSCRIPTIONS_PER_USER};
use tidings_core::attributes::Attributes;
use tidings_core::batch::Seq;
use tidings_core::id::SubscriptionId;
use tidings_core::store::{
    Changed, NewSubscription, PageRequest, SubscriptionChange, SubscriptionFilter,
};
use tidings_core::subscription::{
    Locale, SubscriptionRecord, SubscriptionState, TimeZoneName, UserId,
};

use crate::harness::Harness;
use crate::views;
use crate::world::{World, at_once};

const APP: ApplicationId = ApplicationId::DEFAULT;
const CAP: NonZeroU32 = DEFAULT_MAX_SUBSCRIPTIONS_PER_USER;

pub(crate) async fn an_unknown_subscription_is_none<H: Harness>(world: World<H>) {
    let (store, unknown) = (world.store(), world.entities.subscription_id());
    let change = SubscriptionChange::default();
    assert!(store.subscription(APP, unknown).await.unwrap().is_none());
    assert!(
        store
            .change_subscription(APP, unknown, change, CAP)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        !store
            .end_subscription(APP, unknown, world.now())
            .await
            .unwrap()
    );
}

pub(crate) async fn a_subscription_belongs_to_its_application<H: Harness>(mut world: World<H>) {
    let (other, _) = world.add_application().await;
    let ours = world.subscribe().await;
    let (store, id) = (world.store(), ours.id);
    let change = SubscriptionChange {
        user: Some(UserId::parse("x")),
        ..Default::default()
    };
    assert!(store.subscription(other, id).await.unwrap().is_none());
    assert!(
        store
            .change_subscription(other, id, change, CAP)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        !store
            .end_subscription(other, id, world.now())
            .await
            .unwrap()
    );
    let theirs = page(&world, other, SubscriptionFilter::default(), None, 10).await;
    assert_eq!(theirs, (vec![], None));
    assert_eq!(
        views::subscription(&world.subscription(id).await),
        views::subscription(&ours)
    );
}

pub(crate) async fn pages_follow_each_other_newest_first<H: Harness>(world: World<H>) {
    let mut newest_first = ids(&world.subscribe_many(7).await);
    newest_first.reverse();
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut after = None;
    loop {
        let (items, next) = page(&world, APP, SubscriptionFilter::default(), after, 3).await;
        sizes.push(items.len());
        seen.extend(items);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, newest_first);
    assert_eq!(sizes, [3, 3, 1]);
}

pub(crate) async fn a_last_page_that_is_full_has_no_next<H: Harness>(world: World<H>) {
    world.subscribe_many(4).await;
    let (first, next) = page(&world, APP, SubscriptionFilter::default(), None, 2).await;
    assert_eq!(first.len(), 2);
    assert!(next.is_some());
    let (second, end) = page(&world, APP, SubscriptionFilter::default(), next, 2).await;
    assert_eq!((second.len(), end), (2, None));
}

pub(crate) async fn a_page_is_not_moved_by_newcomers<H: Harness>(world: World<H>) {
    let before = ids(&world.subscribe_many(4).await);
    let (_, next) = page(&world, APP, SubscriptionFilter::default(), None, 2).await;
    world.subscribe().await;
    let (second, _) = page(&world, APP, SubscriptionFilter::default(), next, 2).await;
    assert_eq!(second, [before[1], before[0]]);
}

pub(crate) async fn a_list_shows_one_state<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(4).await;
    let all = ids(&subscribers);
    world.end(&subscribers[1]).await;
    world.end(&subscribers[3]).await;
    for (state, expected) in [
        (SubscriptionState::Active, vec![all[2], all[0]]),
        (SubscriptionState::Ended, vec![all[3], all[1]]),
        (SubscriptionState::Gone, vec![]),
    ] {
        let filter = SubscriptionFilter {
            state: Some(state),
            user: None,
        };
        assert_eq!(
            page(&world, APP, filter, None, 10).await,
            (expected, None),
            "{state:?}"
        );
    }
    let everything = page(&world, APP, SubscriptionFilter::default(), None, 10).await;
    assert_eq!(everything.0.len(), 4, "without a filter, tombstones too");
}

pub(crate) async fn a_list_shows_one_persons<H: Harness>(world: World<H>) {
    let anna = of_user(&world, "anna").await;
    of_user(&world, "Anna").await;
    world.subscribe().await;
    let annas_other = of_user(&world, "anna").await;
    let filter = SubscriptionFilter {
        state: None,
        user: UserId::parse("anna"),
    };

    let first = page(&world, APP, filter.clone(), None, 1).await;
    assert_eq!(first, (vec![annas_other.id], Some(annas_other.seq)));
    let second = page(&world, APP, filter.clone(), first.1, 1).await;
    assert_eq!(second, (vec![anna.id], None));

    world.end(&anna).await;
    let ended = SubscriptionFilter {
        state: Some(SubscriptionState::Ended),
        ..filter
    };
    assert_eq!(
        page(&world, APP, ended, None, 10).await,
        (vec![anna.id], None)
    );
}

pub(crate) async fn a_change_leaves_the_rest_as_it_was<H: Harness>(world: World<H>) {
    let before = of_user(&world, "anna").await;
    let attributes = serde_json::json!({"plan": "pro"});
    let attributes = Attributes::from_json(attributes.as_object().unwrap()).unwrap();
    let mut expected = views::subscription(&before);

    for change in [
        SubscriptionChange {
            locale: Some(Locale::parse("de-AT")),
            ..Default::default()
        },
        SubscriptionChange {
            timezone: Some(TimeZoneName::parse("Europe/Vienna")),
            ..Default::default()
        },
        SubscriptionChange {
            attributes: Some(attributes.clone()),
            ..Default::default()
        },
        SubscriptionChange {
            user: Some(None),
            ..Default::default()
        },
        SubscriptionChange::default(),
    ] {
        let store = world.store();
        let changed = store
            .change_subscription(APP, before.id, change.clone(), CAP)
            .await
            .unwrap();
        let Some(Changed::Changed(changed)) = changed else {
            panic!("it is known, and its person is not full: {changed:?}");
        };
        let changed = views::subscription(&changed);
        if change.locale.is_some() {
            expected.locale = Some("de-AT".to_owned());
        }
        if change.timezone.is_some() {
            expected.timezone = Some("Europe/Vienna".to_owned());
        }
        if change.attributes.is_some() {
            expected.attributes = attributes.clone();
        }
        if change.user.is_some() {
            expected.user = None;
        }
        expected.last_seen_at = changed.last_seen_at;
        assert_eq!(changed, expected);
        assert_eq!(
            views::subscription(&world.subscription(before.id).await),
            expected
        );
    }
}

pub(crate) async fn an_ended_subscription_is_a_tombstone<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(2).await;
    world.end(&subscribers[0]).await;
    assert_eq!(
        world.state_of(&subscribers[0]).await,
        SubscriptionState::Ended
    );
    assert_eq!(
        world.state_of(&subscribers[1]).await,
        SubscriptionState::Active
    );
}

pub(crate) async fn ending_again_does_not_renew_a_tombstone<H: Harness>(world: World<H>) {
    let subscriber = world.subscribe().await;
    world.end(&subscriber).await;
    let after_the_first = world.wait(Duration::from_hours(1));
    world.end(&subscriber).await;
    let swept = world
        .store()
        .sweep(world.tombstones_before(after_the_first))
        .await
        .unwrap();
    assert_eq!(swept.tombstones, 1);
}

const PAUSE: Duration = Duration::from_secs(10);

async fn take_turn<H: Harness>(world: &World<H>, id: SubscriptionId) -> Option<Duration> {
    world
        .store()
        .take_test_turn(APP, id, world.now(), PAUSE)
        .await
        .unwrap()
}

pub(crate) async fn a_test_turn_is_taken_once_in_a_while<H: Harness>(world: World<H>) {
    let (one, other) = (world.subscribe().await.id, world.subscribe().await.id);
    assert_eq!(take_turn(&world, one).await, None);
    assert_eq!(take_turn(&world, one).await, Some(PAUSE));
    assert_eq!(
        take_turn(&world, other).await,
        None,
        "each has its own turns"
    );

    world.wait(Duration::from_millis(9_999));
    assert_eq!(take_turn(&world, one).await, Some(Duration::from_millis(1)));
    world.wait(Duration::from_millis(1));
    assert_eq!(
        take_turn(&world, one).await,
        None,
        "asking too early did not prolong the pause"
    );
    assert_eq!(take_turn(&world, one).await, Some(PAUSE));
}

pub(crate) async fn a_clock_that_went_back_locks_nobody_out<H: Harness>(world: World<H>) {
    let id = world.subscribe().await.id;
    let now = world.now();
    assert_eq!(take_turn(&world, id).await, None);
    world.entities.clock.set(now.minus(Duration::from_hours(1)));
    assert_eq!(take_turn(&world, id).await, None);
}

pub(crate) async fn one_of_many_at_once_gets_the_test_turn<H: Harness>(world: World<H>) {
    let (id, now) = (world.subscribe().await.id, world.now());
    let turns = (0..16).map(|_| {
        let store = world.store();
        async move { store.take_test_turn(APP, id, now, PAUSE).await.unwrap() }
    });
    let turns = at_once(turns).await;
    assert_eq!(turns.iter().filter(|wait| wait.is_none()).count(), 1);
}

async fn of_user<H: Harness>(world: &World<H>, user: &str) -> SubscriptionRecord {
    let change = SubscriptionChange {
        user: Some(UserId::parse(user)),
        ..Default::default()
    };
    let new = world.entities.new_subscription(world.key);
    world.register(NewSubscription { change, ..new }).await
}

fn ids(subscribers: &[SubscriptionRecord]) -> Vec<SubscriptionId> {
    subscribers.iter().map(|subscriber| subscriber.id).collect()
}

async fn page<H: Harness>(
    world: &World<H>,
    app: ApplicationId,
    filter: SubscriptionFilter,
    after: Option<Seq>,
    limit: u16,
) -> (Vec<SubscriptionId>, Option<Seq>) {
    let request = PageRequest { after, limit };
    let page = world
        .store()
        .subscriptions(app, filter, request)
        .await
        .unwrap();
    (ids(&page.items), page.next)
}
