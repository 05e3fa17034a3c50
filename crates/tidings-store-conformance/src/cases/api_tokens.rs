use std::time::Duration;

use tidings_core::api_token::{ApiTokenName, ApiTokenRecord, Scope, Scopes};
use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::id::ApiTokenId;
use tidings_core::store::{ApiTokenUse, NewApiToken, PageRequest, StoreError};

use crate::harness::Harness;
use crate::world::{World, at_once};

const APP: ApplicationId = ApplicationId::DEFAULT;

pub(crate) async fn a_token_is_kept_as_it_was_given<H: Harness>(world: World<H>) {
    let long = "é".repeat(100);
    for (name, scopes, life) in [
        ("CI", &Scope::ALL[..], Some(Duration::from_hours(1))),
        (&long, &[Scope::ReadSubscriptions][..], None),
    ] {
        world.wait(Duration::from_millis(1));
        let new = NewApiToken {
            name: ApiTokenName::parse(name).unwrap(),
            scopes: Scopes::new(scopes.iter().copied()).unwrap(),
            expires_at: life.map(|life| world.now().plus(life)),
            ..world.entities.new_api_token()
        };
        let expected = as_new(&new);
        let kept = world.store().add_api_token(new.clone()).await.unwrap();
        assert_eq!(kept, expected);
        assert_eq!(found(&world, &new).await, Some(expected));
    }
}

pub(crate) async fn a_token_is_found_by_its_hash_only<H: Harness>(world: World<H>) {
    let (one, other) = (add(&world).await, add(&world).await);
    assert_eq!(found(&world, &one).await.unwrap().id, one.id);
    assert_eq!(found(&world, &other).await.unwrap().id, other.id);
    assert_eq!(found(&world, &world.entities.new_api_token()).await, None);
}

pub(crate) async fn one_hash_is_kept_once<H: Harness>(world: World<H>) {
    let first = add(&world).await;
    let second = NewApiToken {
        hash: first.hash,
        scopes: Scopes::new([Scope::Admin]).unwrap(),
        ..world.entities.new_api_token()
    };
    let refused = world.store().add_api_token(second).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(found(&world, &first).await, Some(as_new(&first)));
}

pub(crate) async fn pages_follow_each_other_newest_first<H: Harness>(world: World<H>) {
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.insert(0, add(&world).await.id);
    }
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut after = None;
    loop {
        let request = PageRequest { after, limit: 2 };
        let page = world.store().api_tokens(APP, request).await.unwrap();
        sizes.push(page.items.len());
        seen.extend(page.items.iter().map(|token| token.id));
        after = page.next;
        if after.is_none() {
            break;
        }
        add(&world).await;
    }
    assert_eq!(seen, expected, "newcomers do not move the pages");
    assert_eq!(sizes, [2, 2, 1]);
}

pub(crate) async fn a_token_belongs_to_its_application<H: Harness>(mut world: World<H>) {
    let (other, _) = world.add_application().await;
    let ours = add(&world).await;
    let theirs = NewApiToken {
        application: other,
        ..world.entities.new_api_token()
    };
    world.store().add_api_token(theirs.clone()).await.unwrap();
    assert_eq!(listed(&world, APP).await, [ours.id]);
    assert_eq!(listed(&world, other).await, [theirs.id]);
    assert_eq!(found(&world, &theirs).await.unwrap().application, other);

    let now = world.now();
    for (app, id) in [(APP, theirs.id), (other, ours.id)] {
        let revoked = world.store().revoke_api_token(app, id, now).await.unwrap();
        assert_eq!(revoked, None);
    }
    assert_eq!(found(&world, &ours).await.unwrap().revoked_at, None);
    assert_eq!(found(&world, &theirs).await.unwrap().revoked_at, None);
}

pub(crate) async fn a_revoked_token_is_found_as_revoked_at_once<H: Harness>(world: World<H>) {
    let (token, other) = (add(&world).await, add(&world).await);
    let now = world.wait(Duration::from_secs(5));
    let revoked = revoke(&world, token.id, now).await;
    let expected = ApiTokenRecord {
        revoked_at: Some(now),
        ..as_new(&token)
    };
    assert_eq!(revoked.as_ref(), Some(&expected));
    assert_eq!(found(&world, &token).await, Some(expected));
    assert_eq!(found(&world, &other).await, Some(as_new(&other)));
    assert_eq!(listed(&world, APP).await, [other.id, token.id]);
}

pub(crate) async fn revoking_again_changes_nothing<H: Harness>(world: World<H>) {
    let token = add(&world).await;
    let first = world.now();
    revoke(&world, token.id, first).await;
    let later = world.wait(Duration::from_hours(1));
    let again = revoke(&world, token.id, later).await;
    assert_eq!(again.unwrap().revoked_at, Some(first));
    let unknown = world.entities.new_api_token().id;
    assert_eq!(revoke(&world, unknown, later).await, None);
}

pub(crate) async fn of_concurrent_revocations_one_instant_is_kept<H: Harness>(world: World<H>) {
    let token = add(&world).await;
    let revocations = (0..20).map(|number| {
        let store = world.store();
        let (id, now) = (token.id, world.now().plus(Duration::from_secs(number)));
        async move { store.revoke_api_token(APP, id, now).await.unwrap() }
    });
    let kept = found_after(at_once(revocations).await);
    assert_eq!(kept.len(), 1, "all are told the same instant: {kept:?}");
    assert_eq!(
        found(&world, &token).await.unwrap().revoked_at,
        Some(kept[0])
    );
}

/// The instants at which tokens were revoked, each once.
fn found_after(records: Vec<Option<ApiTokenRecord>>) -> Vec<Timestamp> {
    let mut instants: Vec<_> = records
        .into_iter()
        .map(|record| record.unwrap().revoked_at.unwrap())
        .collect();
    instants.sort_unstable();
    instants.dedup();
    instants
}

pub(crate) async fn a_revocation_is_seen_while_uses_are_recorded<H: Harness>(world: World<H>) {
    let token = add(&world).await;
    let (id, hash, now) = (token.id, token.hash, world.now());
    let tasks = (0..40_u64).map(|number| {
        let store = world.store();
        let at = now.plus(Duration::from_secs(number));
        async move {
            if number % 4 == 3 {
                store.revoke_api_token(APP, id, now).await.unwrap();
                // Whoever was told that it is revoked finds it so.
                let found = store.api_token_by_hash(&hash).await.unwrap().unwrap();
                assert_eq!(found.revoked_at, Some(now));
            } else {
                store
                    .record_api_token_uses(vec![ApiTokenUse { id, at }])
                    .await
                    .unwrap();
            }
        }
    });
    at_once(tasks).await;
    let kept = found(&world, &token).await.unwrap();
    assert_eq!(kept.revoked_at, Some(now));
    let last = now.plus(Duration::from_secs(38));
    assert_eq!(kept.last_used_at, Some(last), "no use is lost");
}

pub(crate) async fn the_latest_use_is_kept<H: Harness>(world: World<H>) {
    let (token, other) = (add(&world).await, add(&world).await);
    let forgotten = world.entities.new_api_token().id;
    let (first, later) = (world.now(), world.wait(Duration::from_mins(1)));
    for (at, expected) in [(first, first), (later, later), (first, later)] {
        let uses = [token.id, forgotten].map(|id| ApiTokenUse { id, at });
        world
            .store()
            .record_api_token_uses(uses.to_vec())
            .await
            .unwrap();
        let kept = found(&world, &token).await.unwrap();
        assert_eq!(kept.last_used_at, Some(expected));
    }
    assert_eq!(found(&world, &other).await, Some(as_new(&other)));
}

pub(crate) async fn many_uses_are_recorded_at_once<H: Harness>(world: World<H>) {
    let mut uses = Vec::new();
    let mut tokens = Vec::new();
    for number in 0..1_001 {
        let token = add(&world).await;
        uses.push(ApiTokenUse {
            id: token.id,
            at: world.now().plus(Duration::from_secs(number)),
        });
        tokens.push(token);
    }
    world
        .store()
        .record_api_token_uses(uses.clone())
        .await
        .unwrap();
    for (token, used) in tokens.iter().zip(uses) {
        let kept = found(&world, token).await.unwrap();
        assert_eq!(kept.last_used_at, Some(used.at));
    }
}

pub(crate) async fn tokens_that_ended_long_ago_are_forgotten<H: Harness>(world: World<H>) {
    let before = world.now();
    let limit = before.plus(Duration::from_hours(1));
    let expiring = |expires_at| NewApiToken {
        expires_at: Some(expires_at),
        ..world.entities.new_api_token()
    };
    let tokens = [
        (expiring(before), None, false),
        (expiring(limit), None, true),
        (world.entities.new_api_token(), None, true),
        (world.entities.new_api_token(), Some(before), false),
        (world.entities.new_api_token(), Some(limit), true),
        (expiring(limit), Some(before), false),
        // Revoked, after it had expired: it stays in the list from the revocation on.
        (expiring(before), Some(limit), true),
    ];
    for (new, revoked_at, _) in &tokens {
        world.store().add_api_token(new.clone()).await.unwrap();
        if let Some(at) = revoked_at {
            revoke(&world, new.id, *at).await.unwrap();
        }
    }
    assert_eq!(world.store().forget_api_tokens(limit).await.unwrap(), 3);
    for (number, (new, _, stays)) in tokens.iter().enumerate() {
        let kept = found(&world, new).await.is_some();
        assert_eq!(kept, *stays, "token {number}");
    }
    assert_eq!(world.store().forget_api_tokens(limit).await.unwrap(), 0);
}

pub(crate) async fn many_ended_tokens_are_forgotten_in_one_call<H: Harness>(world: World<H>) {
    let now = world.now();
    for _ in 0..1_001 {
        let new = NewApiToken {
            expires_at: Some(now),
            ..world.entities.new_api_token()
        };
        world.store().add_api_token(new).await.unwrap();
    }
    let later = world.wait(Duration::from_millis(1));
    assert_eq!(world.store().forget_api_tokens(later).await.unwrap(), 1_001);
    assert_eq!(listed(&world, APP).await, []);
}

/// A new token, a millisecond after whatever was before it.
async fn add<H: Harness>(world: &World<H>) -> NewApiToken {
    let new = world.entities.new_api_token();
    world.store().add_api_token(new.clone()).await.unwrap();
    world.wait(Duration::from_millis(1));
    new
}

async fn found<H: Harness>(world: &World<H>, token: &NewApiToken) -> Option<ApiTokenRecord> {
    world.store().api_token_by_hash(&token.hash).await.unwrap()
}

async fn revoke<H: Harness>(
    world: &World<H>,
    id: ApiTokenId,
    now: Timestamp,
) -> Option<ApiTokenRecord> {
    world.store().revoke_api_token(APP, id, now).await.unwrap()
}

async fn listed<H: Harness>(world: &World<H>, app: ApplicationId) -> Vec<ApiTokenId> {
    let request = PageRequest {
        after: None,
        limit: 100,
    };
    let page = world.store().api_tokens(app, request).await.unwrap();
    page.items.iter().map(|token| token.id).collect()
}

/// A token that was just made, as it is kept.
fn as_new(new: &NewApiToken) -> ApiTokenRecord {
    ApiTokenRecord {
        id: new.id,
        application: new.application,
        name: new.name.clone(),
        scopes: new.scopes,
        created_at: new.created_at,
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
    }
}
