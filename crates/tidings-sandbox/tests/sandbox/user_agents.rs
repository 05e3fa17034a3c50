use tidings_sandbox::user_agent::{PushOutcome, Reconnected, UnsubscribeReason};
use tidings_webpush::VapidKey;
use uuid::Uuid;

use crate::support::{LIMIT, NOTHING, Post, Setup};

fn delivered(text: &str) -> PushOutcome {
    PushOutcome::Delivered(Some(text.into()))
}

#[tokio::test]
async fn a_message_reaches_the_user_agent_and_its_acknowledgement_is_counted() {
    let setup = Setup::new().await;
    let key = VapidKey::generate().unwrap();
    let mut user_agent = setup.user_agent().await;
    let new = user_agent.subscribe(Some(key.public_key())).await.unwrap();
    Post::new(&new.subscription, &key, "hello").accepted().await;
    let push = user_agent.next_push(LIMIT).await.unwrap();
    assert_eq!(
        (push.channel_id, push.outcome),
        (new.channel_id, delivered("hello"))
    );
    user_agent.ping().await.unwrap();
    let stats = setup.stats().await;
    assert_eq!(stats["user_agents"]["acks"]["100"], 1);
    assert_eq!(stats["not_decrypted"], 1);
}

#[tokio::test]
async fn the_id_is_32_hex_digits_and_lasts_only_with_a_subscription() {
    let setup = Setup::new().await;
    let mut user_agent = setup.user_agent().await;
    let anonymous = user_agent.uaid().unwrap().to_owned();
    assert_eq!(anonymous.len(), 32);
    assert!(
        anonymous
            .bytes()
            .all(|octet| octet.is_ascii_hexdigit() && !octet.is_ascii_uppercase())
    );
    user_agent.reconnect().await.unwrap();
    let second = user_agent.uaid().unwrap().to_owned();
    assert_ne!(second, anonymous);
    user_agent.subscribe(None).await.unwrap();
    assert_eq!(user_agent.reconnect().await.unwrap(), Reconnected::Resumed);
    assert_eq!(user_agent.uaid(), Some(second.as_str()));
}

#[tokio::test]
async fn an_unknown_or_malformed_id_gets_a_new_one() {
    let setup = Setup::new().await;
    for uaid in [
        "\"01234567abcdabcdabcd01234567abcd\"",
        "\"\"",
        "\"../x\"",
        "null",
    ] {
        let mut user_agent = setup.user_agent().await;
        user_agent.subscribe(None).await.unwrap();
        user_agent.disconnect();
        // The library's own reconnect would send the right one.
        let url = setup.sandbox.ws_url().unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(
            url.as_str(),
            tokio::net::TcpStream::connect(setup.origin().trim_start_matches("http://"))
                .await
                .unwrap(),
        )
        .await
        .unwrap();
        let hello = format!(r#"{{"messageType":"hello","uaid":{uaid},"use_webpush":true}}"#);
        futures_util::SinkExt::send(&mut socket, hello.into())
            .await
            .unwrap();
        let answer = futures_util::StreamExt::next(&mut socket)
            .await
            .unwrap()
            .unwrap();
        let answer: serde_json::Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
        assert_eq!(answer["use_webpush"], true);
        assert_eq!(answer["status"], 200);
        let given = answer["uaid"].as_str().unwrap();
        assert_eq!(given.len(), 32);
        assert_ne!(format!("\"{given}\""), uaid);
    }
}

#[tokio::test]
async fn another_sandbox_has_forgotten_everybody() {
    let (mut user_agent, _) = Setup::new().await.subscribed().await;
    let setup = Setup::new().await;
    let url = setup.sandbox.ws_url().unwrap();
    assert_eq!(
        user_agent.reconnect_to(&url).await.unwrap(),
        Reconnected::Forgotten
    );
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_with_the_same_version() {
    let setup = Setup::new().await;
    let (mut user_agent, new) = setup.subscribed().await;
    let key = VapidKey::generate().unwrap();
    Post::new(&new.subscription, &key, "first").accepted().await;
    let unacknowledged = user_agent.next_notification(LIMIT).await.unwrap();
    user_agent.disconnect();
    Post::new(&new.subscription, &key, "second")
        .accepted()
        .await;

    assert_eq!(user_agent.reconnect().await.unwrap(), Reconnected::Resumed);
    let push = user_agent.next_push(LIMIT).await.unwrap();
    assert_eq!(
        (push.version, push.outcome),
        (unacknowledged.version, delivered("first"))
    );
    assert_eq!(
        user_agent.next_push(LIMIT).await.unwrap().outcome,
        delivered("second")
    );

    user_agent.reconnect().await.unwrap();
    assert!(
        user_agent.next_push(NOTHING).await.is_err(),
        "acknowledged messages came again"
    );
}

#[tokio::test]
async fn a_repeated_version_is_a_duplicate_for_the_user_agent() {
    let setup = Setup::new().await;
    let (mut user_agent, new) = setup.subscribed().await;
    let key = VapidKey::generate().unwrap();
    Post::new(&new.subscription, &key, "once").accepted().await;
    let notification = user_agent.next_notification(LIMIT).await.unwrap();
    assert_eq!(user_agent.open(&notification), delivered("once"));
    user_agent.reconnect().await.unwrap();
    let push = user_agent.next_push(LIMIT).await.unwrap();
    assert_eq!(push.outcome, PushOutcome::Duplicate);
    let stats = setup
        .stats_until(|stats| stats["user_agents"]["acks"]["102"] == 1)
        .await;
    assert_eq!(stats["user_agents"]["acks"]["100"], 0);
}

#[tokio::test]
async fn a_message_that_does_not_decrypt_is_acknowledged_with_101() {
    let setup = Setup::new().await;
    let (mut user_agent, new) = setup.subscribed().await;
    let (_, mut other) = setup.subscribed().await;
    other.subscription.push_resource = new.subscription.push_resource;
    let key = VapidKey::generate().unwrap();
    Post::new(&other.subscription, &key, "not for you")
        .accepted()
        .await;
    let push = user_agent.next_push(LIMIT).await.unwrap();
    assert!(matches!(push.outcome, PushOutcome::Undecryptable(_)));
    setup
        .stats_until(|stats| stats["user_agents"]["acks"]["101"] == 1)
        .await;
}

#[tokio::test]
async fn a_push_without_payload_has_none() {
    let setup = Setup::new().await;
    let (mut user_agent, new) = setup.subscribed().await;
    let key = VapidKey::generate().unwrap();
    let mut post = Post::new(&new.subscription, &key, "");
    post.payload = None;
    post.accepted().await;
    let notification = user_agent.next_notification(LIMIT).await.unwrap();
    assert_eq!((&notification.body, &notification.encoding), (&None, &None));
    assert_eq!(user_agent.open(&notification), PushOutcome::Delivered(None));
}

#[tokio::test]
async fn a_topic_replaces_the_message_that_waits() {
    let setup = Setup::new().await;
    let (mut user_agent, new) = setup.subscribed().await;
    user_agent.disconnect();
    setup
        .stats_until(|stats| stats["user_agents"]["connected"] == 0)
        .await;
    let key = VapidKey::generate().unwrap();
    for (text, topic) in [
        ("old", Some("news")),
        ("plain", None),
        ("new", Some("news")),
    ] {
        let mut post = Post::new(&new.subscription, &key, text);
        post.topic = topic;
        post.accepted().await;
    }
    user_agent.reconnect().await.unwrap();
    assert_eq!(
        user_agent.next_push(LIMIT).await.unwrap().outcome,
        delivered("new")
    );
    assert_eq!(
        user_agent.next_push(LIMIT).await.unwrap().outcome,
        delivered("plain")
    );
    assert!(
        user_agent.next_push(NOTHING).await.is_err(),
        "the replaced message came"
    );
}

#[tokio::test]
async fn a_ttl_of_zero_reaches_only_who_is_connected() {
    let setup = Setup::new().await;
    let (mut user_agent, new) = setup.subscribed().await;
    let key = VapidKey::generate().unwrap();
    let mut post = Post::new(&new.subscription, &key, "now");
    post.ttl_s = 0;
    post.accepted().await;
    assert_eq!(
        user_agent.next_push(LIMIT).await.unwrap().outcome,
        delivered("now")
    );
    user_agent.disconnect();
    setup
        .stats_until(|stats| stats["user_agents"]["connected"] == 0)
        .await;
    post.accepted().await;
    user_agent.reconnect().await.unwrap();
    assert!(user_agent.next_push(NOTHING).await.is_err(), "it was kept");
}

#[tokio::test]
async fn a_message_does_not_outlive_its_ttl() {
    let setup = Setup::new().await;
    let (mut user_agent, new) = setup.subscribed().await;
    user_agent.disconnect();
    setup
        .stats_until(|stats| stats["user_agents"]["connected"] == 0)
        .await;
    let key = VapidKey::generate().unwrap();
    Post::new(&new.subscription, &key, "short").accepted().await;
    setup.advance(60);
    let mut later = Post::new(&new.subscription, &key, "long");
    later.ttl_s = 600;
    later.accepted().await;
    user_agent.reconnect().await.unwrap();
    assert_eq!(
        user_agent.next_push(LIMIT).await.unwrap().outcome,
        delivered("long")
    );
}

#[tokio::test]
async fn a_second_connection_of_the_same_user_agent_ends_the_first() {
    let setup = Setup::new().await;
    let (mut user_agent, new) = setup.subscribed().await;
    let ghost = user_agent.detach().unwrap();
    assert_eq!(user_agent.reconnect().await.unwrap(), Reconnected::Resumed);
    assert_eq!(ghost.closed().await.unwrap(), 1000);
    let key = VapidKey::generate().unwrap();
    Post::new(&new.subscription, &key, "hello").accepted().await;
    assert_eq!(
        user_agent.next_push(LIMIT).await.unwrap().outcome,
        delivered("hello")
    );
}

#[tokio::test]
async fn an_unregistered_channel_answers_410() {
    let setup = Setup::new().await;
    let key = VapidKey::generate().unwrap();
    let reasons = [
        (UnsubscribeReason::Unsubscribed, "200"),
        (UnsubscribeReason::QuotaExceeded, "201"),
        (UnsubscribeReason::PermissionRevoked, "202"),
    ];
    for (reason, code) in reasons {
        let (mut user_agent, new) = setup.subscribed().await;
        user_agent
            .unsubscribe(&new.channel_id, reason)
            .await
            .unwrap();
        let answer = Post::new(&new.subscription, &key, "hello").send().await;
        assert_eq!(answer.refusal(), (410, Some(106)));
        assert_eq!(setup.stats().await["user_agents"]["unregisters"][code], 1);
    }
}

#[tokio::test]
async fn unregistering_an_unknown_channel_is_answered() {
    let setup = Setup::new().await;
    let mut user_agent = setup.user_agent().await;
    let unknown = "b1b7d1b7-6d9f-4f6b-9a58-9e8a5a6b1c11";
    user_agent
        .unsubscribe(unknown, UnsubscribeReason::Unsubscribed)
        .await
        .unwrap();
}

#[tokio::test]
async fn registering_again_gives_the_same_endpoint() {
    let setup = Setup::new().await;
    let mut user_agent = setup.user_agent().await;
    let channel_id = Uuid::from_u128(7);
    let first = user_agent.subscribe_as(channel_id, None).await.unwrap();
    user_agent.reconnect().await.unwrap();
    let again = user_agent.subscribe_as(channel_id, None).await.unwrap();
    assert_eq!(
        first.subscription.push_resource,
        again.subscription.push_resource
    );
}

#[tokio::test]
async fn a_bad_key_is_answered_with_400() {
    let setup = Setup::new().await;
    let mut user_agent = setup.user_agent().await;
    let register = r#"{"messageType":"register","channelID":"b1b7d1b7-6d9f-4f6b-9a58-9e8a5a6b1c11","key":"BAAA"}"#;
    user_agent.send_text(register.to_owned()).await.unwrap();
    let answer = user_agent.next_text(LIMIT).await.unwrap();
    assert_eq!(answer["status"], 400);
    assert_eq!(answer["pushEndpoint"], "Failed to generate endpoint");
}

#[tokio::test]
async fn what_breaks_the_protocol_closes_the_connection() {
    let setup = Setup::new().await;
    let upper_case =
        r#"{"messageType":"register","channelID":"B1B7D1B7-6D9F-4F6B-9A58-9E8A5A6B1C11"}"#;
    let too_long = format!(
        r#"{{"messageType":"hello","pad":"{}"}}"#,
        "a".repeat(200_000)
    );
    let cases = [
        (
            "a second hello",
            r#"{"messageType":"hello","use_webpush":true}"#,
            1011,
        ),
        ("no JSON", "hello?", 1011),
        ("no object", "[]", 1011),
        ("an upper-case channel", upper_case, 1011),
    ];
    for (name, text, code) in cases {
        let mut user_agent = setup.user_agent().await;
        user_agent.send_text(text.to_owned()).await.unwrap();
        assert_eq!(user_agent.closed().await.unwrap(), code, "{name}");
    }
    let mut user_agent = setup.user_agent().await;
    // The connection may break while the rest is still on its way.
    let _ = user_agent.send_text(too_long).await;
    assert!(user_agent.next_text(LIMIT).await.is_err());
}

#[tokio::test]
async fn pings_are_answered_and_broadcasts_and_strange_messages_ignored() {
    let setup = Setup::new().await;
    let mut user_agent = setup.user_agent().await;
    for text in [
        r#"{"messageType":"broadcast_subscribe","broadcasts":{"a/b":"v1"}}"#,
        r#"{"messageType":"dance"}"#,
        r#"{"messageType":"nack","version":"v","code":301}"#,
    ] {
        user_agent.send_text(text.to_owned()).await.unwrap();
    }
    user_agent.ping().await.unwrap();
    user_agent.ping().await.unwrap();
    assert_eq!(setup.stats().await["user_agents"]["nacks"]["301"], 1);
}

#[tokio::test]
async fn a_shutdown_says_goodbye() {
    let setup = Setup::new().await;
    let mut user_agent = setup.user_agent().await;
    let (code, ()) = tokio::join!(user_agent.closed(), setup.sandbox.shutdown());
    assert_eq!(code.unwrap(), 1001);
}
