//! Receipts.

use http::StatusCode;
use serde_json::{Value, json};
use tidings_core::id::{MessageId, SubscriptionId};

use crate::harness::{APP, Call, Harness, Transcript, text};

fn report() -> Call {
    Call::post(&format!("{APP}/receipts"))
}

/// A message that everybody gets.
async fn send_message(harness: &Harness) -> String {
    let body = json!({"audience": {"all": true}, "notification": {"title": "Hi"}});
    text(
        &harness
            .send(Call::post("/v1/messages").admin().json(&body))
            .await
            .json()["id"],
    )
}

fn receipt(harness: &Harness, message: &str, subscription: &str, event: &str) -> Value {
    let ids: (MessageId, SubscriptionId) =
        (message.parse().unwrap(), subscription.parse().unwrap());
    json!({
        "message": message,
        "subscription": subscription,
        "event": event,
        "at": "2025-11-24T15:59:00Z",
        "proof": harness.macs.receipt_proof(ids.0, ids.1),
    })
}

async fn counts(harness: &Harness, message: &str) -> Value {
    let call = Call::get(&format!("/v1/messages/{message}")).admin();
    let counts = harness.send(call).await.json()["counts"].take();
    json!([counts["shown"], counts["clicked"], counts["dismissed"]])
}

#[tokio::test]
async fn each_proved_event_counts_once() {
    let harness = Harness::new().await;
    let (id, _) = harness.register().await;
    let message = send_message(&harness).await;
    let shown = receipt(&harness, &message, &id, "shown");
    let mut clicked = receipt(&harness, &message, &id, "clicked");
    clicked["action"] = json!("reply");

    let answer = harness.send(report().json(&json!([shown, clicked]))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer}");
    assert!(answer.body.is_empty());
    assert_eq!(counts(&harness, &message).await, json!([1, 1, 0]));

    let repeated = report().header("content-type", "text/plain;charset=UTF-8");
    let dismissed = receipt(&harness, &message, &id, "dismissed");
    let answer = harness
        .send(repeated.body(json!([shown, dismissed]).to_string()))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(counts(&harness, &message).await, json!([1, 1, 1]));
}

#[tokio::test]
async fn without_its_proof_a_receipt_counts_for_nothing() {
    let harness = Harness::new().await;
    let (id, _) = harness.register().await;
    let (other, _) = harness.register().await;
    let message = send_message(&harness).await;
    let mut forged = receipt(&harness, &message, &id, "shown");
    forged["proof"] = json!("AAAAAAAAAAAAAAAAAAAAAA");
    let mut without = receipt(&harness, &message, &id, "shown");
    without.as_object_mut().unwrap().remove("proof");
    let mut of_another = receipt(&harness, &message, &other, "shown");
    of_another["subscription"] = json!(id);
    let answer = harness
        .send(report().json(&json!([forged, without, of_another])))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(counts(&harness, &message).await, json!([0, 0, 0]));
}

#[tokio::test]
async fn what_is_wrong_with_a_receipt_is_told_with_its_place() {
    let harness = Harness::new().await;
    let (id, _) = harness.register().await;
    let message = send_message(&harness).await;
    let good = receipt(&harness, &message, &id, "shown");
    let mut transcript = Transcript::new(&harness);
    for (name, value) in [
        ("message", json!(id)),
        ("subscription", json!("sub_1")),
        ("event", json!("read")),
        ("action", json!("x".repeat(65))),
        ("at", json!("yesterday")),
        ("at", json!(1_764_000_000_000_u64)),
        ("proof", json!(null)),
        ("where", json!("here")),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        transcript
            .send(name, report().json(&json!([good, bad])))
            .await;
    }
    transcript.send("an object", report().json(&good)).await;
    transcript
        .send("too many", report().json(&json!(vec![good.clone(); 101])))
        .await;
    transcript
        .send(
            "XML",
            report().header("content-type", "text/xml").body("<x/>"),
        )
        .await;
    transcript.check("receipts_refused");

    let most = report().json(&json!(vec![good; 100]));
    assert_eq!(harness.send(most).await.status, StatusCode::ACCEPTED);
    assert_eq!(counts(&harness, &message).await, json!([1, 0, 0]));
}
