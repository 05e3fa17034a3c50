use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tidings_core::application::ApplicationId;
use tidings_core::attributes::Attributes;
use tidings_core::batch::Seq;
use tidings_core::store::{NewSubscription, Registration, SubscriptionChange};
use tidings_core::subscription::{
    Locale, SubscriptionRecord, SubscriptionState, TimeZoneName, UserId,
};
use tidings_core::vapid_key::VapidKeyState;
use tidings_webpush::{ContentEncoding, PushService, Subscription};

use crate::harness::Harness;
use crate::views;
use crate::world::{World, at_once};

pub(crate) async fn an_unknown_endpoint_is_created<H: Harness>(world: World<H>) {
    let new = world.entities.new_subscription(world.key);
    let expected = views::SubscriptionView {
        id: new.id,
        application: ApplicationId::DEFAULT,
        seq: Seq::from_i64(1),
        state: SubscriptionState::Active,
        capability: views::capability(&new.subscription),
        vapid_key: world.key,
        encoding: ContentEncoding::Aes128gcm,
        user: None,
        attributes: Attributes::default(),
        locale: None,
        timezone: None,
        created_at: new.now,
        last_seen_at: new.now,
    };
    let Registration::Created(record) = world.store().register(new).await.unwrap() else {
        panic!("the endpoint was not known");
    };
    assert_eq!(views::subscription(&record), expected);
    assert_eq!(
        views::subscription(&world.subscription(record.id).await),
        expected
    );
}

pub(crate) async fn every_push_service_is_kept_as_it_was_given<H: Harness>(world: World<H>) {
    for service in PushService::ALL {
        let subscription = world.entities.subscription_at(service);
        let given = views::capability(&subscription);
        let record = world
            .register(world.entities.registration(subscription, world.key))
            .await;
        let kept = world.subscription(record.id).await;
        assert_eq!(views::capability(&kept.subscription), given);
    }
}

pub(crate) async fn what_was_said_is_kept<H: Harness>(world: World<H>) {
    let key = world.entities.new_vapid_key(VapidKeyState::Live);
    let key = world.store().add_vapid_key(key).await.unwrap().id;
    let record = world
        .register(NewSubscription {
            vapid_key: Some(key),
            encoding: Some(ContentEncoding::Aes128gcm),
            change: everything(),
            ..world.entities.new_subscription(world.key)
        })
        .await;
    let kept = views::subscription(&world.subscription(record.id).await);
    assert_eq!(kept.vapid_key, key);
    assert_says_everything(&kept);
    assert_eq!(views::subscription(&record), kept);
}

fn everything() -> SubscriptionChange {
    SubscriptionChange {
        user: Some(UserId::parse("Zoë 'o; 42")),
        attributes: Some(attributes(&json!({
            "plan": "pro", "age": 3, "rate": 1.5, "beta": true, "tags": ["a", "ß", ""],
        }))),
        locale: Some(Locale::parse("de-AT")),
        timezone: Some(TimeZoneName::parse("Europe/Vienna")),
    }
}

fn assert_says_everything(record: &views::SubscriptionView) {
    let said = everything();
    assert_eq!(record.user.as_deref(), Some("Zoë 'o; 42"));
    assert_eq!(Some(&record.attributes), said.attributes.as_ref());
    assert_eq!(record.locale.as_deref(), Some("de-AT"));
    assert_eq!(record.timezone.as_deref(), Some("Europe/Vienna"));
}

fn attributes(object: &serde_json::Value) -> Attributes {
    let object = object.as_object().expect("tests pass objects").clone();
    Attributes::from_json(&object).unwrap()
}

pub(crate) async fn the_same_endpoint_and_keys_are_updated<H: Harness>(world: World<H>) {
    let (before, subscription) = subscribe(&world, SubscriptionChange::default()).await;
    let now = world.wait(Duration::from_hours(1));

    let mut again = world.entities.registration(subscription, world.key);
    again.change.user = Some(UserId::parse("42"));
    let Registration::Updated(after) = world.store().register(again).await.unwrap() else {
        panic!("the endpoint was known with these keys");
    };

    let expected = views::SubscriptionView {
        user: Some("42".to_owned()),
        last_seen_at: now,
        ..views::subscription(&before)
    };
    assert_eq!(views::subscription(&after), expected);
    assert_eq!(
        views::subscription(&world.subscription(before.id).await),
        expected
    );
}

pub(crate) async fn what_is_not_said_again_stays<H: Harness>(world: World<H>) {
    let (_, subscription) = subscribe(&world, everything()).await;
    let updated = world
        .register(world.entities.registration(subscription, world.key))
        .await;
    assert_says_everything(&views::subscription(&updated));
    assert_says_everything(&views::subscription(&world.subscription(updated.id).await));
}

pub(crate) async fn what_is_said_to_be_nothing_is_cleared<H: Harness>(world: World<H>) {
    let (_, subscription) = subscribe(&world, everything()).await;
    let change = SubscriptionChange {
        user: Some(None),
        attributes: Some(Attributes::default()),
        locale: Some(None),
        timezone: Some(None),
    };
    let registration = world.entities.registration(subscription, world.key);
    let updated = world
        .register(NewSubscription {
            change,
            ..registration
        })
        .await;
    for record in [&updated, &world.subscription(updated.id).await] {
        let view = views::subscription(record);
        assert_eq!((view.user, view.locale, view.timezone), (None, None, None));
        assert!(view.attributes.is_empty());
    }
}

pub(crate) async fn attributes_are_replaced_as_a_whole<H: Harness>(world: World<H>) {
    let (_, subscription) = subscribe(&world, everything()).await;
    let mut again = world.entities.registration(subscription, world.key);
    again.change.attributes = Some(attributes(&json!({"plan": "free"})));
    let updated = world.register(again).await;
    assert_eq!(
        updated.details.attributes,
        attributes(&json!({"plan": "free"}))
    );
}

pub(crate) async fn a_vapid_key_said_later_corrects_the_kept_one<H: Harness>(world: World<H>) {
    let (before, subscription) = subscribe(&world, SubscriptionChange::default()).await;
    let said = world.entities.new_vapid_key(VapidKeyState::Live);
    let said = world.store().add_vapid_key(said).await.unwrap().id;
    let registration = world.entities.registration(subscription, world.key);
    world
        .register(NewSubscription {
            vapid_key: Some(said),
            ..registration
        })
        .await;
    assert_eq!(world.subscription(before.id).await.details.vapid_key, said);
}

pub(crate) async fn a_known_subscription_keeps_its_vapid_key<H: Harness>(world: World<H>) {
    let (before, subscription) = subscribe(&world, SubscriptionChange::default()).await;
    let new_key = world.entities.new_vapid_key(VapidKeyState::Active);
    let new_key = world.store().add_vapid_key(new_key).await.unwrap().id;

    let again = world
        .register(world.entities.registration(subscription, new_key))
        .await;

    assert_eq!(again.details.vapid_key, before.details.vapid_key);
    assert_eq!(
        world.subscription(before.id).await.details.vapid_key,
        world.key
    );
}

pub(crate) async fn another_p256dh_changes_nothing<H: Harness>(world: World<H>) {
    let keys = world.entities.user_agent_keys();
    other_keys_change_nothing(&world, |subscription| {
        subscription.p256dh = keys.public_key().clone();
    })
    .await;
}

pub(crate) async fn another_auth_changes_nothing<H: Harness>(world: World<H>) {
    let keys = world.entities.user_agent_keys();
    other_keys_change_nothing(&world, |subscription| {
        subscription.auth = keys.auth().clone();
    })
    .await;
}

async fn other_keys_change_nothing<H: Harness>(
    world: &World<H>,
    forge: impl FnOnce(&mut Subscription),
) {
    let (before, mut subscription) = subscribe(world, everything()).await;
    forge(&mut subscription);
    world.wait(Duration::from_hours(1));

    let mut again = world.entities.registration(subscription, world.key);
    again.change.user = Some(UserId::parse("thief"));
    let refused = world.store().register(again).await.unwrap();

    assert!(matches!(refused, Registration::OtherKeys), "{refused:?}");
    let after = world.subscription(before.id).await;
    assert_eq!(views::subscription(&after), views::subscription(&before));
}

pub(crate) async fn an_ended_subscription_becomes_active_again<H: Harness>(world: World<H>) {
    let (before, subscription) = subscribe(&world, everything()).await;
    world.end(&before).await;
    let again = world
        .register(world.entities.registration(subscription, world.key))
        .await;
    assert_eq!(
        (again.id, again.state),
        (before.id, SubscriptionState::Active)
    );
}

pub(crate) async fn an_ended_subscription_comes_back_as_nobodys<H: Harness>(world: World<H>) {
    let (before, subscription) = subscribe(&world, everything()).await;
    let again = || world.entities.registration(subscription.clone(), world.key);
    world.end(&before).await;
    world.register(again()).await;
    let back = views::subscription(&world.subscription(before.id).await);
    assert_eq!((back.user, back.attributes), (None, Attributes::default()));
    world.end(&before).await;
    let said = NewSubscription {
        change: everything(),
        ..again()
    };
    world.register(said).await;
    assert_says_everything(&views::subscription(&world.subscription(before.id).await));
}

pub(crate) async fn one_that_came_back_is_not_swept<H: Harness>(world: World<H>) {
    let (before, subscription) = subscribe(&world, everything()).await;
    world.end(&before).await;
    world
        .register(world.entities.registration(subscription, world.key))
        .await;
    let later = world.wait(Duration::from_hours(1));
    assert_eq!(
        world
            .store()
            .sweep(world.tombstones_before(later))
            .await
            .unwrap()
            .tombstones,
        0
    );
    assert_eq!(world.state_of(&before).await, SubscriptionState::Active);
}

pub(crate) async fn a_registered_endpoint_is_known_in_any_state<H: Harness>(mut world: World<H>) {
    let (other, _) = world.add_application().await;
    let new = world.entities.new_subscription(world.key);
    let hash = new.endpoint_hash;
    let knows = async |app| world.store().knows_endpoint(app, hash).await.unwrap();
    assert!(!knows(ApplicationId::DEFAULT).await);
    let record = world.register(new).await;
    assert!(knows(ApplicationId::DEFAULT).await);
    assert!(!knows(other).await, "another application");
    world.end(&record).await;
    assert!(knows(ApplicationId::DEFAULT).await);
}

pub(crate) async fn two_applications_may_know_one_endpoint<H: Harness>(mut world: World<H>) {
    let (other, key) = world.add_application().await;
    let (ours, subscription) = subscribe(&world, SubscriptionChange::default()).await;
    // The same hash in both: it is the pair with the application that is unique.
    let theirs = NewSubscription {
        application: other,
        ..world.entities.registration(subscription, key)
    };
    let Registration::Created(theirs) = world.store().register(theirs).await.unwrap() else {
        panic!("the other application did not know the endpoint");
    };
    assert_ne!(theirs.id, ours.id);
    assert_eq!((theirs.application, theirs.seq), (other, Seq::from_i64(1)));
    world.end(&ours).await;
    let left = world
        .store()
        .subscription(other, theirs.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(left.state, SubscriptionState::Active);
}

pub(crate) async fn seqs_rise_in_the_order_of_registration<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(5).await;
    let seqs: Vec<_> = subscribers
        .iter()
        .map(|subscriber| subscriber.seq.as_i64())
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
}

pub(crate) async fn concurrent_registrations_get_different_seqs<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_at_once(100).await;
    let seqs: BTreeSet<_> = subscribers
        .iter()
        .map(|subscriber| subscriber.seq.as_i64())
        .collect();
    assert_eq!(seqs, (1..=100).collect());
}

pub(crate) async fn one_endpoint_registered_at_once_is_created_once<H: Harness>(world: World<H>) {
    let subscription = world.entities.subscription();
    let registrations = (0..16).map(|_| {
        let store = world.store();
        let new = world.entities.registration(subscription.clone(), world.key);
        async move { store.register(new).await.unwrap() }
    });
    let mut created = 0;
    let mut ids = BTreeSet::new();
    for registration in at_once(registrations).await {
        match registration {
            Registration::Created(record) => {
                created += 1;
                ids.insert(record.id);
            }
            Registration::Updated(record) => {
                ids.insert(record.id);
            }
            other => panic!("the keys are the same: {other:?}"),
        }
    }
    assert_eq!((created, ids.len()), (1, 1));
}

async fn subscribe<H: Harness>(
    world: &World<H>,
    change: SubscriptionChange,
) -> (SubscriptionRecord, Subscription) {
    let subscription = world.entities.subscription();
    let registration = world.entities.registration(subscription.clone(), world.key);
    (
        world
            .register(NewSubscription {
                change,
                ..registration
            })
            .await,
        subscription,
    )
}
