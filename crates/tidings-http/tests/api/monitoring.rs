//! Alerts and metrics.

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use tidings_core::alert::{AlertKind, Condition};
use tidings_core::batch::Lane;
use tidings_core::id::VapidKeyId;
use tidings_core::metrics::AnswerClass;
use tidings_webpush::PushService;

use crate::harness::{Call, Harness, Transcript, text};

/// One of each kind but the one that is in the store.
fn conditions() -> Vec<Condition> {
    let push_service = PushService::Mozilla;
    vec![
        Condition::KeyPaused {
            push_service: PushService::Fcm,
            vapid_key: VapidKeyId::from_bytes([7; 16]),
        },
        Condition::PushServiceUnreachable { push_service },
        Condition::OutcomesNotRecorded {
            error: "the disk is full".to_owned(),
        },
        Condition::NoContact,
    ]
}

#[tokio::test]
async fn alerts_say_what_to_do() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let list = || Call::get("/v1/alerts").admin();
    transcript.send("all is well", list()).await;
    for condition in conditions() {
        harness.alerts.raise(condition);
    }
    harness.register().await;
    harness
        .database()
        .execute_batch("UPDATE subscriptions SET state = 'suspect', suspected_at = 1764000000000")
        .unwrap();
    transcript.send("everything at once", list()).await;
    harness
        .alerts
        .clear(AlertKind::NoContact, &Condition::NoContact.subject());
    harness
        .database()
        .execute_batch("DELETE FROM subscriptions")
        .unwrap();
    transcript.send("two of them are over", list()).await;
    assert_eq!(harness.alerts.count(AlertKind::SuspectedWave), 0);
    transcript.check("alerts");
}

#[tokio::test]
async fn metrics_are_what_was_counted() {
    let harness = Harness::new().await;
    let metrics = &harness.metrics;
    for _ in 0..3 {
        metrics.answered(PushService::Fcm, AnswerClass::Accepted);
    }
    metrics.load(PushService::Other, Lane::Direct, 5, 8);
    metrics.claimed(PushService::Wns, Lane::Bulk, 2);
    metrics.record_failed();
    harness.alerts.raise(Condition::NoContact);
    let answer = harness.send(Call::get("/metrics").admin()).await;
    assert_eq!(
        answer.header(CONTENT_TYPE.as_str()),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    for line in [
        "# TYPE tidings_answers counter",
        "tidings_answers_total{push_service=\"fcm\",answer=\"accepted\"} 3",
        "tidings_answers_total{push_service=\"apple\",answer=\"gone\"} 0",
        "tidings_deliveries_under_way{push_service=\"other\",lane=\"direct\"} 5",
        "tidings_deliveries_limit{push_service=\"other\",lane=\"direct\"} 8",
        "tidings_batches_claimed_total{push_service=\"wns\",lane=\"bulk\"} 2",
        "tidings_outcomes_recorded_total{outcome=\"retrying\"} 0",
        "tidings_record_failures_total 1",
        "tidings_alerts{kind=\"no_contact\"} 1",
        "tidings_alerts{kind=\"key_paused\"} 0",
        "# EOF",
    ] {
        assert!(body.lines().any(|it| it == line), "{line}: {body}");
    }
}

/// A token that lies about on a monitoring system is to be worth little to a thief.
#[tokio::test]
async fn a_token_for_monitoring_sees_how_the_server_is_and_nothing_else() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let token = |scope: &str| {
        let call = Call::post("/v1/api-tokens").admin();
        harness.send(call.json(&json!({"name": "x", "scopes": [scope]})))
    };
    let monitor = text(&token("monitoring:read").await.json()["token"]);
    let reader = text(&token("messages:read").await.json()["token"]);
    let metrics = || Call::get("/metrics");
    transcript.send("nobody", metrics()).await;
    transcript
        .send("a back end", metrics().bearer(&reader))
        .await;
    transcript
        .send(
            "a monitoring system that asks for more",
            Call::get("/v1/messages").bearer(&monitor),
        )
        .await;
    for path in ["/metrics", "/v1/alerts"] {
        let answer = harness.send(Call::get(path).bearer(&monitor)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer}");
    }
    transcript.check("metrics_refused");
}
