//! Keys are fresh where they must be, and used again where they may.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::vapid_key::VapidKeyState;
use tidings_webpush::PushService;

use crate::rig::{Rig, answer};

#[tokio::test(start_paused = true)]
async fn every_post_is_encrypted_with_a_key_pair_of_its_own() {
    let script = |_: &_, number| answer(if number == 1 { 503 } else { 201 });
    let mut rig = Rig::start(script, None).await;
    rig.subscribe_many(30, PushService::Mozilla).await;
    let message = rig.broadcast().await;
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 30);
    let posts = rig.push_service.history();
    assert_eq!(posts.len(), 60, "each once more");
    // RFC 8188 §2.1: 16 octets of salt, 5 of sizes, then the sender's public key.
    let salts: BTreeSet<_> = posts.iter().map(|post| post.body.slice(..16)).collect();
    let keys: BTreeSet<_> = posts.iter().map(|post| post.body.slice(21..86)).collect();
    assert_eq!((salts.len(), keys.len()), (60, 60));
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_signed_once_for_each_key_and_origin() {
    let rig = Rig::start(|_, _| answer(201), None).await;
    let mut rig = rig.in_steps_of(Duration::from_secs(1));
    let second_key = rig
        .add_key(ApplicationId::DEFAULT, VapidKeyState::Live)
        .await;
    for service in [PushService::Fcm, PushService::Mozilla] {
        rig.subscribe_many(20, service).await;
        for _ in 0..20 {
            let subscription = rig.entities.subscription_at(service);
            rig.register(subscription, ApplicationId::DEFAULT, second_key)
                .await;
        }
    }
    for _ in 0..3 {
        let message = rig.broadcast().await;
        assert_eq!(rig.wait_until_done(message).await.counts.accepted, 80);
        rig.pass(Duration::from_mins(100)).await;
    }
    let mut tokens: HashMap<_, usize> = HashMap::new();
    for post in rig.push_service.history() {
        *tokens.entry((post.origin, post.authorization)).or_default() += 1;
    }
    let uses: Vec<_> = tokens.values().copied().collect();
    assert_eq!(uses, [60; 4], "two keys at two push services");
    rig.shutdown().await;
}
