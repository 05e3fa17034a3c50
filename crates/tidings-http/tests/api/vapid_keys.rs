//! VAPID keys, and the one that pages get.

use http::StatusCode;
use serde_json::{Value, json};
use tidings_webpush::VapidKey;

use crate::harness::{APP, Call, Harness, Transcript, text};

#[tokio::test]
async fn pages_get_the_key_in_the_form_they_ask_for() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let path = format!("{APP}/vapid-public-key");
    let octets = transcript.send("octets", Call::get(&path)).await;
    assert_eq!((octets.body.len(), octets.body[0]), (65, 4));
    let accept = || Call::get(&path).header("accept", "application/json");
    let object = transcript.send("JSON", accept()).await;
    transcript.send("by POST", Call::post(&path)).await;
    let tag = octets.header("etag").unwrap();
    transcript
        .send("unchanged", Call::get(&path).header("if-none-match", tag))
        .await;
    let list = format!("\"x\", W/{}", object.header("etag").unwrap());
    transcript
        .send("unchanged JSON", accept().header("if-none-match", &list))
        .await;
    let other_form = transcript
        .send("another form", accept().header("if-none-match", tag))
        .await;
    assert_eq!(other_form.status, StatusCode::OK);
    transcript.check("vapid_public_key");
}

#[tokio::test]
async fn keys_are_made_imported_activated_and_retired() {
    let harness = Harness::new().await;
    harness.register().await;
    let mut transcript = Transcript::new(&harness);
    let pem = VapidKey::from_raw(&[9; 32])
        .unwrap()
        .to_sec1_pem()
        .to_string();
    let add = |body: &Value| Call::post("/v1/vapid-keys").admin().json(body);
    let imported = transcript
        .send("imported", add(&json!({"private_key": pem})))
        .await
        .json();
    let again = transcript
        .send("imported again", add(&json!({"private_key": pem})))
        .await
        .json();
    assert_eq!(imported, again);
    let path = format!("/v1/vapid-keys/{}", text(&imported["id"]));
    let list = || Call::get("/v1/vapid-keys").admin();
    let first = text(&transcript.send("both", list()).await.json()["items"][0]["id"]);
    transcript
        .send("activated", Call::post(&format!("{path}/activate")).admin())
        .await;
    transcript
        .send(
            "retiring the active one",
            Call::post(&format!("{path}/retire")).admin(),
        )
        .await;
    transcript
        .send(
            "retiring the other",
            Call::post(&format!("/v1/vapid-keys/{first}/retire")).admin(),
        )
        .await;
    transcript.send("what became of them", list()).await;
    let page = Call::get(&format!("{APP}/vapid-public-key")).header("accept", "application/json");
    assert_eq!(
        harness.send(page).await.json()["key"],
        imported["public_key"]
    );
    transcript.check("vapid_keys");

    let made = harness.send(add(&json!({}))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made}");
    assert_eq!(made.json()["state"], "live");
    assert_ne!(made.json()["public_key"], imported["public_key"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_told() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let add = |body: &Value| Call::post("/v1/vapid-keys").admin().json(body);
    transcript
        .send("no body", Call::post("/v1/vapid-keys").admin())
        .await;
    for (what, body) in [
        ("not a key", json!({"private_key": "hunter2"})),
        (
            "a public key",
            json!({"private_key": "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6kSmgQd1vZ\n-----END PUBLIC KEY-----\n"}),
        ),
        ("null", json!({"private_key": null})),
        ("an unknown member", json!({"publicKey": "x"})),
    ] {
        transcript.send(what, add(&body)).await;
    }
    let nothing = format!("/v1/vapid-keys/key_{}", "0".repeat(32));
    transcript
        .send(
            "activating nothing",
            Call::post(&format!("{nothing}/activate")).admin(),
        )
        .await;
    transcript
        .send(
            "retiring nothing",
            Call::post(&format!("{nothing}/retire")).admin(),
        )
        .await;
    transcript
        .send("not an id", Call::post("/v1/vapid-keys/1/retire").admin())
        .await;
    transcript.check("vapid_keys_refused");
}
