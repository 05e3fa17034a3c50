//! Import and export of subscriptions.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tidings_core::application::ApplicationId;
use tidings_webpush::VapidKey;

use crate::harness::{ADMIN_TOKEN, Answer, Call, Harness, Setup, Transcript, text};

const IMPORT: &str = "/v1/subscriptions/import";
const EXPORT: &str = "/v1/subscriptions/export";
const NDJSON: &str = "application/x-ndjson";

fn import(body: impl Into<Vec<u8>>) -> Call {
    Call::post(IMPORT)
        .admin()
        .header("content-type", NDJSON)
        .body(body)
}

fn lines(values: &[Value]) -> String {
    let lines = values.iter().map(Value::to_string);
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

fn counts(answer: &Answer) -> [u64; 4] {
    assert_eq!(answer.status, StatusCode::OK, "{answer}");
    let report = answer.json();
    ["lines", "created", "updated", "refused"].map(|name| report[name].as_u64().unwrap())
}

#[tokio::test]
async fn what_is_exported_can_be_imported() {
    let harness = Harness::new().await;
    let mut full = harness.browser_subscription();
    full["user"] = json!("alice");
    full["attributes"] = json!({"plan": "pro", "tags": ["a"]});
    full["locale"] = json!("de-AT");
    full["timezone"] = json!("Europe/Vienna");
    full["encoding"] = json!("aesgcm");
    let plain = harness.browser_subscription();
    let wrapped = json!({"subscription": harness.browser_subscription(), "user": "bob"});
    let body = lines(&[full.clone(), plain, wrapped]);
    let mut transcript = Transcript::new(&harness);
    transcript.send("new", import(body.clone())).await;
    transcript.send("again", import(body)).await;
    transcript.check("import");

    let exported = harness.send(Call::get(EXPORT).admin()).await;
    assert_eq!(exported.header("content-type"), Some(NDJSON));
    let text = String::from_utf8(exported.body.to_vec()).unwrap();
    let read: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read.len(), 3);
    assert_eq!(read[0]["user"], "bob", "newest first");
    for member in [
        "endpoint",
        "keys",
        "user",
        "attributes",
        "locale",
        "timezone",
        "encoding",
    ] {
        assert_eq!(read[2][member], full[member], "{member}");
    }

    // Another server with the same VAPID key takes all of it, and exports the same: also when the
    // browser was seen, which is not when the file came.
    let other = Harness::new().await;
    other.clock.advance(Duration::from_hours(1));
    assert_eq!(
        counts(&other.send(import(text.clone())).await),
        [3, 3, 0, 0]
    );
    let again = other.send(Call::get(EXPORT).admin()).await;
    let comparable = |text: &str| -> Vec<Value> {
        let mut values: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for value in &mut values {
            for of_this_server in ["id", "created_at"] {
                value.as_object_mut().unwrap().remove(of_this_server);
            }
        }
        values.sort_by_key(|value| value["endpoint"].to_string());
        values
    };
    assert_eq!(
        comparable(std::str::from_utf8(&again.body).unwrap()),
        comparable(&text)
    );
}

#[tokio::test]
async fn a_bad_line_is_told_and_stops_no_other() {
    let harness = Harness::with(Setup {
        max_subscriptions_per_user: std::num::NonZeroU32::MIN,
        ..Setup::default()
    })
    .await;
    let good = || harness.browser_subscription();
    let with = |name: &str, value: Value| {
        let mut line = harness.browser_subscription();
        line[name] = value;
        line.to_string().into_bytes()
    };
    let known = good();
    let ended = good();
    let answer = harness
        .send(import(lines(&[known.clone(), ended.clone()])))
        .await;
    assert_eq!(counts(&answer), [2, 2, 0, 0]);
    let list = harness.send(Call::get("/v1/subscriptions").admin()).await;
    let id = text(&list.json()["items"][0]["id"]);
    harness
        .send(Call::delete(&format!("/v1/subscriptions/{id}")).admin())
        .await;
    let mut other_keys = known.clone();
    other_keys["keys"] = good()["keys"].clone();
    let bad: Vec<Vec<u8>> = vec![
        b"{\"endpoint\": ".to_vec(),
        b"\xff\xfe".to_vec(),
        b"[]".to_vec(),
        b"7".to_vec(),
        b"{}".to_vec(),
        json!({"endpoint": good()["endpoint"]})
            .to_string()
            .into_bytes(),
        with("keys", json!({"p256dh": "BAAA", "auth": "x"})),
        with("endpoint", json!("https://192.168.1.1/x")),
        with("subscription", good()),
        with("attributes", json!({"a": {}})),
        with("vapid_key", json!(format!("key_{}", "0".repeat(32)))),
        with("vapid_key", json!("mine")),
        with("encoding", json!("gzip")),
        with("encodings", json!(["gzip"])),
        with("user", json!("")),
        vec![b'x'; 1024 * 1024],
        other_keys.to_string().into_bytes(),
        ended.to_string().into_bytes(),
        with("user", json!("carol")),
        with("user", json!("carol")),
        "{\"a\":".repeat(40).into_bytes(),
        known.to_string().into_bytes(),
    ];
    let mut transcript = Transcript::new(&harness);
    let answer = transcript.send("lines", import(bad.join(&b'\n'))).await;
    assert_eq!(counts(&answer), [22, 1, 1, 20]);
    transcript.check("import_refused_lines");
}

#[tokio::test]
async fn the_answer_tells_of_so_many_lines() {
    let harness = Harness::new().await;
    let body = "x\n".repeat(1203) + &harness.browser_subscription().to_string();
    for (query, told) in [("", 100), ("?errors=0", 0), ("?errors=10000", 1203)] {
        let call = Call::post(&format!("{IMPORT}{query}")).admin();
        let answer = harness
            .send(call.header("content-type", NDJSON).body(body.clone()))
            .await;
        assert_eq!(counts(&answer)[3], 1203);
        let report = answer.json();
        let errors = report["errors"].as_array().unwrap();
        assert_eq!(errors.len(), told);
        let numbers = errors.iter().map(|error| error["line"].as_u64().unwrap());
        assert!(numbers.eq(1..=told as u64), "in order, the first ones");
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_import_is_told() {
    let harness = Harness::with(Setup {
        with_vapid_key: false,
        ..Setup::default()
    })
    .await;
    let mut transcript = Transcript::new(&harness);
    let json = Call::post(IMPORT).admin().json(&json!({}));
    transcript.send("as JSON", json).await;
    let compressed = import("x").header("content-encoding", "gzip");
    transcript.send("compressed", compressed).await;
    let query = Call::post(&format!("{IMPORT}?errors=10001")).admin();
    let query = query.header("content-type", NDJSON);
    transcript.send("too many errors", query).await;
    transcript.send("without a key", import("x")).await;
    let state = Call::get(&format!("{EXPORT}?state=dead")).admin();
    transcript.send("an export of no state", state).await;
    let get = Call::get(IMPORT).admin();
    transcript.send("a GET", get).await;
    transcript.check("import_refused");
}

#[tokio::test]
async fn an_empty_body_imports_nothing() {
    let harness = Harness::new().await;
    for (body, number) in [("", 0), ("\n \r\n\n", 3)] {
        assert_eq!(counts(&harness.send(import(body)).await), [number, 0, 0, 0]);
    }
}

#[tokio::test]
async fn what_came_before_the_body_broke_is_kept() {
    let harness = Harness::new().await;
    let line = lines(&[harness.browser_subscription()]);
    let pieces = [
        Ok(Bytes::from(line + "{\"endp")),
        Err("the connection broke"),
    ];
    let body = Body::from_stream(stream::iter(pieces));
    let request = Request::post(IMPORT)
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .header("content-type", NDJSON)
        .body(body)
        .unwrap();
    let answer = harness.send_request(request).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer}");
    let list = harness.send(Call::get("/v1/subscriptions").admin()).await;
    assert_eq!(list.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_export_is_as_long_as_the_table() {
    let harness = Harness::new().await;
    let many: Vec<Value> = (0..1234).map(|_| harness.browser_subscription()).collect();
    assert_eq!(counts(&harness.send(import(lines(&many))).await)[1], 1234);
    let exported = harness.send(Call::get(EXPORT).admin()).await;
    let mut endpoints: Vec<String> = String::from_utf8(exported.body.to_vec())
        .unwrap()
        .lines()
        .map(|line| text(&serde_json::from_str::<Value>(line).unwrap()["endpoint"]))
        .collect();
    endpoints.reverse();
    let expected: Vec<String> = many.iter().map(|it| text(&it["endpoint"])).collect();
    assert_eq!(endpoints, expected);
    let gone = harness
        .send(Call::get(&format!("{EXPORT}?state=gone")).admin())
        .await;
    assert!(gone.body.is_empty(), "{gone}");
}

#[tokio::test]
async fn a_damaged_subscription_is_told_and_stops_no_other() {
    let harness = Harness::new().await;
    let all: Vec<Value> = (0..3).map(|_| harness.browser_subscription()).collect();
    let body = lines(&all);
    assert_eq!(
        counts(&harness.send(import(body.clone())).await),
        [3, 3, 0, 0]
    );
    let sql = "UPDATE subscriptions SET capability = substr(capability, 1, 40) WHERE seq = 2";
    assert_eq!(harness.database().execute(sql, ()).unwrap(), 1);
    let mut transcript = Transcript::new(&harness);
    let list = Call::get("/v1/subscriptions?limit=2").admin();
    let list = transcript.send("the list", list).await;
    assert_eq!(list.json()["items"].as_array().unwrap().len(), 1);
    let damaged = text(&list.json()["damaged"][0]);
    let answer = transcript.send("the import", import(body)).await;
    assert_eq!(counts(&answer), [3, 0, 2, 1]);
    transcript.check("damaged_subscription");

    let exported = harness.send(Call::get(EXPORT).admin()).await;
    let exported = String::from_utf8(exported.body.to_vec()).unwrap();
    let exported: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told = json!({"id": damaged, "damaged": true});
    assert_eq!(exported.len(), 3);
    assert_eq!(exported.iter().filter(|line| **line == told).count(), 1);
}

#[tokio::test]
async fn a_report_has_an_end_however_much_the_lines_say() {
    let harness = Harness::new().await;
    let mut line = harness.browser_subscription();
    line["attributes"] = json!({"x".repeat(15_000): {}});
    let body = lines(&vec![line; 600]);
    let call = Call::post(&format!("{IMPORT}?errors=10000")).admin();
    let answer = harness
        .send(call.header("content-type", NDJSON).body(body))
        .await;
    assert_eq!(counts(&answer), [600, 0, 0, 600]);
    let told = answer.json()["errors"].as_array().unwrap().len();
    assert!((1..600).contains(&told), "{told} are told");
    assert!(answer.body.len() < 4_200_000, "{}", answer.body.len());
}

#[tokio::test]
async fn an_import_knows_a_key_that_was_added_meanwhile() {
    let harness = Harness::new().await;
    let key = VapidKey::from_raw(&[9; 32]).unwrap();
    let public = key.public_key().to_base64url();
    let mut line = harness.browser_subscription();
    line["vapid_key"] = json!(public);
    let line = Bytes::from(line.to_string());
    let server = Arc::clone(&harness.server);
    // As many as are looked at together.
    let before = stream::once(async { Bytes::from("{}\n".repeat(1000)) });
    let then = stream::once(async move {
        let added = server.add_vapid_key(ApplicationId::DEFAULT, Some(key));
        added.await.unwrap();
        line
    });
    let body = Body::from_stream(before.chain(then).map(Ok::<_, std::convert::Infallible>));
    let request = Request::post(IMPORT)
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .header("content-type", NDJSON)
        .body(body)
        .unwrap();
    let answer = harness.send_request(request).await;
    assert_eq!(counts(&answer), [1001, 1, 0, 1000], "{answer}");
}
