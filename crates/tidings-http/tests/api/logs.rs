//! What is logged, and what never is.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{ADMIN_TOKEN, APP, Call, Harness, text};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_request_is_one_line_without_secrets() {
    let harness = Harness::new().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let body = harness.browser_subscription();
    let registered = harness
        .send(Call::post(&format!("{APP}/subscriptions")).json(&body))
        .await;
    let (id, token) = (
        text(&registered.json()["id"]),
        text(&registered.json()["token"]),
    );
    let own = format!("{APP}/subscriptions/{id}");
    harness
        .send(
            Call::patch(&own)
                .bearer(&token)
                .json(&json!({"locale": "de"})),
        )
        .await;
    harness
        .send(Call::get("/v1/messages?cursor=confidential").admin())
        .await;
    let made = Call::post("/v1/api-tokens")
        .admin()
        .json(&json!({"name": "CI", "scopes": ["messages:read"]}));
    let made = harness.send(made).await.json();
    let (api_token, api_token_id) = (text(&made["token"]), text(&made["id"]));
    harness
        .send(Call::get("/v1/messages").bearer(&api_token))
        .await;
    harness
        .send(Call::post("/v1/messages").bearer(&api_token))
        .await;
    let unknown = format!("tdg_{}", "confidential".repeat(4));
    harness
        .send(Call::get("/v1/messages").bearer(&unknown))
        .await;
    drop(guard);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let request_id = registered.header("x-request-id").unwrap();
    let line = log.lines().find(|line| line.contains(request_id)).unwrap();
    for part in [
        "http.method=POST",
        "http.route=\"/v1/apps/{app}/subscriptions\"",
        "http.status=201",
        "duration_ms=",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert_eq!(log.matches("answered with").count(), 7, "{log}");
    let used = format!("caller={api_token_id}");
    assert!(
        log.matches(&used).count() >= 2,
        "who called is not told: {log}"
    );
    assert!(log.contains("caller=admin"), "{log}");
    let keys = &body["keys"];
    for secret in [&body["endpoint"], &keys["p256dh"], &keys["auth"]]
        .map(text)
        .iter()
        .chain([
            &token,
            &api_token,
            &ADMIN_TOKEN.to_owned(),
            &"confidential".to_owned(),
        ])
    {
        assert!(!log.contains(secret.as_str()), "{secret} in {log}");
    }
}
