//! What goes wrong on command, as a sender over HTTP/2 sees it.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tidings_sandbox::{Personality, Sandbox, SandboxError, SandboxOptions};
use tidings_webpush::{Subscription, VapidKey};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{LIMIT, Setup};
use crate::tls::{begin_post, connect_at, post};

async fn playing(services: &[&str]) -> Setup {
    let services: Vec<_> = services.iter().map(|text| text.parse().unwrap()).collect();
    Setup::with(|options| {
        options.services = services;
        options.seed = Some(11);
    })
    .await
}

/// A connection of a sender; how it ended is in the set.
struct Line {
    sender: SendRequest<Bytes>,
    ended: JoinSet<Result<(), h2::Error>>,
}

impl Line {
    async fn to(setup: &Setup, subscription: &Subscription) -> Self {
        let origin = subscription.push_resource.origin();
        let host = subscription.push_resource.host().to_string();
        let ca_pem = setup.sandbox.ca_pem().unwrap();
        let stream = connect_at(origin, &host, ca_pem, &[b"h2"]).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let mut ended = JoinSet::new();
        ended.spawn(connection);
        Self { sender, ended }
    }

    async fn post(
        &mut self,
        subscription: &Subscription,
        key: &VapidKey,
    ) -> Result<StatusCode, h2::Error> {
        let answer = post(&mut self.sender, subscription, key, 0).await;
        let answer = tokio::time::timeout(LIMIT, answer).await;
        Ok(answer.expect("no answer in time")?.status())
    }

    /// How it ends, which it must do by itself.
    async fn end(mut self) -> Result<(), h2::Error> {
        let ended = tokio::time::timeout(LIMIT, self.ended.join_next()).await;
        ended.expect("it does not end").unwrap().unwrap()
    }
}

/// What the sender of one message sees when this rule is in force.
async fn under(rule: &str) -> (Setup, Line, Result<StatusCode, h2::Error>) {
    let setup = playing(&["plain=127.0.0.1:0"]).await;
    let subscription = setup.subscription("service=plain").await;
    let key = VapidKey::generate().unwrap();
    setup.behave(rule).await;
    let mut line = Line::to(&setup, &subscription).await;
    let answer = line.post(&subscription, &key).await;
    (setup, line, answer)
}

#[tokio::test]
async fn streams_are_reset_with_the_reason_that_was_chosen() {
    for (rule, reason) in [
        (r#"{"reset":true}"#, Reason::INTERNAL_ERROR),
        (r#"{"refuse_stream":true}"#, Reason::REFUSED_STREAM),
    ] {
        let (setup, _line, answer) = under(rule).await;
        let error = answer.unwrap_err();
        assert!(error.is_reset() && error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(reason));
        let stats = setup.stats().await;
        assert_eq!(
            (&stats["resets"], &stats["accepted"]),
            (&json!(1), &json!(0))
        );
    }
}

#[tokio::test]
async fn a_message_taken_in_before_the_reset_is_a_duplicate_when_it_comes_again() {
    for how in ["reset", "disconnect"] {
        let setup = playing(&["plain=127.0.0.1:0"]).await;
        let subscription = setup.subscription("service=plain").await;
        let key = VapidKey::generate().unwrap();
        let rule = json!({how: true, "after": true, "times": 1});
        setup.behave(&rule.to_string()).await;
        let mut line = Line::to(&setup, &subscription).await;
        assert!(line.post(&subscription, &key).await.is_err(), "{how}");
        let stats = setup.stats().await;
        let counts = ["resets", "accepted", "answered"].map(|name| &stats[name]);
        assert_eq!(counts, [1, 1, 0], "{how}");
        // The sender does not know, and tries again.
        let mut line = Line::to(&setup, &subscription).await;
        let answer = line.post(&subscription, &key).await.unwrap();
        assert_eq!(answer, StatusCode::CREATED);
        let stats = setup.stats().await;
        let counts = ["accepted", "duplicates", "answered"].map(|name| &stats[name]);
        assert_eq!(counts, [2, 1, 1], "{how}");
    }
}

#[tokio::test]
async fn an_abrupt_goodbye_answers_nothing() {
    let (setup, line, answer) = under(r#"{"goaway":"abrupt"}"#).await;
    // Its stream was before the last one that the goodbye names, so it may have been processed.
    assert!(answer.is_err());
    let error = line.end().await.unwrap_err();
    assert!(error.is_go_away() && error.is_remote(), "{error}");
    assert_eq!(setup.stats().await["accepted"], 0);
}

#[tokio::test]
async fn a_graceful_goodbye_answers_what_it_has_and_takes_no_more() {
    let (setup, line, answer) = under(r#"{"goaway":"graceful"}"#).await;
    assert_eq!(answer.unwrap(), StatusCode::CREATED);
    let ended = line.end().await;
    // Without a stream left there is nothing to fail.
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(
        setup.stats().await["connections"]["open"],
        1,
        "that of the controls"
    );
}

#[tokio::test]
async fn a_disconnection_is_a_reset_of_the_connection() {
    let (setup, line, answer) = under(r#"{"disconnect":true}"#).await;
    assert!(answer.is_err());
    let error = line.end().await.unwrap_err();
    let kind = error.get_io().map(std::io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::ConnectionReset), "{error}");
    assert_eq!(setup.stats().await["accepted"], 0);
}

#[tokio::test]
async fn a_stalled_post_is_never_answered_and_reaches_nobody() {
    let setup = playing(&["plain=127.0.0.1:0"]).await;
    let subscription = setup.subscription("service=plain").await;
    let key = VapidKey::generate().unwrap();
    setup.behave(r#"{"stall":true}"#).await;
    let mut line = Line::to(&setup, &subscription).await;
    let answer = post(&mut line.sender, &subscription, &key, 0).await;
    setup.stats_until(|stats| stats["withheld"] == 1).await;
    // Honesty comes too late for it, and others are answered beside it.
    setup.behave("[]").await;
    assert_eq!(
        line.post(&subscription, &key).await.unwrap(),
        StatusCode::CREATED
    );
    assert_eq!(setup.stats().await["withheld"], 1);
    drop(answer);
    let stats = setup.stats_until(|stats| stats["vanished"] == 1).await;
    assert_eq!(stats["accepted"], 1);
}

#[tokio::test]
async fn a_wrong_key_is_refused_as_each_push_service_does() {
    for (personality, status) in [
        (Personality::Fcm, StatusCode::FORBIDDEN),
        (Personality::Mozilla, StatusCode::UNAUTHORIZED),
        (Personality::Apple, StatusCode::BAD_REQUEST),
        (Personality::Wns, StatusCode::FORBIDDEN),
    ] {
        let setup = playing(&[&format!("{personality}=127.0.0.1:0")]).await;
        let subscription = setup.subscription(&format!("service={personality}")).await;
        let key = VapidKey::generate().unwrap();
        setup.behave(r#"{"wrong_key":true}"#).await;
        let mut line = Line::to(&setup, &subscription).await;
        assert_eq!(
            line.post(&subscription, &key).await.unwrap(),
            status,
            "{personality}"
        );
    }
}

#[tokio::test]
async fn every_counts_posts_as_they_begin_also_when_they_are_under_way_together() {
    let setup = playing(&["plain=127.0.0.1:0"]).await;
    let subscription = setup.subscription("service=plain").await;
    let key = VapidKey::generate().unwrap();
    setup.behave(r#"{"every":3,"status":503}"#).await;
    let mut line = Line::to(&setup, &subscription).await;
    let mut begun = Vec::new();
    for index in 0..12 {
        begun.push(begin_post(&mut line.sender, &subscription, &key, index).await);
    }
    setup.stats_until(|stats| stats["in_flight"] == 12).await;
    for post in begun {
        post.end().await.unwrap();
    }
    assert_eq!(setup.stats().await["answers"], json!({"201": 8, "503": 4}));
}

#[tokio::test]
async fn a_break_waits_for_its_delay() {
    for how in [
        r#""reset":true"#,
        r#""reset":true,"after":true"#,
        r#""refuse_stream":true"#,
        r#""disconnect":true"#,
        r#""goaway":"abrupt""#,
    ] {
        let rules = format!(r#"[{{"delay_ms":50,"continue":true}},{{{how},"delay_ms":100}}]"#);
        let begin = tokio::time::Instant::now();
        let (_setup, _line, answer) = under(&rules).await;
        assert!(answer.is_err(), "{how}");
        assert!(begin.elapsed() >= Duration::from_millis(150), "{how}");
    }
}

#[tokio::test]
async fn a_status_that_has_no_body_is_answered_without() {
    for personality in Personality::ALL {
        let setup = playing(&[&format!("{personality}=127.0.0.1:0")]).await;
        let subscription = setup.subscription(&format!("service={personality}")).await;
        let key = VapidKey::generate().unwrap();
        setup.behave(r#"{"status":304}"#).await;
        let mut line = Line::to(&setup, &subscription).await;
        let answer = post(&mut line.sender, &subscription, &key, 0).await;
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{personality}");
        let mut body = answer.into_body();
        let first = tokio::time::timeout(LIMIT, body.data()).await.unwrap();
        assert!(first.is_none(), "{personality}: {first:?}");
    }
}

#[tokio::test]
async fn a_rule_for_a_service_that_is_not_there_is_refused() {
    let setup = playing(&["fcm=127.0.0.1:0"]).await;
    let rule = |name: &str| json!({"services": [name], "status": 503}).to_string();
    // The last is what the listeners play that every sandbox has.
    for name in ["fcm", "fcm.googleapis.com", "all", "mozilla"] {
        setup.behave(&rule(name)).await;
    }
    let answer = setup
        .call(Method::PUT, "/sandbox/behaviour", &rule("fmc"))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    for hint in ["fmc", "fcm.googleapis.com"] {
        assert!(answer.text().contains(hint), "{}", answer.text());
    }
    let clock = std::sync::Arc::new(crate::support::now);
    let randomness = std::sync::Arc::new(tidings_webpush::SystemRandomness);
    let mut options = SandboxOptions::new(clock, randomness);
    options.behaviour = Some(rule("fmc"));
    let error = Sandbox::start(options).await.unwrap_err();
    assert!(matches!(&error, SandboxError::Behaviour(why) if why.contains("fmc")));
}

/// `GET /sandbox/subscriptions`.
async fn counts(setup: &Setup) -> Vec<Value> {
    let answer = setup.call(Method::GET, "/sandbox/subscriptions", "").await;
    let lines = answer.text();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn the_list_tells_whom_a_share_will_meet_and_what_each_got() {
    let setup = playing(&["plain=127.0.0.1:0"]).await;
    let subscriptions = setup.subscriptions("count=600&service=plain").await;
    let key = VapidKey::generate().unwrap();
    setup.behave(r#"{"share":0.1,"status":410}"#).await;
    let announced = counts(&setup).await;
    let mut line = Line::to(&setup, &subscriptions[0]).await;
    for (subscription, announced) in subscriptions.iter().zip(&announced).take(60) {
        assert_eq!(announced["endpoint"], subscription.push_resource.expose());
        let is_gone = announced["shares"] == json!([0]);
        let expected = if is_gone {
            StatusCode::GONE
        } else {
            StatusCode::CREATED
        };
        for _ in 0..2 {
            assert_eq!(line.post(subscription, &key).await.unwrap(), expected);
        }
    }
    let met = |announced: &[Value]| {
        announced
            .iter()
            .filter(|line| line["shares"] == json!([0]))
            .count()
    };
    assert!((30..90).contains(&met(&announced)), "of 600 not a tenth");
    assert!(
        (1..59).contains(&met(&announced[..60])),
        "the seed shows nothing"
    );
    for (number, line) in counts(&setup).await.iter().enumerate() {
        let posts = if number < 60 { 2 } else { 0 };
        let accepted = if line["shares"] == json!([0]) {
            0
        } else {
            posts
        };
        assert_eq!(line["posts"], posts);
        assert_eq!(line["accepted"], accepted);
        assert_eq!(line["decrypted"], accepted);
        assert_eq!(line["duplicates"], accepted / 2);
    }
}

#[tokio::test]
async fn a_rule_is_for_the_services_that_it_names() {
    let setup = playing(&["fcm=127.0.0.1:0", "mozilla=127.0.0.1:0"]).await;
    let key = VapidKey::generate().unwrap();
    setup.behave(r#"{"services":["fcm"],"status":503}"#).await;
    for (name, status) in [
        ("fcm", StatusCode::SERVICE_UNAVAILABLE),
        ("mozilla", StatusCode::CREATED),
    ] {
        let subscription = setup.subscription(&format!("service={name}")).await;
        let mut line = Line::to(&setup, &subscription).await;
        assert_eq!(
            line.post(&subscription, &key).await.unwrap(),
            status,
            "{name}"
        );
    }
}

/// Puts FCM out of order and returns its port.
async fn out_of_order(setup: &Setup, how: &str) -> u16 {
    let outage = json!({"services": ["fcm"], "seconds": 3600, "how": how});
    let answer = setup
        .call(Method::PUT, "/sandbox/outage", &outage.to_string())
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let url = setup.sandbox.service_urls()[0];
    url.rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_outage_breaks_connections_and_ends() {
    for how in ["refuse", "drop", "silence"] {
        let setup = playing(&["fcm=127.0.0.1:0", "mozilla=127.0.0.1:0"]).await;
        let key = VapidKey::generate().unwrap();
        let [down, up] = ["fcm", "mozilla"].map(|name| format!("service={name}"));
        let (down, up) = (
            setup.subscription(&down).await,
            setup.subscription(&up).await,
        );
        let line = Line::to(&setup, &down).await;
        let mut other = Line::to(&setup, &up).await;
        let port = out_of_order(&setup, how).await;
        let error = line.end().await.unwrap_err();
        let kind = error.get_io().map(std::io::Error::kind);
        assert_eq!(kind, Some(ErrorKind::ConnectionReset), "{how}: {error}");
        assert_eq!(connecting(port).await, how);
        // Who is not meant notices nothing.
        assert_eq!(other.post(&up, &key).await.unwrap(), StatusCode::CREATED);
        setup.call(Method::DELETE, "/sandbox/outage", "").await;
        assert_eq!(again(&setup, &down, &key).await, StatusCode::CREATED);
    }
}

/// What happens to a connection, by the name of the outage that does it.
async fn connecting(port: u16) -> &'static str {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let mut tcp = match TcpStream::connect(("127.0.0.1", port)).await {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return "refuse",
            Err(_) => return "drop",
            Ok(tcp) => tcp,
        };
        let read = tokio::time::timeout(crate::support::NOTHING, tcp.read_u8()).await;
        match read {
            Err(_) => return "silence",
            // The socket of a listener that is about to close takes a last one.
            Ok(_) if tokio::time::Instant::now() > deadline => return "drop",
            Ok(_) => {
                let next = TcpStream::connect(("127.0.0.1", port)).await;
                if next.is_ok() {
                    return "drop";
                }
            }
        }
    }
}

/// Posts as soon as somebody listens again.
async fn again(setup: &Setup, subscription: &Subscription, key: &VapidKey) -> StatusCode {
    let port = subscription.push_resource.port();
    let deadline = tokio::time::Instant::now() + LIMIT;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "nobody listens again"
        );
        tokio::task::yield_now().await;
    }
    let mut line = Line::to(setup, subscription).await;
    line.post(subscription, key).await.unwrap()
}

#[tokio::test]
async fn an_outage_ends_by_itself() {
    let setup = playing(&["fcm=127.0.0.1:0"]).await;
    let key = VapidKey::generate().unwrap();
    let subscription = setup.subscription("service=fcm").await;
    let outage = r#"{"services":["all"],"seconds":0.05}"#;
    setup.call(Method::PUT, "/sandbox/outage", outage).await;
    assert_eq!(
        again(&setup, &subscription, &key).await,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn an_outage_that_makes_no_sense_is_refused_with_what_to_do() {
    let setup = playing(&["fcm=127.0.0.1:0"]).await;
    for (outage, hint) in [
        (
            r#"{"services":["apple"],"seconds":1}"#,
            "GET /sandbox/services",
        ),
        (r#"{"services":["fcm"],"seconds":0}"#, "more than 0"),
        (r#"{"services":["fcm"],"seconds":3601}"#, "at most 3600"),
        (
            r#"{"services":["fcm"],"seconds":1,"how":"slow"}"#,
            "silence",
        ),
        (r#"{"services":["fcm"]}"#, "seconds"),
    ] {
        let answer = setup.call(Method::PUT, "/sandbox/outage", outage).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{outage}");
        assert!(answer.text().contains(hint), "{outage}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_sandbox_can_misbehave_from_the_start() {
    let setup = Setup::with(|options| {
        options.seed = Some(5);
        options.behaviour = Some(r#"{"status":503,"times":3}"#.to_owned());
    })
    .await;
    let shown = setup.get("/sandbox/behaviour").await;
    assert_eq!(shown["seed"], 5);
    assert_eq!(shown["rules"][0]["times"], 3);
    let clock = std::sync::Arc::new(crate::support::now);
    let randomness = std::sync::Arc::new(tidings_webpush::SystemRandomness);
    let mut options = SandboxOptions::new(clock, randomness);
    options.behaviour = Some("{\"satus\":503}".to_owned());
    let error = Sandbox::start(options).await.unwrap_err();
    assert!(matches!(&error, SandboxError::Behaviour(why) if why.contains("satus")));
}
