//! Tombstones undone, and suspected subscriptions decided about.

use std::num::NonZeroU32;

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Call, Harness, Setup, Transcript, text};

async fn register(harness: &Harness, user: Option<&str>) -> String {
    let mut body = harness.browser_subscription();
    body["user"] = json!(user);
    let call = Call::post("/v1/subscriptions").admin().json(&body);
    text(&harness.send(call).await.json()["id"])
}

/// As the store does when the push service says so.
fn set_state(harness: &Harness, state: &str, ended: bool) {
    let ended_at = ended.then_some(1_i64);
    let sql = "UPDATE subscriptions
        SET state = ?1, ended_at = ?2, suspected_at = CASE WHEN ?2 IS NULL THEN 1 END
        WHERE state = 'active'";
    harness.database().execute(sql, (state, ended_at)).unwrap();
}

async fn states(harness: &Harness) -> Vec<String> {
    let list = harness.send(Call::get("/v1/subscriptions").admin()).await;
    let list = list.json();
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| text(&item["state"])).collect()
}

#[tokio::test]
async fn a_tombstone_is_undone() {
    let harness = Harness::with(Setup {
        max_subscriptions_per_user: NonZeroU32::MIN,
        ..Setup::default()
    })
    .await;
    let mut transcript = Transcript::new(&harness);
    let gone = register(&harness, Some("alice")).await;
    set_state(&harness, "gone", true);
    let path = |id: &str| format!("/v1/subscriptions/{id}/restore");
    let restore = |path: &str| Call::post(path).admin();
    transcript.send("gone", restore(&path(&gone))).await;
    transcript.send("active", restore(&path(&gone))).await;
    harness
        .send(Call::delete(&format!("/v1/subscriptions/{gone}")).admin())
        .await;
    transcript.send("ended", restore(&path(&gone))).await;
    let even_ended = format!("{}?even_ended=true", path(&gone));
    let another = register(&harness, Some("alice")).await;
    transcript
        .send("ended, and alice has enough", restore(&even_ended))
        .await;
    harness
        .send(Call::delete(&format!("/v1/subscriptions/{another}")).admin())
        .await;
    transcript.send("even ended", restore(&even_ended)).await;
    let bad = format!("{}?even_ended=1", path(&gone));
    transcript
        .send("neither true nor false", restore(&bad))
        .await;
    let nothing = path(&format!("sub_{}", "0".repeat(32)));
    transcript
        .send("what is not there", restore(&nothing))
        .await;
    transcript.check("restore");
}

#[tokio::test]
async fn all_suspected_ones_are_decided_about_at_once() {
    let harness = Harness::with(Setup {
        max_subscriptions_per_user: NonZeroU32::MIN,
        ..Setup::default()
    })
    .await;
    for user in [Some("alice"), Some("bob"), None] {
        register(&harness, user).await;
    }
    set_state(&harness, "suspect", false);
    register(&harness, Some("bob")).await;
    let mut transcript = Transcript::new(&harness);
    let decide = |how: &str, body: Value| {
        Call::post(&format!("/v1/subscriptions/{how}"))
            .admin()
            .json(&body)
    };
    let at = |service: &str| json!({"push_service": service});
    transcript
        .send("elsewhere", decide("restore", at("fcm")))
        .await;
    transcript
        .send("restored but bob's", decide("restore", at("mozilla")))
        .await;
    assert_eq!(
        states(&harness).await,
        ["active", "active", "suspect", "active"]
    );
    transcript
        .send("confirmed", decide("confirm-gone", at("mozilla")))
        .await;
    assert_eq!(
        states(&harness).await,
        ["active", "active", "gone", "active"]
    );
    transcript
        .send("no push service", decide("restore", at("firefox")))
        .await;
    transcript
        .send("not said", decide("confirm-gone", json!({})))
        .await;
    transcript.check("suspects");
}

/// More than are decided about in one transaction.
#[tokio::test]
async fn a_wave_of_any_height_is_undone() {
    let harness = Harness::new().await;
    let lines: String = (0..1200)
        .flat_map(|_| [harness.browser_subscription().to_string(), "\n".to_owned()])
        .collect();
    let import = Call::post("/v1/subscriptions/import").admin();
    let import = import.header("content-type", "application/x-ndjson");
    assert_eq!(
        harness.send(import.body(lines)).await.status,
        StatusCode::OK
    );
    for (how, state) in [("restore", "active"), ("confirm-gone", "gone")] {
        set_state(&harness, "suspect", false);
        let call = Call::post(&format!("/v1/subscriptions/{how}")).admin();
        let answer = harness
            .send(call.json(&json!({"push_service": "mozilla"})))
            .await;
        let all = json!({"changed": 1200, "left": 0, "more": false});
        assert_eq!(answer.json(), all, "{how}");
        let count: i64 = harness
            .database()
            .query_row(
                "SELECT count(*) FROM subscriptions WHERE state = ?1",
                [state],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(count, 1200, "{how}");
    }
}

#[tokio::test]
async fn one_request_decides_about_fifty_thousand() {
    let harness = Harness::new().await;
    register(&harness, None).await;
    set_state(&harness, "suspect", false);
    let sql = "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 50150)
        INSERT INTO subscriptions
            (application_id, seq, id, endpoint_hash, capability, push_service, vapid_key_id,
             encoding, state, created_at, last_seen_at, suspected_at)
        SELECT application_id, n, randomblob(16), randomblob(16), capability, push_service,
               vapid_key_id, encoding, state, created_at, last_seen_at, suspected_at
        FROM subscriptions, n
        WHERE seq = 1";
    harness.database().execute(sql, ()).unwrap();
    for expected in [
        json!({"changed": 50_000, "left": 0, "more": true}),
        json!({"changed": 150, "left": 0, "more": false}),
    ] {
        let call = Call::post("/v1/subscriptions/confirm-gone").admin();
        let call = call.json(&json!({"push_service": "mozilla"}));
        assert_eq!(harness.send(call).await.json(), expected);
    }
}
