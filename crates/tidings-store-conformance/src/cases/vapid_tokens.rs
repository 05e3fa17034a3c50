use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::id::VapidKeyId;
use tidings_core::store::{KeptToken, MOST_KEPT_TOKENS};
use tidings_core::vapid_key::VapidKeyState;
use tidings_webpush::VapidKey;

use crate::harness::Harness;
use crate::world::World;

const APP: ApplicationId = ApplicationId::DEFAULT;
const ORIGIN: &str = "https://push.example.net";
const LIFE: Duration = Duration::from_hours(12);

/// A token that the world's key signed just now.
async fn a_token<H: Harness>(world: &World<H>, origin: &str) -> KeptToken {
    let key = world.store().vapid_key_pair(APP, world.key).await;
    signed(&key.unwrap().unwrap(), world.key, origin, world.now())
}

fn signed(key: &VapidKey, id: VapidKeyId, origin: &str, signed_at: Timestamp) -> KeptToken {
    let expires_at = signed_at.plus(LIFE).to_system_time();
    KeptToken {
        application: APP,
        key: id,
        origin: origin.to_owned(),
        token: key.sign(origin, None, expires_at).unwrap(),
        signed_at,
    }
}

async fn keep<H: Harness>(world: &World<H>, tokens: &[&KeptToken]) {
    let tokens = tokens.iter().map(|token| (*token).clone()).collect();
    world.store().keep_vapid_tokens(tokens).await.unwrap();
}

async fn kept<H: Harness>(world: &World<H>) -> Vec<(String, String, Timestamp)> {
    let store = world.store();
    let kept = store.vapid_tokens(APP, world.key, world.now()).await;
    kept.unwrap().iter().map(view).collect()
}

fn view(kept: &KeptToken) -> (String, String, Timestamp) {
    let text = kept.token.expose().to_owned();
    (kept.origin.clone(), text, kept.signed_at)
}

pub(crate) async fn a_kept_token_is_found_after_a_restart<H: Harness>(mut world: World<H>) {
    let token = a_token(&world, ORIGIN).await;
    keep(&world, &[&token]).await;
    world.harness.reopen().await;
    assert_eq!(kept(&world).await, [view(&token)]);
    let store = world.store();
    let found = store.vapid_tokens(APP, world.key, world.now()).await;
    let found = found.unwrap().remove(0);
    assert_eq!(found.token.expires_at(), token.token.expires_at());
    assert_eq!(
        found.token.authorization(),
        token.token.authorization(),
        "with the key that signed it"
    );
}

pub(crate) async fn the_latest_token_of_an_origin_is_kept<H: Harness>(world: World<H>) {
    let first = a_token(&world, ORIGIN).await;
    let other = a_token(&world, "https://other.example").await;
    keep(&world, &[&first, &other]).await;
    world.wait(Duration::from_hours(1));
    let latest = a_token(&world, ORIGIN).await;
    keep(&world, &[&latest]).await;
    let kept = kept(&world).await;
    assert_eq!(kept, [view(&latest), view(&other)]);
}

pub(crate) async fn an_expired_token_is_not_found_and_is_forgotten<H: Harness>(world: World<H>) {
    let token = a_token(&world, ORIGIN).await;
    keep(&world, &[&token]).await;
    world.wait(LIFE.saturating_sub(Duration::from_secs(1)));
    assert_eq!(kept(&world).await.len(), 1);
    let nothing_else = Timestamp::from_millis(0);
    let sweep = world.tombstones_before(nothing_else);
    assert_eq!(world.store().sweep(sweep).await.unwrap().vapid_tokens, 0);
    world.wait(Duration::from_secs(1));
    assert_eq!(kept(&world).await, []);
    let sweep = world.tombstones_before(nothing_else);
    assert_eq!(world.store().sweep(sweep).await.unwrap().vapid_tokens, 1);
}

pub(crate) async fn a_retired_key_has_no_tokens<H: Harness>(world: World<H>) {
    let token = a_token(&world, ORIGIN).await;
    keep(&world, &[&token]).await;
    let set = async |state| {
        let store = world.store();
        let changed = store.set_vapid_key_state(APP, world.key, state).await;
        changed.unwrap().unwrap();
    };
    set(VapidKeyState::Retired).await;
    assert_eq!(kept(&world).await, []);
    // One that was signed just before comes late.
    keep(&world, &[&token]).await;
    set(VapidKeyState::Live).await;
    assert_eq!(kept(&world).await, []);
    keep(&world, &[&token]).await;
    assert_eq!(kept(&world).await, [view(&token)], "it is in use again");
}

pub(crate) async fn tokens_belong_to_their_key_and_application<H: Harness>(mut world: World<H>) {
    let (other, _) = world.add_application().await;
    let new = world.entities.new_vapid_key(VapidKeyState::Live);
    let second = world.store().add_vapid_key(new.clone()).await.unwrap().id;
    let of_second = signed(&new.key, second, ORIGIN, world.now());
    let mut of_nobody = of_second.clone();
    of_nobody.application = other;
    "https://of-nobody.example".clone_into(&mut of_nobody.origin);
    keep(&world, &[&of_nobody, &of_second]).await;
    assert_eq!(kept(&world).await, []);
    let store = world.store();
    let found = store.vapid_tokens(APP, second, world.now()).await.unwrap();
    assert_eq!(
        found.iter().map(view).collect::<Vec<_>>(),
        [view(&of_second)]
    );
    let others = store.vapid_tokens(other, second, world.now()).await;
    assert!(others.unwrap().is_empty());
}

pub(crate) async fn the_oldest_tokens_make_room<H: Harness>(world: World<H>) {
    let key = world.store().vapid_key_pair(APP, world.key).await;
    let key = key.unwrap().unwrap();
    let tokens: Vec<_> = (0..MOST_KEPT_TOKENS + 2)
        .map(|n| {
            let now = world.wait(Duration::from_millis(1));
            signed(&key, world.key, &format!("https://p{n}.example"), now)
        })
        .collect();
    let (first, last) = tokens.split_at(MOST_KEPT_TOKENS as usize);
    keep(&world, &first.iter().collect::<Vec<_>>()).await;
    assert_eq!(kept(&world).await.len(), first.len());
    for token in last {
        keep(&world, &[token]).await;
    }
    let expected: Vec<_> = tokens.iter().skip(last.len()).map(view).collect();
    assert_eq!(kept(&world).await, expected);
}
