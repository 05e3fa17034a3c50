//! No JSON makes the server fail, and whatever it refuses it refuses with a problem document.

use http::Method;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::harness::{APP, Call, Harness};

/// Endpoints that take JSON, each with a body that it takes.
fn endpoints(subscription: &Value) -> Vec<(Method, String, Value)> {
    let id = format!("sub_{}", "0".repeat(32));
    let receipt = json!({
        "message": format!("msg_{}", "0".repeat(32)), "subscription": id, "event": "shown",
        "action": "a", "at": "2025-11-24T16:00:00Z", "proof": "AAAA",
    });
    let change = json!({"user": "u", "attributes": {"a": 1}, "locale": "de", "timezone": "UTC"});
    let message = json!({
        "audience": {"all": true, "users": ["u"], "subscriptions": [id]},
        "notification": {"title": "x", "actions": [{"action": "a", "title": "b"}], "data": {}},
        "ttl": "4h", "urgency": "low", "topic": "ab", "app_badge": 1,
    });
    vec![
        (
            Method::POST,
            format!("{APP}/subscriptions"),
            subscription.clone(),
        ),
        (
            Method::PATCH,
            format!("{APP}/subscriptions/{id}"),
            change.clone(),
        ),
        (Method::POST, format!("{APP}/receipts"), json!([receipt])),
        (Method::POST, "/v1/messages".to_owned(), message),
        (
            Method::POST,
            "/v1/subscriptions".to_owned(),
            subscription.clone(),
        ),
        (Method::PATCH, format!("/v1/subscriptions/{id}"), change),
        (
            Method::POST,
            "/v1/vapid-keys".to_owned(),
            json!({"private_key": "x"}),
        ),
        (
            Method::POST,
            "/v1/api-tokens".to_owned(),
            json!({"name": "x", "scopes": ["messages:send"], "application": "default", "expires_in": 9}),
        ),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "(sub|msg|key)_[0-9a-f]{32}".prop_map(Value::from),
        "https?://[a-z.]{1,20}(:[0-9]{1,6})?/.{0,10}".prop_map(Value::from),
        "[A-Za-z0-9_-]{80,90}".prop_map(Value::from),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z".prop_map(Value::from),
        "-?[0-9]{1,20} ?(ns|s|m|h|d|w|mo|y)".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,12}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Puts `value` somewhere into `body`, or in its place.
fn replace(body: &mut Value, choice: prop::sample::Index, value: Value) {
    let mut pointers = vec![String::new()];
    collect_pointers(body, "", &mut pointers);
    let pointer = choice.get(&pointers);
    *body.pointer_mut(pointer).unwrap() = value;
}

fn collect_pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(name, it)| (name.clone(), it)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, it)| (i.to_string(), it))
            .collect(),
        _ => return,
    };
    for (name, inner) in below {
        let pointer = format!("{at}/{name}");
        into.push(pointer.clone());
        collect_pointers(inner, &pointer, into);
    }
}

#[test]
fn no_json_makes_the_server_fail() {
    let runtime = Runtime::new().unwrap();
    let harness = runtime.block_on(Harness::new());
    let endpoints = endpoints(&harness.browser_subscription());
    let config = ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(
        endpoint in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        value in any_json(),
    )| {
        let (method, path, mut body) = endpoint.get(&endpoints).clone();
        replace(&mut body, place, value);
        let answer = runtime.block_on(harness.send(Call::new(method, &path).admin().json(&body)));
        prop_assert!(!answer.status.is_server_error(), "{path} with {body}: {answer}");
        if !answer.status.is_success() {
            prop_assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            prop_assert_eq!(&answer.json()["status"], &json!(answer.status.as_u16()));
        }
    });
}
