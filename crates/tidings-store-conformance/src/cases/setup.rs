use std::time::Duration;

use tidings_core::application::{ApplicationId, ApplicationName};
use tidings_core::clock::Timestamp;
use tidings_core::mac::MacSecrets;
use tidings_core::message::Audience;
use tidings_core::store::{Accepted, IdempotencyKey, Registration, Sweep, Swept};
use tidings_webpush::SystemRandomness;

use crate::harness::Harness;
use crate::world::{World, at_once};

const BEFORE_EVERYTHING: Timestamp = Timestamp::from_millis(0);

pub(crate) async fn a_fresh_store_has_the_default_application<H: Harness>(world: World<H>) {
    let name = ApplicationName::parse(ApplicationName::DEFAULT).unwrap();
    let applications = world.store().applications().await.unwrap();
    assert_eq!(applications, [(ApplicationId::DEFAULT, name)]);
}

pub(crate) async fn an_added_application_is_listed<H: Harness>(mut world: World<H>) {
    let name = ApplicationName::parse("shop").unwrap();
    let id = world.harness.add_application(&name).await;
    let applications = world.store().applications().await.unwrap();
    assert_eq!(applications.len(), 2);
    assert!(applications.contains(&(id, name)));
}

pub(crate) async fn the_first_mac_secrets_are_kept<H: Harness>(world: World<H>) {
    let first = MacSecrets::generate(&SystemRandomness);
    let second = MacSecrets::generate(&SystemRandomness);
    for offered in [&first, &second] {
        let kept = world.store().mac_secrets(offered.clone()).await.unwrap();
        assert_eq!(octets(&kept), octets(&first));
    }
}

fn octets(secrets: &MacSecrets) -> [[u8; 32]; 3] {
    [
        secrets.endpoint,
        secrets.subscription_token,
        secrets.receipt_proof,
    ]
}

pub(crate) async fn a_fresh_store_is_usable<H: Harness>(world: World<H>) {
    world.store().check().await.unwrap();
}

pub(crate) async fn old_tombstones_are_forgotten<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(3).await;
    world.end(&subscribers[0]).await;
    let between = world.wait(Duration::from_hours(1));
    world.end(&subscribers[1]).await;

    let swept = world
        .store()
        .sweep(world.tombstones_before(between))
        .await
        .unwrap();

    assert_eq!(
        swept,
        Swept {
            tombstones: 1,
            ..Swept::default()
        }
    );
    let mut left = Vec::new();
    for subscriber in &subscribers {
        let app = subscriber.application;
        left.push(
            world
                .store()
                .subscription(app, subscriber.id)
                .await
                .unwrap()
                .is_some(),
        );
    }
    assert_eq!(
        left,
        [false, true, true],
        "neither a tombstone of that instant nor the living"
    );
}

pub(crate) async fn many_tombstones_are_forgotten_in_one_sweep<H: Harness>(world: World<H>) {
    let now = world.now();
    let ended = world
        .subscribe_at_once(1_100)
        .await
        .into_iter()
        .map(|subscriber| {
            let store = world.store();
            let (app, id) = (subscriber.application, subscriber.id);
            async move { store.end_subscription(app, id, now).await.unwrap() }
        });
    assert!(at_once(ended).await.into_iter().all(|ended| ended));

    let later = world.wait(Duration::from_hours(1));
    let swept = world
        .store()
        .sweep(world.tombstones_before(later))
        .await
        .unwrap();

    assert_eq!(swept.tombstones, 1_100);
}

pub(crate) async fn a_forgotten_endpoint_may_come_with_other_keys<H: Harness>(world: World<H>) {
    let former = world.subscribe().await;
    world.end(&former).await;
    let later = world.wait(Duration::from_hours(1));
    world
        .store()
        .sweep(world.tombstones_before(later))
        .await
        .unwrap();

    let mut subscription = world.entities.subscription();
    subscription.push_resource = former.subscription.push_resource;
    let registration = world.entities.registration(subscription, world.key);
    let Registration::Created(created) = world.store().register(registration).await.unwrap() else {
        panic!("nothing is known of the endpoint any more");
    };
    assert!(created.seq > former.seq, "a seq is never given twice");
}

pub(crate) async fn old_idempotency_keys_are_forgotten<H: Harness>(world: World<H>) {
    let (old, new) = (
        world.entities.idempotency_key(),
        world.entities.idempotency_key(),
    );
    assert!(matches!(accept(&world, &old).await, Accepted::New(_)));
    let between = world.wait(Duration::from_hours(1));
    assert!(matches!(accept(&world, &new).await, Accepted::New(_)));

    let swept = world
        .store()
        .sweep(Sweep {
            idempotency_keys_before: between,
            ..world.tombstones_before(BEFORE_EVERYTHING)
        })
        .await
        .unwrap();

    assert_eq!(
        swept,
        Swept {
            idempotency_keys: 1,
            ..Swept::default()
        }
    );
    assert!(matches!(accept(&world, &old).await, Accepted::New(_)));
    assert!(matches!(accept(&world, &new).await, Accepted::Before(_)));
}

async fn accept<H: Harness>(world: &World<H>, key: &IdempotencyKey) -> Accepted {
    let message = world.entities.new_message(Audience::All);
    world
        .store()
        .accept(message, Some(key.clone()))
        .await
        .unwrap()
}
