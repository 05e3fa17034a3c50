//! How often anybody may ask, and what whoever asked too often is told.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tidings_http::RateLimitSettings;

use crate::harness::{APP, Answer, Call, Harness, SITE, Setup, Transcript};

/// A stranger's address.
const STRANGER: &str = "192.0.2.1";

/// Limits that a test reaches soon.
const FEW: RateLimitSettings = {
    let mut settings = NONE;
    settings.page_requests_per_minute = 6;
    settings.receipt_requests_per_minute = 3;
    settings.new_subscriptions_per_hour = 2;
    settings.failed_authentications_per_minute = 3;
    settings.api_requests_per_second = 4;
    settings
};

const NONE: RateLimitSettings = RateLimitSettings {
    page_requests_per_minute: 0,
    receipt_requests_per_minute: 0,
    new_subscriptions_per_hour: 0,
    failed_authentications_per_minute: 0,
    api_requests_per_second: 0,
};

async fn harness(rate_limits: RateLimitSettings) -> Harness {
    Harness::with(Setup {
        rate_limits,
        ..Setup::default()
    })
    .await
}

fn key() -> Call {
    Call::get(&format!("{APP}/vapid-public-key"))
}

fn receipts() -> Call {
    Call::post(&format!("{APP}/receipts")).json(&json!([]))
}

fn list() -> Call {
    Call::get("/v1/messages")
}

/// How many of `count` calls are not refused for their number.
async fn passing(harness: &Harness, count: usize, call: impl Fn() -> Call) -> usize {
    let mut passing = 0;
    for _ in 0..count {
        let answer = harness.send(call()).await;
        passing += usize::from(answer.status != StatusCode::TOO_MANY_REQUESTS);
    }
    passing
}

fn is_refused(answer: &Answer) -> bool {
    answer.status == StatusCode::TOO_MANY_REQUESTS
}

#[tokio::test]
async fn the_answers_tell_what_is_left_and_what_to_do() {
    let harness = harness(FEW).await;
    let mut transcript = Transcript::new(&harness);
    let page = || receipts().coming_from(STRANGER).header("origin", SITE);
    transcript.send("the first", page()).await;
    transcript.send("the second", page()).await;
    transcript.send("the last", page()).await;
    transcript.send("one too many", page()).await;
    harness.clock.advance(Duration::from_millis(19_001));
    transcript
        .send("almost a third of a minute later", page())
        .await;
    harness.clock.advance(Duration::from_millis(999));
    transcript.send("a third of a minute later", page()).await;
    transcript.check("rate_limits_of_pages");
}

#[tokio::test]
async fn back_ends_are_counted_by_their_token() {
    let harness = harness(FEW).await;
    let mut transcript = Transcript::new(&harness);
    let call = || list().admin().coming_from(STRANGER);
    transcript.send("the first", call()).await;
    assert_eq!(passing(&harness, 5, call).await, 3);
    transcript.send("one too many", call()).await;
    assert_eq!(
        passing(&harness, 5, || list().admin().coming_from("192.0.2.9")).await,
        0,
        "the same token from elsewhere"
    );
    harness.clock.advance(Duration::from_millis(250));
    transcript.send("a quarter of a second later", call()).await;
    transcript.check("rate_limits_of_back_ends");
}

#[tokio::test]
async fn every_address_counts_for_itself_and_receipts_apart() {
    let harness = harness(FEW).await;
    let from = |call: fn() -> Call, address: &'static str| move || call().coming_from(address);
    assert_eq!(passing(&harness, 9, from(key, STRANGER)).await, 6);
    assert_eq!(passing(&harness, 9, from(receipts, STRANGER)).await, 3);
    assert_eq!(passing(&harness, 9, from(key, "192.0.2.2")).await, 6);
    assert_eq!(passing(&harness, 9, from(key, "2001:db8::1")).await, 6);
    assert_eq!(
        passing(&harness, 9, from(key, "2001:db8::2:3:4")).await,
        0,
        "the same /64"
    );
    assert_eq!(passing(&harness, 9, from(key, "2001:db8:0:1::1")).await, 6);
    for free in [
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/sdk/tidings.js",
        "/demo",
    ] {
        let ask = || Call::get(free).coming_from(STRANGER);
        assert_eq!(passing(&harness, 9, ask).await, 9, "{free}");
    }
}

#[tokio::test]
async fn preflights_are_free() {
    let harness = harness(FEW).await;
    let preflight = || {
        Call::new(http::Method::OPTIONS, &format!("{APP}/receipts"))
            .header("origin", SITE)
            .header("access-control-request-method", "POST")
            .coming_from(STRANGER)
    };
    assert_eq!(passing(&harness, 20, preflight).await, 20);
    let answer = harness.send(receipts().coming_from(STRANGER)).await;
    assert_eq!(
        answer.header("ratelimit"),
        Some("\"receipt-requests\";r=2;t=20")
    );
}

#[tokio::test]
async fn guessing_is_slowed_and_a_neighbours_mistakes_shut_nobody_out() {
    let harness = harness(FEW).await;
    let admin = || list().admin().coming_from(STRANGER);
    assert_eq!(harness.send(admin()).await.status, StatusCode::OK);
    let guess = || list().bearer(&"x".repeat(40)).coming_from(STRANGER);
    let mut transcript = Transcript::new(&harness);
    assert_eq!(passing(&harness, 3, guess).await, 3);
    transcript.send("one guess too many", guess()).await;
    transcript.check("rate_limits_of_guesses");
    assert!(
        is_refused(&harness.send(list().coming_from(STRANGER)).await),
        "no token at all"
    );
    assert_eq!(
        harness.send(admin()).await.status,
        StatusCode::OK,
        "its token was right before"
    );
    let elsewhere = "192.0.2.2";
    let guess = || list().bearer(&"x".repeat(40)).coming_from(elsewhere);
    assert_eq!(passing(&harness, 9, guess).await, 3);
    assert!(
        is_refused(&harness.send(list().admin().coming_from(elsewhere)).await),
        "not even the right one is listened to"
    );
    let of_our_form = format!("tdg_{}", "A".repeat(43));
    let unknown = list().bearer(&of_our_form).coming_from(elsewhere);
    assert_eq!(
        harness.send(unknown).await.status,
        StatusCode::UNAUTHORIZED,
        "what nobody can guess is looked up"
    );
    harness.clock.advance(Duration::from_secs(20));
    let answer = harness.send(list().admin().coming_from(elsewhere)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn only_new_subscriptions_count_as_new() {
    let settings = RateLimitSettings {
        page_requests_per_minute: 0,
        ..FEW
    };
    let harness = harness(settings).await;
    let post = |body: &serde_json::Value| {
        Call::post(&format!("{APP}/subscriptions"))
            .json(body)
            .coming_from(STRANGER)
    };
    let (first, second, third) = (
        harness.browser_subscription(),
        harness.browser_subscription(),
        harness.browser_subscription(),
    );
    let created = harness.send(post(&first)).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(
        created.header("ratelimit"),
        Some("\"new-subscriptions\";r=1;t=1800")
    );
    for _ in 0..5 {
        assert_eq!(harness.send(post(&first)).await.status, StatusCode::OK);
        assert_eq!(
            harness.send(post(&json!({}))).await.status,
            StatusCode::UNPROCESSABLE_ENTITY
        );
        let mut elsewhere = third.clone();
        elsewhere["endpoint"] = json!("https://push.elsewhere.example/x");
        assert_eq!(
            harness.send(post(&elsewhere)).await.status,
            StatusCode::UNPROCESSABLE_ENTITY
        );
        let mut other_keys = first.clone();
        other_keys["keys"] = third["keys"].clone();
        assert_eq!(
            harness.send(post(&other_keys)).await.status,
            StatusCode::CONFLICT
        );
    }
    assert_eq!(
        harness.send(post(&second)).await.status,
        StatusCode::CREATED
    );
    let mut transcript = Transcript::new(&harness);
    transcript.send("one too many", post(&third)).await;
    transcript.send("a known one", post(&first)).await;
    transcript.check("rate_limits_of_new_subscriptions");
    let answer = harness.send(post(&third).coming_from("192.0.2.2")).await;
    assert_eq!(answer.status, StatusCode::CREATED, "from elsewhere");
    harness.clock.advance(Duration::from_mins(30));
    let fourth = harness.browser_subscription();
    assert_eq!(
        harness.send(post(&fourth)).await.status,
        StatusCode::CREATED
    );
    let by_back_end = Call::post("/v1/subscriptions")
        .json(&harness.browser_subscription())
        .admin()
        .coming_from(STRANGER);
    assert_eq!(harness.send(by_back_end).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn behind_a_trusted_proxy_its_clients_count() {
    let harness = Harness::with(Setup {
        rate_limits: FEW,
        trusted_proxies: &["127.0.0.1/32", "10.0.0.0/8"],
        ..Setup::default()
    })
    .await;
    let by_proxy = |forwarded: &'static str| {
        move || {
            key()
                .coming_from("127.0.0.1")
                .header("x-forwarded-for", forwarded)
        }
    };
    assert_eq!(passing(&harness, 9, by_proxy("192.0.2.1")).await, 6);
    assert_eq!(
        passing(&harness, 9, by_proxy("192.0.2.2, 10.0.0.1")).await,
        6
    );
    assert_eq!(
        passing(&harness, 9, by_proxy("6.6.6.6, 192.0.2.1")).await,
        0,
        "an invented one"
    );
    let direct = || {
        key()
            .coming_from(STRANGER)
            .header("x-forwarded-for", "192.0.2.77")
    };
    assert_eq!(
        passing(&harness, 9, direct).await,
        0,
        "a stranger is who it is"
    );
    assert_eq!(
        passing(&harness, 9, || key().coming_from("127.0.0.1")).await,
        6
    );
}

#[tokio::test]
async fn this_machine_is_limited_unless_the_server_is_there_for_it_alone() {
    let local = "http://127.0.0.1:8030";
    let page = "http://localhost:8080";
    for (public_url, cors_origin, peer, forwarded, limited) in [
        (local, page, "127.0.0.1", None, false),
        (local, page, "::1", None, false),
        ("http://localhost:8030", page, "127.0.0.1", None, false),
        ("http://[::1]:8030", page, "127.0.0.1", None, false),
        (local, page, "127.0.0.1", Some("x-forwarded-for"), true),
        (local, page, "127.0.0.1", Some("forwarded"), true),
        (local, page, "192.0.2.1", None, true),
        (local, SITE, "127.0.0.1", None, true),
        ("https://push.example.org", page, "127.0.0.1", None, true),
        ("https://localhost.example", page, "127.0.0.1", None, true),
    ] {
        let harness = Harness::with(Setup {
            rate_limits: FEW,
            public_url,
            cors_origin,
            ..Setup::default()
        })
        .await;
        for call in [key(), list(), list().admin(), receipts()] {
            let call = forwarded
                .into_iter()
                .fold(call.coming_from(peer), |call, name| {
                    call.header(name, "192.0.2.1")
                });
            let request = call.into_request();
            let mut passed = 0;
            for _ in 0..10 {
                let (head, ()) = http::Request::builder()
                    .method(request.method())
                    .uri(request.uri())
                    .body(())
                    .unwrap()
                    .into_parts();
                let mut again = http::Request::from_parts(head, axum::body::Body::empty());
                *again.headers_mut() = request.headers().clone();
                *again.extensions_mut() = request.extensions().clone();
                passed += usize::from(!is_refused(&harness.send_request(again).await));
            }
            let uri = request.uri();
            assert_eq!(
                passed < 10,
                limited,
                "{uri} of {public_url} from {peer} {forwarded:?}"
            );
        }
    }
}

#[tokio::test]
async fn without_limits_nothing_is_told() {
    let harness = harness(NONE).await;
    let answer = harness.send(key().coming_from(STRANGER)).await;
    assert_eq!(answer.header("ratelimit"), None);
    assert_eq!(answer.header("ratelimit-policy"), None);
    assert_eq!(
        passing(&harness, 50, || receipts().coming_from(STRANGER)).await,
        50
    );
}
