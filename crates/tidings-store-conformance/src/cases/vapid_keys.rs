use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::store::{NewSubscription, NewVapidKey, Store};
use tidings_core::vapid_key::VapidKeyState::{self, Active, Live, Retired};

use crate::harness::Harness;
use crate::views;
use crate::world::{World, at_once};

const APP: ApplicationId = ApplicationId::DEFAULT;

pub(crate) async fn a_key_is_kept_as_it_was_given<H: Harness>(world: World<H>) {
    world.wait(Duration::from_secs(1));
    for state in VapidKeyState::ALL {
        let new = world.entities.new_vapid_key(state);
        let expected = views::VapidKeyView {
            id: new.id,
            application: APP,
            public_key: new.key.public_key().clone(),
            state,
            created_at: new.created_at,
        };
        let kept = world.store().add_vapid_key(new).await.unwrap();
        assert_eq!(views::vapid_key(&kept), expected);
        let listed = world.store().vapid_keys(APP).await.unwrap();
        assert_eq!(listed.last().map(views::vapid_key), Some(expected));
    }
}

pub(crate) async fn keys_are_listed_oldest_first<H: Harness>(world: World<H>) {
    let mut expected = vec![world.key];
    for state in [Live, Active, Retired, Live] {
        world.wait(Duration::from_secs(1));
        expected.push(add(&world, state).await.id);
    }
    let listed: Vec<_> = keys(world.store().as_ref())
        .await
        .iter()
        .map(|key| key.0)
        .collect();
    assert_eq!(listed, expected);
}

pub(crate) async fn a_key_pair_is_readable_in_every_state<H: Harness>(world: World<H>) {
    for state in VapidKeyState::ALL {
        let new = add(&world, state).await;
        let pair = world
            .store()
            .vapid_key_pair(APP, new.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(pair.public_key(), new.key.public_key());
        assert_eq!(*pair.to_raw_base64url(), *new.key.to_raw_base64url());
    }
}

pub(crate) async fn a_key_belongs_to_its_application<H: Harness>(mut world: World<H>) {
    let (other, theirs) = world.add_application().await;
    let store = world.store();
    assert!(store.vapid_key_pair(APP, theirs).await.unwrap().is_none());
    assert!(
        store
            .vapid_key_pair(other, world.key)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .set_vapid_key_state(APP, theirs, Retired)
            .await
            .unwrap()
            .is_none()
    );
    let listed = store.vapid_keys(other).await.unwrap();
    assert_eq!(
        listed
            .iter()
            .map(|key| (key.id, key.state))
            .collect::<Vec<_>>(),
        [(theirs, Active)]
    );
    assert_eq!(
        keys(store.as_ref()).await,
        [(world.key, Active)],
        "each has an active key"
    );
}

pub(crate) async fn an_unknown_key_is_none<H: Harness>(world: World<H>) {
    let unknown = world.entities.vapid_key_id();
    let store = world.store();
    assert!(store.vapid_key_pair(APP, unknown).await.unwrap().is_none());
    assert!(
        store
            .set_vapid_key_state(APP, unknown, Active)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        keys(store.as_ref()).await,
        [(world.key, Active)],
        "the active one stays active"
    );
}

pub(crate) async fn a_key_added_twice_is_returned_as_it_was_kept<H: Harness>(world: World<H>) {
    let first = add(&world, Live).await;
    let kept = world.store().vapid_keys(APP).await.unwrap();
    world.wait(Duration::from_secs(1));

    let again = NewVapidKey {
        key: first.key.clone(),
        ..world.entities.new_vapid_key(Retired)
    };
    let returned = world.store().add_vapid_key(again).await.unwrap();

    assert_eq!(views::vapid_key(&returned), views::vapid_key(&kept[1]));
    assert_eq!(
        keys(world.store().as_ref()).await,
        [(world.key, Active), (first.id, Live)]
    );
}

pub(crate) async fn a_key_added_again_as_active_becomes_active<H: Harness>(world: World<H>) {
    let first = add(&world, Retired).await;
    let again = NewVapidKey {
        key: first.key.clone(),
        ..world.entities.new_vapid_key(Active)
    };
    let returned = world.store().add_vapid_key(again).await.unwrap();
    assert_eq!((returned.id, returned.state), (first.id, Active));
    assert_eq!(
        keys(world.store().as_ref()).await,
        [(world.key, Live), (first.id, Active)]
    );
}

pub(crate) async fn one_key_pair_may_serve_two_applications<H: Harness>(mut world: World<H>) {
    let (other, _) = world.add_application().await;
    let ours = add(&world, Live).await;
    let theirs = NewVapidKey {
        key: ours.key.clone(),
        application: other,
        ..world.entities.new_vapid_key(Live)
    };
    let id = theirs.id;
    assert_eq!(world.store().add_vapid_key(theirs).await.unwrap().id, id);
    assert!(
        world
            .store()
            .vapid_key_pair(other, id)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        world
            .store()
            .vapid_key_pair(APP, ours.id)
            .await
            .unwrap()
            .is_some()
    );
}

pub(crate) async fn a_new_active_key_makes_the_former_live<H: Harness>(world: World<H>) {
    let new = add(&world, Active).await;
    assert_eq!(
        keys(world.store().as_ref()).await,
        [(world.key, Live), (new.id, Active)]
    );
}

pub(crate) async fn activating_a_key_makes_the_former_live<H: Harness>(world: World<H>) {
    let new = add(&world, Retired).await;
    let changed = world
        .store()
        .set_vapid_key_state(APP, new.id, Active)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((changed.id, changed.state), (new.id, Active));
    assert_eq!(
        keys(world.store().as_ref()).await,
        [(world.key, Live), (new.id, Active)]
    );
}

pub(crate) async fn activating_the_active_key_changes_nothing<H: Harness>(world: World<H>) {
    let store = world.store();
    let changed = store
        .set_vapid_key_state(APP, world.key, Active)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(changed.state, Active);
    assert_eq!(keys(store.as_ref()).await, [(world.key, Active)]);
}

pub(crate) async fn a_key_can_be_retired<H: Harness>(world: World<H>) {
    let other = add(&world, Live).await;
    let store = world.store();
    store
        .set_vapid_key_state(APP, world.key, Retired)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        keys(store.as_ref()).await,
        [(world.key, Retired), (other.id, Live)]
    );
}

pub(crate) async fn concurrent_activations_leave_one_active_key<H: Harness>(world: World<H>) {
    let mut added = Vec::new();
    for _ in 0..8 {
        added.push(add(&world, Live).await.id);
    }
    let activations = added.into_iter().map(|id| {
        let store = world.store();
        async move {
            store
                .set_vapid_key_state(APP, id, Active)
                .await
                .unwrap()
                .unwrap()
                .state
        }
    });
    assert!(
        at_once(activations)
            .await
            .into_iter()
            .all(|state| state == Active)
    );
    let states = keys(world.store().as_ref()).await;
    assert_eq!(
        states.iter().filter(|(_, state)| *state == Active).count(),
        1,
        "{states:?}"
    );
}

pub(crate) async fn active_subscriptions_are_counted_by_key<H: Harness>(mut world: World<H>) {
    let (application, theirs) = world.add_application().await;
    let other = add(&world, Live).await.id;
    let unused = add(&world, Live).await.id;
    let subscribers = world.subscribe_many(3).await;
    world.register(world.entities.new_subscription(other)).await;
    let new = NewSubscription {
        application,
        ..world.entities.new_subscription(theirs)
    };
    world.register(new).await;
    world.end(&subscribers[1]).await;

    let counted = world.store().subscriptions_by_vapid_key(APP).await.unwrap();
    let of = |key| counted.get(&key).copied().unwrap_or(0);
    assert_eq!([world.key, other, unused, theirs].map(of), [2, 1, 0, 0]);
    let counted = world
        .store()
        .subscriptions_by_vapid_key(application)
        .await
        .unwrap();
    assert_eq!(counted.get(&theirs), Some(&1));
}

async fn add<H: Harness>(world: &World<H>, state: VapidKeyState) -> NewVapidKey {
    let new = world.entities.new_vapid_key(state);
    world.store().add_vapid_key(new.clone()).await.unwrap();
    new
}

async fn keys(store: &dyn Store) -> Vec<(tidings_core::id::VapidKeyId, VapidKeyState)> {
    let listed = store.vapid_keys(APP).await.unwrap();
    listed.iter().map(|key| (key.id, key.state)).collect()
}
