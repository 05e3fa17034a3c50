//! Messages.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Call, Harness, Transcript, base64url, text};

fn send() -> Call {
    Call::post("/v1/messages").admin()
}

fn hello() -> Value {
    json!({"audience": {"all": true}, "notification": {"title": "Hello"}})
}

#[tokio::test]
async fn a_message_is_accepted_and_shown() {
    let harness = Harness::new().await;
    let (id, _) = harness.register().await;
    let mut transcript = Transcript::new(&harness);
    let whole = json!({
        "audience": {"subscriptions": [id], "users": ["alice"]},
        "notification": {
            "title": "Your parcel is here",
            "body": "Come and get it.",
            "navigate": "/parcels/7",
            "actions": [{"action": "later", "title": "Later"}],
            "requireInteraction": true,
            "data": {"parcel": 7},
        },
        "app_badge": 3,
        "ttl": "4h",
        "urgency": "high",
        "topic": "parcel-7",
    });
    let accepted = transcript
        .send("with everything", send().json(&whole))
        .await
        .json();
    assert_eq!(harness.messages_accepted(), 1);
    let path = format!("/v1/messages/{}", text(&accepted["id"]));
    transcript.send("shown", Call::get(&path).admin()).await;
    let nothing = format!("/v1/messages/msg_{}", "0".repeat(32));
    transcript
        .send("one that is not there", Call::get(&nothing).admin())
        .await;
    transcript
        .send("not an id", Call::get("/v1/messages/7").admin())
        .await;
    transcript.check("message");
}

#[tokio::test]
async fn every_form_of_content_and_audience_is_taken() {
    let harness = Harness::new().await;
    for (what, body) in [
        (
            "data",
            json!({"audience": {"all": true}, "data": {"a": [1, null]}}),
        ),
        (
            "null as data",
            json!({"audience": {"all": true}, "data": null}),
        ),
        (
            "octets",
            json!({"audience": {"all": true}, "payload_base64": "_-8"}),
        ),
        (
            "octets in plain base64",
            json!({"audience": {"all": true}, "payload_base64": "/+8="}),
        ),
        (
            "no octets",
            json!({"audience": {"all": true}, "payload_base64": ""}),
        ),
        (
            "a union with everybody",
            json!({"audience": {"all": true, "users": ["x"]}, "data": 1}),
        ),
        (
            "seconds",
            json!({"audience": {"users": ["x"]}, "data": 1, "ttl": 60}),
        ),
        (
            "null for what may be left out",
            json!({
                "audience": {"users": ["x"]}, "data": 1, "ttl": null, "urgency": null, "topic": null,
            }),
        ),
    ] {
        let answer = harness.send(send().json(&body)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{what}: {answer}");
    }
}

#[tokio::test]
async fn an_audience_of_nobody_is_no_mistake() {
    let harness = Harness::new().await;
    for audience in [json!({"subscriptions": []}), json!({"users": []})] {
        let body = json!({"audience": audience, "data": 1});
        let answer = harness.send(send().json(&body)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_message_is_told_with_its_place() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    for (what, body) in wrong_messages() {
        let answer = transcript.send(what, send().json(&body)).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{what}: {answer}"
        );
    }
    assert_eq!(harness.messages_accepted(), 0);
    transcript.check("message_refused");
}

/// Each with one mistake.
fn wrong_messages() -> Vec<(&'static str, Value)> {
    let with = |name: &str, value: Value| {
        let mut body = hello();
        body[name] = value;
        body
    };
    let subscriptions = vec![format!("sub_{}", "0".repeat(32)); 1001];
    vec![
        ("nothing", json!({})),
        ("a list", json!([])),
        ("no content", json!({"audience": {"all": true}})),
        ("two contents", with("data", json!(1))),
        (
            "a badge without notification",
            json!({"audience": {"all": true}, "data": 1, "app_badge": 1}),
        ),
        ("a misspelt member", with("tll", json!(60))),
        (
            "a member of later",
            with("send_at", json!("2026-01-01T00:00:00Z")),
        ),
        ("no audience named", with("audience", json!({}))),
        ("not everybody", with("audience", json!({"all": false}))),
        (
            "an audience of later",
            with("audience", json!({"segment": "pro"})),
        ),
        (
            "an id of another kind",
            with(
                "audience",
                json!({"subscriptions": [format!("msg_{}", "0".repeat(32))]}),
            ),
        ),
        (
            "a number as user",
            with("audience", json!({"users": ["a", 7]})),
        ),
        (
            "too many",
            with("audience", json!({"subscriptions": subscriptions})),
        ),
        ("null as audience", with("audience", json!(null))),
        ("a negative ttl", with("ttl", json!(-1))),
        ("a long ttl", with("ttl", json!("29d"))),
        ("a ttl in words", with("ttl", json!("soon"))),
        ("an urgency in capitals", with("urgency", json!("High"))),
        ("a topic that Apple refuses", with("topic", json!("abcde"))),
        ("a topic with spaces", with("topic", json!("a b"))),
        (
            "a notification without title",
            with("notification", json!({"body": "x"})),
        ),
        ("a notification as text", with("notification", json!("Hi"))),
        ("null as notification", with("notification", json!(null))),
        (
            "a script as navigate",
            with(
                "notification",
                json!({"title": "x", "navigate": "javascript:1"}),
            ),
        ),
        (
            "a name of ours",
            with(
                "notification",
                json!({"title": "x", "data": {"tidings": 1}}),
            ),
        ),
        (
            "an action without title",
            with(
                "notification",
                json!({"title": "x", "actions": [{"action": "a"}]}),
            ),
        ),
        ("a negative badge", with("app_badge", json!(-1))),
        (
            "not base64",
            json!({"audience": {"all": true}, "payload_base64": "*"}),
        ),
        (
            "too much text",
            with(
                "notification",
                json!({"title": "x", "body": "y".repeat(5000)}),
            ),
        ),
        (
            "too many octets",
            json!({"audience": {"all": true}, "payload_base64": base64url(&[0; 4000])}),
        ),
    ]
}

#[tokio::test]
async fn an_idempotency_key_makes_a_repeated_request_one_message() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let keyed = |key: &str| send().header("idempotency-key", key);
    let first = transcript
        .send("first", keyed("order-7").json(&hello()))
        .await
        .json();
    let again = transcript
        .send("again", keyed("order-7").json(&hello()))
        .await
        .json();
    assert_eq!(first["id"], again["id"]);
    let other = json!({"audience": {"all": true}, "data": 1});
    transcript
        .send("with another body", keyed("order-7").json(&other))
        .await;
    transcript
        .send("an empty key", keyed("").json(&other))
        .await;
    transcript
        .send("a long key", keyed(&"k".repeat(256)).json(&other))
        .await;
    transcript.check("idempotency");

    let longest = harness.send(keyed(&"k".repeat(255)).json(&other)).await;
    assert_eq!(longest.status, StatusCode::ACCEPTED, "{longest}");
}

#[tokio::test]
async fn messages_are_listed_in_parts_newest_first() {
    let harness = Harness::new().await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        harness.clock.advance(std::time::Duration::from_millis(1));
        sent.push(harness.send(send().json(&hello())).await.json()["id"].take());
    }
    sent.reverse();
    let mut listed = Vec::new();
    let mut next = json!("");
    while let Value::String(cursor) = next {
        let cursor = if cursor.is_empty() {
            cursor
        } else {
            format!("&cursor={cursor}")
        };
        let call = Call::get(&format!("/v1/messages?limit=2{cursor}")).admin();
        let mut part = harness.send(call).await.json();
        let items = part["items"].as_array().unwrap();
        assert!((1..=2).contains(&items.len()), "{part}");
        listed.extend(items.iter().map(|item| item["id"].clone()));
        next = part["next"].take();
    }
    assert_eq!(listed, sent);

    let mut transcript = Transcript::new(&harness);
    transcript
        .send("the first", Call::get("/v1/messages?limit=1").admin())
        .await;
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=1&limit=2",
        "cursor=x",
        "page=2",
    ] {
        transcript
            .send(query, Call::get(&format!("/v1/messages?{query}")).admin())
            .await;
    }
    transcript.check("messages_listed");
}

#[tokio::test]
async fn the_document_knows_the_members_that_a_notification_can_have() {
    let harness = Harness::new().await;
    let document: Value = serde_json::from_str(&tidings_http::openapi_json()).unwrap();
    for (schema, refused) in [
        ("Notification", json!({"title": "x", "?": 1})),
        (
            "NotificationAction",
            json!({"title": "x", "actions": [{"?": 1}]}),
        ),
    ] {
        let body = json!({"audience": {"all": true}, "notification": refused});
        let answer = harness.send(send().json(&body)).await.json();
        let detail = text(&answer["errors"][0]["detail"]);
        let (_, known) = detail.split_once("known are ").unwrap();
        let known: BTreeSet<_> = known.split(", ").collect();
        let schema = &document["components"]["schemas"][schema];
        assert_eq!(schema["additionalProperties"], false, "{schema}");
        let described: BTreeSet<_> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(described, known);
    }
}
