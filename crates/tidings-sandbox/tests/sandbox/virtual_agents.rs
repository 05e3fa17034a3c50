use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tidings_sandbox::KeptMessages;
use tidings_webpush::{
    FreshKeyPair, Padding, PushMessage, Subscription, SystemRandomness, Ttl, Urgency, VapidKey,
    aesgcm,
};

use crate::support::{Post, Setup, now, seal, send};

#[tokio::test]
async fn a_virtual_user_agent_tells_what_it_got() {
    let setup = Setup::new().await;
    let key = VapidKey::generate().unwrap();
    let parameters = format!("applicationServerKey={}", key.public_key().to_base64url());
    let subscription = setup.subscription(&parameters).await;
    let payloads: [(&[u8], _); 3] = [
        (br#"{"title":"hi"}"#, json!({"json": {"title": "hi"}})),
        ("grüß dich".as_bytes(), json!({"text": "grüß dich"})),
        (&[0xff, 0x00], json!({"base64": "/wA="})),
    ];
    for (payload, _) in &payloads {
        let mut post = Post::new(&subscription, &key, "");
        post.payload = Some(payload);
        post.topic = Some("news");
        post.accepted().await;
    }
    let got = setup.messages(&subscription).await;
    assert_eq!(got["received"], 3);
    assert_eq!(got["truncated"], false);
    for (message, (_, expected)) in got["messages"].as_array().unwrap().iter().zip(&payloads) {
        assert_eq!(&message["payload"], expected);
        assert_eq!(message["decrypted"], true);
        assert_eq!(message["answer"], 201);
        assert_eq!(message["ttl"], 60);
        assert_eq!(message["urgency"], "high");
        assert_eq!(message["topic"], "news");
        assert_eq!(message["content_encoding"], "aes128gcm");
        assert!(message["received_at"].as_str().unwrap().ends_with('Z'));
    }
    let stats = setup.stats().await;
    assert_eq!(stats["decrypted"], 3);
    assert_eq!(stats["subscriptions_reached"], 1);
    assert_eq!(stats["duplicates"], 0);
    assert_eq!(stats["answers"], json!({"201": 3}));
}

#[tokio::test]
async fn the_same_plaintext_for_the_same_subscription_is_a_duplicate() {
    let setup = Setup::new().await;
    let subscriptions = setup.subscriptions("count=2").await;
    let key = VapidKey::generate().unwrap();
    for subscription in &subscriptions {
        Post::new(subscription, &key, "one").accepted().await;
    }
    assert_eq!(setup.stats().await["duplicates"], 0);
    Post::new(&subscriptions[0], &key, "two").accepted().await;
    assert_eq!(setup.stats().await["duplicates"], 0);
    Post::new(&subscriptions[0], &key, "one").accepted().await;
    let stats = setup.stats().await;
    assert_eq!(stats["duplicates"], 1);
    assert_eq!(stats["subscriptions_reached"], 2);
    let got = setup.messages(&subscriptions[0]).await;
    assert_eq!(
        (&got["duplicates"], &got["received"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(got["messages"][2]["duplicate"], true);
}

#[tokio::test]
async fn what_does_not_decrypt_is_accepted_and_told() {
    let setup = Setup::new().await;
    let subscriptions = setup.subscriptions("count=2").await;
    let body = seal(&subscriptions[1], b"for the other");
    let request = Request::post(subscriptions[0].push_resource.path_and_query())
        .header("TTL", "60")
        .header("Content-Encoding", "aes128gcm")
        .body(Full::<Bytes>::from(body))
        .unwrap();
    assert_eq!(
        send(setup.origin(), request).await.status,
        StatusCode::CREATED
    );
    let got = setup.messages(&subscriptions[0]).await;
    assert_eq!(got["messages"][0]["decrypted"], false);
    assert!(!got["messages"][0]["error"].as_str().unwrap().is_empty());
    let stats = setup.stats().await;
    assert_eq!(
        (&stats["decrypt_failures"], &stats["decrypted"]),
        (&json!(1), &json!(0))
    );
}

#[tokio::test]
async fn aesgcm_is_decrypted_with_the_drafts_own_identification_too() {
    let setup = Setup::new().await;
    let key = VapidKey::generate().unwrap();
    let parameters = format!("applicationServerKey={}", key.public_key().to_base64url());
    let subscription = setup.subscription(&parameters).await;
    let resource = &subscription.push_resource;
    let token = key
        .sign(resource.origin(), None, now() + Duration::from_hours(12))
        .unwrap();
    let sealed = || {
        let Subscription { p256dh, auth, .. } = &subscription;
        let (keys, randomness) = (&FreshKeyPair, &SystemRandomness);
        aesgcm::encrypt(p256dh, auth, b"walrus", Padding::None, keys, randomness).unwrap()
    };
    let forms = [
        (sealed(), token.authorization()),
        (
            sealed().with_vapid_key(key.public_key()),
            token.legacy_authorization(),
        ),
    ];
    for (payload, authorization) in forms {
        let message = PushMessage {
            resource,
            payload: Some(payload),
            ttl: Ttl::from_secs(60).unwrap(),
            urgency: Urgency::Normal,
            topic: None,
            authorization,
        };
        let request = message.into_request().unwrap().map(Full::new);
        let answer = send(setup.origin(), request).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    }
    let got = setup.messages(&subscription).await;
    for message in got["messages"].as_array().unwrap() {
        assert_eq!(message["payload"], json!({"text": "walrus"}));
        assert_eq!(message["content_encoding"], "aesgcm");
    }
    assert_eq!(setup.stats().await["decrypted"], 2);
}

#[tokio::test]
async fn thousands_are_all_different() {
    let setup = Setup::new().await;
    let subscriptions = setup.subscriptions("count=3000").await;
    let count = |members: Vec<Vec<u8>>| {
        members
            .into_iter()
            .collect::<std::collections::HashSet<_>>()
            .len()
    };
    let each = || subscriptions.iter();
    assert_eq!(subscriptions.len(), 3000);
    assert_eq!(
        count(each().map(|s| s.push_resource.expose().into()).collect()),
        3000
    );
    assert_eq!(
        count(each().map(|s| s.p256dh.as_bytes().to_vec()).collect()),
        3000
    );
    assert_eq!(
        count(each().map(|s| s.auth.expose().to_vec()).collect()),
        3000
    );
}

#[tokio::test]
async fn one_in_so_many_decrypts() {
    let setup = Setup::with(|options| options.decrypt_one_in = NonZeroU32::new(4).unwrap()).await;
    let key = VapidKey::generate().unwrap();
    for subscription in setup.subscriptions("count=8").await {
        Post::new(&subscription, &key, "hello").accepted().await;
    }
    let stats = setup.stats().await;
    assert_eq!(
        (&stats["decrypted"], &stats["not_decrypted"]),
        (&json!(2), &json!(6))
    );
    assert_eq!(stats["subscriptions_reached"], 8);
}

#[tokio::test]
async fn forgotten_messages_are_said_to_be_missing() {
    let kept = KeptMessages {
        per_subscription: 2,
        ..KeptMessages::default()
    };
    let setup = Setup::with(|options| options.kept = kept).await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    for text in ["1", "2", "3"] {
        Post::new(&subscription, &key, text).accepted().await;
    }
    let got = setup.messages(&subscription).await;
    assert_eq!(
        (&got["received"], &got["truncated"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(got["messages"][0]["payload"], json!({"json": 2}));
}

#[tokio::test]
async fn reset_counters_begin_anew() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    Post::new(&subscription, &key, "hello").accepted().await;
    let answer = setup.call(Method::DELETE, "/sandbox/stats", "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let stats = setup.stats().await;
    for member in [
        "posts",
        "answered",
        "accepted",
        "decrypted",
        "subscriptions_reached",
    ] {
        assert_eq!(stats[member], 0, "{member}");
    }
    assert_eq!(stats["answers"], json!({}));
    Post::new(&subscription, &key, "again").accepted().await;
    assert_eq!(setup.stats().await["subscriptions_reached"], 1);
}
