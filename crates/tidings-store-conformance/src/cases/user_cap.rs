use std::num::NonZeroU32;

use tidings_core::application::ApplicationId;
use tidings_core::store::{Changed, NewSubscription, Registration, SubscriptionChange};
use tidings_core::subscription::{SubscriptionRecord, SubscriptionState, UserId};
use tidings_webpush::Subscription;

use crate::harness::Harness;
use crate::views;
use crate::world::{World, at_once};

const APP: ApplicationId = ApplicationId::DEFAULT;

/// The cap of these cases.
const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

pub(crate) async fn a_user_has_as_many_subscriptions_as_allowed<H: Harness>(world: World<H>) {
    fill(&world, "u").await;
    let one_more = world.entities.subscription();
    let refused = try_register(&world, &one_more, said("u")).await;
    assert!(
        matches!(refused, Registration::TooManyOfUser),
        "{refused:?}"
    );
    // Nothing was kept of it, and nobody else is kept out.
    let for_another = try_register(&world, &one_more, said("v")).await;
    assert!(
        matches!(for_another, Registration::Created(_)),
        "{for_another:?}"
    );
}

pub(crate) async fn a_full_users_own_subscription_is_updated<H: Harness>(world: World<H>) {
    let (browser, record) = fill(&world, "u").await;
    for change in [said("u"), SubscriptionChange::default()] {
        let again = try_register(&world, &browser, change.clone()).await;
        assert!(matches!(again, Registration::Updated(_)), "{again:?}");
        let changed = try_change(&world, &record, change).await;
        assert!(matches!(changed, Changed::Changed(_)), "{changed:?}");
    }
}

pub(crate) async fn subscriptions_of_nobody_are_not_capped<H: Harness>(world: World<H>) {
    for _ in 0..=TWO.get() {
        let browser = world.entities.subscription();
        let created = try_register(&world, &browser, SubscriptionChange::default()).await;
        assert!(matches!(created, Registration::Created(_)), "{created:?}");
    }
}

pub(crate) async fn each_application_counts_its_own_users<H: Harness>(mut world: World<H>) {
    let (other, key) = world.add_application().await;
    fill(&world, "u").await;
    let theirs = NewSubscription {
        application: other,
        change: said("u"),
        max_per_user: NonZeroU32::MIN,
        ..world.entities.new_subscription(key)
    };
    let created = world.store().register(theirs).await.unwrap();
    assert!(matches!(created, Registration::Created(_)), "{created:?}");
}

pub(crate) async fn an_ended_subscription_makes_room<H: Harness>(world: World<H>) {
    let (browser, record) = fill(&world, "u").await;
    world.end(&record).await;
    let next = world.entities.subscription();
    let created = try_register(&world, &next, said("u")).await;
    assert!(matches!(created, Registration::Created(_)), "{created:?}");
    // The room is taken: the one that ended comes back only for somebody else, or nobody.
    let refused = try_register(&world, &browser, said("u")).await;
    assert!(
        matches!(refused, Registration::TooManyOfUser),
        "{refused:?}"
    );
    assert_eq!(world.state_of(&record).await, SubscriptionState::Ended);
    let nobodys = SubscriptionChange::default();
    let back = try_register(&world, &browser, nobodys).await;
    assert!(matches!(back, Registration::Updated(_)), "{back:?}");
}

pub(crate) async fn a_detached_subscription_makes_room<H: Harness>(world: World<H>) {
    let (_, record) = fill(&world, "u").await;
    let detach = SubscriptionChange {
        user: Some(None),
        ..Default::default()
    };
    let detached = try_change(&world, &record, detach).await;
    assert!(matches!(detached, Changed::Changed(_)), "{detached:?}");
    let attached = try_change(&world, &record, said("u")).await;
    assert!(matches!(attached, Changed::Changed(_)), "{attached:?}");
}

pub(crate) async fn nothing_is_given_to_a_full_user<H: Harness>(world: World<H>) {
    fill(&world, "u").await;
    let browser = world.entities.subscription();
    let before = world
        .register(NewSubscription {
            change: said("v"),
            ..world.entities.registration(browser.clone(), world.key)
        })
        .await;
    let changed = try_change(&world, &before, said("u")).await;
    assert!(matches!(changed, Changed::TooManyOfUser), "{changed:?}");
    let registered = try_register(&world, &browser, said("u")).await;
    assert!(
        matches!(registered, Registration::TooManyOfUser),
        "{registered:?}"
    );
    let after = world.subscription(before.id).await;
    assert_eq!(views::subscription(&after), views::subscription(&before));
}

pub(crate) async fn who_knows_an_endpoint_only_is_not_told_of_its_user<H: Harness>(
    world: World<H>,
) {
    let (mut browser, _) = fill(&world, "u").await;
    browser.auth = world.entities.user_agent_keys().auth().clone();
    let refused = try_register(&world, &browser, said("u")).await;
    assert!(matches!(refused, Registration::OtherKeys), "{refused:?}");
}

pub(crate) async fn a_lowered_cap_ends_nothing<H: Harness>(world: World<H>) {
    let (browser, record) = fill(&world, "u").await;
    let lowered = NewSubscription {
        change: said("u"),
        max_per_user: NonZeroU32::MIN,
        ..world.entities.registration(browser, world.key)
    };
    let updated = world.store().register(lowered).await.unwrap();
    assert!(matches!(updated, Registration::Updated(_)), "{updated:?}");
    assert_eq!(world.state_of(&record).await, SubscriptionState::Active);
}

pub(crate) async fn registrations_at_once_do_not_pass_the_cap<H: Harness>(world: World<H>) {
    let free = world.subscribe_many(8).await;
    let registrations = (0..8).map(|_| {
        let (store, new) = (world.store(), world.entities.new_subscription(world.key));
        let new = NewSubscription {
            change: said("u"),
            max_per_user: TWO,
            ..new
        };
        let register = async move {
            let registered = store.register(new).await.unwrap();
            matches!(registered, Registration::Created(_))
        };
        Box::pin(register) as std::pin::Pin<Box<dyn Future<Output = bool> + Send>>
    });
    let changes = free.iter().map(|record| {
        let (store, id) = (world.store(), record.id);
        let change = async move {
            let changed = store.change_subscription(APP, id, said("u"), TWO).await;
            matches!(changed.unwrap(), Some(Changed::Changed(_)))
        };
        Box::pin(change) as _
    });
    let passed = at_once(registrations.chain(changes)).await;
    let passed = passed.into_iter().filter(|passed| *passed).count();
    assert_eq!(passed, 2);
}

fn said(user: &str) -> SubscriptionChange {
    SubscriptionChange {
        user: Some(UserId::parse(user)),
        ..Default::default()
    }
}

/// Gives a person as many subscriptions as are allowed; the last one, and its browser's part.
async fn fill<H: Harness>(world: &World<H>, user: &str) -> (Subscription, SubscriptionRecord) {
    let mut last = None;
    for _ in 0..TWO.get() {
        let browser = world.entities.subscription();
        let Registration::Created(record) = try_register(world, &browser, said(user)).await else {
            panic!("there is room");
        };
        last = Some((browser, record));
    }
    last.expect("the cap is not 0")
}

async fn try_register<H: Harness>(
    world: &World<H>,
    browser: &Subscription,
    change: SubscriptionChange,
) -> Registration {
    let new = NewSubscription {
        change,
        max_per_user: TWO,
        ..world.entities.registration(browser.clone(), world.key)
    };
    world.store().register(new).await.unwrap()
}

async fn try_change<H: Harness>(
    world: &World<H>,
    record: &SubscriptionRecord,
    change: SubscriptionChange,
) -> Changed {
    let changed = world
        .store()
        .change_subscription(APP, record.id, change, TWO)
        .await
        .unwrap();
    changed.expect("it is known")
}
