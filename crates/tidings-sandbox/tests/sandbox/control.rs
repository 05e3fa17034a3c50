use http::{Method, StatusCode};

use crate::support::{Post, Setup};

#[tokio::test]
async fn mistakes_are_answered_with_what_to_do() {
    let setup = Setup::new().await;
    let cases = [
        (
            Method::POST,
            "/sandbox/subscriptions?count=0",
            "",
            400,
            "1000000",
        ),
        (
            Method::POST,
            "/sandbox/subscriptions?count=1000001",
            "",
            400,
            "1000000",
        ),
        (
            Method::POST,
            "/sandbox/subscriptions?cuont=1",
            "",
            400,
            "count",
        ),
        (
            Method::POST,
            "/sandbox/subscriptions?count=1&count=2",
            "",
            400,
            "twice",
        ),
        (
            Method::POST,
            "/sandbox/subscriptions?applicationServerKey=AA",
            "",
            400,
            "65",
        ),
        (
            Method::POST,
            "/sandbox/subscriptions?scheme=https",
            "",
            400,
            "start it",
        ),
        (Method::GET, "/sandbox/messages", "", 400, "endpoint"),
        (
            Method::GET,
            "/sandbox/messages?subscription=abc",
            "",
            404,
            "endpoint",
        ),
        (
            Method::DELETE,
            "/sandbox/subscriptions?subscription=abc",
            "",
            404,
            "endpoint",
        ),
        (
            Method::PUT,
            "/sandbox/behaviour",
            r#"{"withold":true}"#,
            400,
            "withhold",
        ),
        (Method::PUT, "/sandbox/behaviour", "", 400, "Send one rule"),
        (Method::POST, "/sandbox/behaviour", "{}", 405, "Allow"),
        (Method::GET, "/sandbox/nothing", "", 404, "GET /"),
        (Method::GET, "/nothing", "", 404, "GET /"),
    ];
    for case in cases {
        mistake(&setup, case).await;
    }
}

#[tokio::test]
async fn mistakes_with_names_of_rules_are_answered_with_what_to_do() {
    let setup = Setup::new().await;
    let long = format!("/sandbox/behaviour/{}", "a".repeat(101));
    let cases = [
        (
            Method::GET,
            "/sandbox/behaviour/nobody",
            "",
            404,
            "GET /sandbox/behaviour",
        ),
        (
            Method::DELETE,
            "/sandbox/behaviour/nobody",
            "",
            404,
            "GET /sandbox/behaviour",
        ),
        (Method::PUT, &long, "[]", 400, "shorter"),
        (
            Method::PUT,
            "/sandbox/behaviour/a",
            r#"{"withold":true}"#,
            400,
            "withhold",
        ),
    ];
    for case in cases {
        mistake(&setup, case).await;
    }
}

/// A request, the status that it is answered with, and a part of the detail.
type Case<'a> = (Method, &'a str, &'a str, u16, &'a str);

async fn mistake(setup: &Setup, (method, path, body, status, hint): Case<'_>) {
    let name = format!("{method} {path} {body}");
    let answer = setup.call(method, path, body).await;
    assert_eq!(answer.status.as_u16(), status, "{name}");
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{name}"
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{name}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(hint), "{name}: {detail}");
}

#[tokio::test]
async fn too_much_is_refused() {
    let setup = Setup::new().await;
    let body = format!(
        r#"{{"body":"{}","status":200}}"#,
        "a".repeat(5 * 1024 * 1024)
    );
    let answer = setup.call(Method::PUT, "/sandbox/behaviour", &body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn a_browser_sees_what_this_is() {
    let setup = Setup::new().await;
    let answer = setup.call(Method::GET, "/", "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("content-type").starts_with("text/plain"));
    let text = answer.text();
    assert!(text.contains(setup.origin()));
    assert!(text.contains(&setup.sandbox.ws_url().unwrap()));
    for member in ["\n  status ", "\n  goaway ", "\n  times "] {
        assert!(text.contains(member), "{text}");
    }
}

#[tokio::test]
async fn connections_are_counted_by_what_they_carried() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = tidings_webpush::VapidKey::generate().unwrap();
    for _ in 0..2 {
        Post::new(&subscription, &key, "a").accepted().await;
    }
    let stats = setup
        .stats_until(|stats| stats["connections"]["open"] == 1)
        .await;
    let http1 = &stats["connections"]["by_protocol"][0];
    assert_eq!(http1["protocol"], "http/1.1");
    assert_eq!(http1["with_posts"], 2);
    assert_eq!(http1["open"], 1, "this one");
    assert_eq!(stats["connections"]["max_concurrent_posts"], 1);
}

#[tokio::test]
async fn nothing_to_listen_at_is_an_error() {
    use std::sync::Arc;

    use tidings_sandbox::{Sandbox, SandboxError, SandboxOptions};

    let clock = Arc::new(crate::support::now);
    let mut options = SandboxOptions::new(clock, Arc::new(tidings_webpush::SystemRandomness));
    options.http = None;
    let refused = Sandbox::start(options).await;
    assert!(
        matches!(refused, Err(SandboxError::NoListener)),
        "{refused:?}"
    );
}
