use std::num::NonZeroU32;
use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::attributes::Attributes;
use tidings_core::store::{Imported, NewSubscription, SubscriptionChange};
use tidings_core::subscription::{
    Locale, SubscriptionRecord, SubscriptionState, TimeZoneName, UserId,
};
use tidings_webpush::{ContentEncoding, Subscription};

use crate::harness::Harness;
use crate::views;
use crate::world::World;

const APP: ApplicationId = ApplicationId::DEFAULT;

fn attributes() -> Attributes {
    let object = serde_json::json!({"plan": "pro", "tags": ["a", "b"]});
    Attributes::from_json(object.as_object().unwrap()).unwrap()
}

/// Imports, a millisecond after whatever was before.
async fn import<H: Harness>(world: &World<H>, new: Vec<NewSubscription>) -> Vec<Imported> {
    let imported = world.store().import(new).await.unwrap();
    world.wait(Duration::from_millis(1));
    imported
}

fn said(user: &str) -> SubscriptionChange {
    SubscriptionChange {
        user: Some(UserId::parse(user)),
        ..Default::default()
    }
}

fn of<H: Harness>(
    world: &World<H>,
    browser: &Subscription,
    change: SubscriptionChange,
) -> NewSubscription {
    NewSubscription {
        change,
        ..world.entities.registration(browser.clone(), world.key)
    }
}

pub(crate) async fn an_imported_subscription_is_as_a_registered_one<H: Harness>(world: World<H>) {
    let said = SubscriptionChange {
        user: Some(UserId::parse("u")),
        attributes: Some(attributes()),
        locale: Some(Locale::parse("de-AT")),
        timezone: Some(TimeZoneName::parse("Europe/Vienna")),
    };
    let new = NewSubscription {
        change: said,
        encoding: Some(ContentEncoding::Aesgcm),
        ..world.entities.new_subscription(world.key)
    };
    let registered = NewSubscription {
        id: world.entities.subscription_id(),
        ..new.clone()
    };
    assert_eq!(import(&world, vec![new.clone()]).await, [Imported::Created]);
    let imported = world.subscription(new.id).await;
    assert_eq!(imported.state, SubscriptionState::Active);
    assert_eq!(imported.created_at, new.now);
    // A registration of the same finds nothing to change, so everything was kept.
    let again = world.register(registered).await;
    assert_eq!(again.id, imported.id);
    let last_seen_at = imported.last_seen_at;
    let again = SubscriptionRecord {
        last_seen_at,
        ..again
    };
    assert_eq!(views::subscription(&again), views::subscription(&imported));
    assert_eq!(imported.details.attributes, attributes());
    assert_eq!(imported.details.encoding, ContentEncoding::Aesgcm);
    assert_eq!(imported.details.user, UserId::parse("u"));
}

pub(crate) async fn many_are_imported_in_their_order<H: Harness>(world: World<H>) {
    let before = world.subscribe().await;
    let new: Vec<_> = (0..1500)
        .map(|_| world.entities.new_subscription(world.key))
        .collect();
    let ids: Vec<_> = new.iter().map(|new| new.id).collect();
    let imported = import(&world, new).await;
    assert_eq!(imported, vec![Imported::Created; 1500]);
    let mut seq = before.seq;
    for id in ids {
        let record = world.subscription(id).await;
        assert!(record.seq > seq, "seqs rise in the order of the lines");
        seq = record.seq;
    }
    assert!(world.subscribe().await.seq > seq);
}

pub(crate) async fn importing_again_updates<H: Harness>(world: World<H>) {
    let browser = world.entities.subscription();
    let first = of(&world, &browser, said("u"));
    let id = first.id;
    assert_eq!(import(&world, vec![first]).await, [Imported::Created]);
    let before = world.subscription(id).await;
    let again = of(&world, &browser, SubscriptionChange::default());
    assert_eq!(import(&world, vec![again]).await, [Imported::Updated]);
    let after = world.subscription(id).await;
    assert_eq!(
        after.last_seen_at, before.last_seen_at,
        "a file shows no browser"
    );
    assert_eq!(after.seq, before.seq);
    assert_eq!(after.details.user, UserId::parse("u"), "not said: stays");
    let moved = of(&world, &browser, said("v"));
    assert_eq!(import(&world, vec![moved]).await, [Imported::Updated]);
    assert_eq!(
        world.subscription(id).await.details.user,
        UserId::parse("v")
    );
}

pub(crate) async fn an_import_knows_when_a_browser_was_seen<H: Harness>(world: World<H>) {
    let seen_at = world.entities.now();
    world.wait(Duration::from_hours(1));
    let before = NewSubscription {
        seen_at: Some(seen_at),
        ..world.entities.new_subscription(world.key)
    };
    let in_the_future = NewSubscription {
        seen_at: Some(before.now.plus(Duration::from_hours(1))),
        ..world.entities.new_subscription(world.key)
    };
    let lines = vec![before.clone(), in_the_future.clone()];
    assert_eq!(import(&world, lines).await, [Imported::Created; 2]);
    assert_eq!(world.subscription(before.id).await.last_seen_at, seen_at);
    let future = world.subscription(in_the_future.id).await;
    assert_eq!(future.last_seen_at, in_the_future.now);
}

pub(crate) async fn an_import_gives_nobody_a_known_endpoint<H: Harness>(world: World<H>) {
    let browser = world.entities.subscription();
    let known = world.register(of(&world, &browser, said("u"))).await;
    let other_auth = Subscription {
        auth: world.entities.user_agent_keys().auth().clone(),
        ..browser.clone()
    };
    let other_p256dh = Subscription {
        p256dh: world.entities.user_agent_keys().public_key().clone(),
        ..browser
    };
    let lines = vec![
        of(&world, &other_auth, said("v")),
        of(&world, &other_p256dh, said("v")),
        world.entities.new_subscription(world.key),
    ];
    let imported = import(&world, lines).await;
    assert_eq!(
        imported,
        [Imported::OtherKeys, Imported::OtherKeys, Imported::Created]
    );
    let after = world.subscription(known.id).await;
    assert_eq!(views::subscription(&after), views::subscription(&known));
}

pub(crate) async fn an_import_wakes_no_tombstone<H: Harness>(world: World<H>) {
    let browser = world.entities.subscription();
    let known = world.register(of(&world, &browser, said("u"))).await;
    world.end(&known).await;
    let before = world.subscription(known.id).await;
    let imported = import(&world, vec![of(&world, &browser, said("u"))]).await;
    assert_eq!(imported, [Imported::NotActive(SubscriptionState::Ended)]);
    let after = world.subscription(known.id).await;
    assert_eq!(views::subscription(&after), views::subscription(&before));
}

pub(crate) async fn an_import_heeds_the_cap<H: Harness>(world: World<H>) {
    let capped = |change| NewSubscription {
        change,
        max_per_user: NonZeroU32::MIN.saturating_add(1),
        ..world.entities.new_subscription(world.key)
    };
    let lines = vec![
        capped(said("u")),
        capped(said("u")),
        capped(said("u")),
        capped(said("v")),
        capped(SubscriptionChange::default()),
    ];
    let refused = lines[2].id;
    let again = lines[0].clone();
    let imported = import(&world, lines).await;
    assert_eq!(
        imported,
        [
            Imported::Created,
            Imported::Created,
            Imported::TooManyOfUser,
            Imported::Created,
            Imported::Created
        ]
    );
    let nothing = world.store().subscription(APP, refused).await.unwrap();
    assert!(nothing.is_none());
    assert_eq!(import(&world, vec![again]).await, [Imported::Updated]);
}

pub(crate) async fn the_same_endpoint_twice_in_an_import_is_one<H: Harness>(world: World<H>) {
    let browser = world.entities.subscription();
    let lines = vec![
        of(&world, &browser, said("u")),
        of(&world, &browser, said("v")),
    ];
    let id = lines[0].id;
    let imported = import(&world, lines).await;
    assert_eq!(imported, [Imported::Created, Imported::Updated]);
    assert_eq!(
        world.subscription(id).await.details.user,
        UserId::parse("v")
    );
}

pub(crate) async fn importing_nothing_changes_nothing<H: Harness>(world: World<H>) {
    assert_eq!(import(&world, Vec::new()).await, []);
}
