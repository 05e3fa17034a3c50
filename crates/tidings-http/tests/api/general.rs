//! What holds for all endpoints: authentication, bodies, paths, methods, faults.

use axum::body::Body;
use futures_util::stream;
use http::{Method, Request, StatusCode};
use serde_json::json;

use crate::harness::{APP, Call, FOR_ANYBODY, Harness, Transcript};

#[tokio::test]
async fn a_back_end_shows_a_token() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let list = || Call::get("/v1/messages");
    transcript.send("no token", list()).await;
    transcript
        .send("a wrong token", list().bearer(&"x".repeat(40)))
        .await;
    transcript
        .send(
            "another scheme",
            list().header("authorization", "Basic eDp5"),
        )
        .await;
    transcript
        .send(
            "no application of that name",
            list().admin().header("tidings-application", "shop"),
        )
        .await;
    transcript
        .send(
            "the application's name",
            list().admin().header("tidings-application", "default"),
        )
        .await;
    transcript.check("back_end_authentication");
}

#[tokio::test]
async fn every_back_end_endpoint_wants_the_token() {
    let harness = Harness::new().await;
    let document = tidings_http::openapi_json();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let for_anybody = path.starts_with("/v1/apps/") || FOR_ANYBODY.contains(&&**path);
        for (method, _) in item.as_object().unwrap().iter().filter(|_| !for_anybody) {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let call = Call::new(method, &path.replace("{id}", "x")).json(&json!({}));
            let answer = harness.send(call).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}: {answer}");
            asked += 1;
        }
    }
    assert!(asked >= 11, "only {asked} endpoints found");
}

#[tokio::test]
async fn bodies_are_json_and_bounded() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let whole = harness.browser_subscription();
    let post = || Call::post(&format!("{APP}/subscriptions"));
    let json = || post().header("content-type", "application/json; charset=utf-8");
    transcript.send("no body and no type", post()).await;
    transcript
        .send(
            "a form",
            post()
                .header("content-type", "application/x-www-form-urlencoded")
                .body("a=b"),
        )
        .await;
    transcript
        .send(
            "compressed",
            json().header("content-encoding", "gzip").body("x"),
        )
        .await;
    transcript.send("no body", json()).await;
    transcript
        .send("not JSON", json().body("{\"endpoint\": "))
        .await;
    transcript
        .send("more than JSON", json().body(format!("{whole} {{}}")))
        .await;
    let list = json!([whole["endpoint"], whole["keys"]]).to_string();
    transcript
        .send("the members as a list", json().body(list))
        .await;
    let deep = format!("{{\"attributes\": {{\"a\": {}", "[".repeat(10_000));
    transcript.send("deep JSON", json().body(deep)).await;
    transcript
        .send("10 MB of JSON", json().body(vec![b' '; 10_000_000]))
        .await;
    transcript.check("bodies");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_bounded_too() {
    let harness = Harness::new().await;
    let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1024]));
    let answer = harness
        .send_request(streamed(Body::from_stream(chunks)))
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_problem() {
    let harness = Harness::new().await;
    let broken = stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("reset")) });
    let answer = harness
        .send_request(streamed(Body::from_stream(broken)))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer}");
    assert_eq!(
        answer.json()["type"],
        "urn:tidings:problem:body-interrupted"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let harness = Harness::new().await;
    let silent = stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let answer = harness
        .send_request(streamed(Body::from_stream(silent)))
        .await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT, "{answer}");
    assert_eq!(answer.json()["type"], "urn:tidings:problem:body-timeout");
}

fn streamed(body: Body) -> Request<Body> {
    Request::post(format!("{APP}/subscriptions"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    transcript
        .send("no such path", Call::get("/v2/messages"))
        .await;
    transcript
        .send(
            "a method of no path",
            Call::new(Method::PUT, "/v1/messages").admin(),
        )
        .await;
    transcript
        .send(
            "a method that pages do not use",
            Call::new(Method::PUT, &format!("{APP}/receipts")),
        )
        .await;
    transcript
        .send(
            "an application that is not one",
            Call::get("/v1/apps/shop/vapid-public-key"),
        )
        .await;
    transcript.check("paths_and_methods");
}

#[tokio::test]
async fn health_is_told() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    transcript.send("alive", Call::get("/healthz")).await;
    transcript.send("ready", Call::get("/readyz")).await;
    transcript.check("health");
}

/// Takes as long as the store waits for a lock: 5 seconds.
#[tokio::test]
async fn a_locked_database_is_unavailable_and_says_nothing_more() {
    let harness = Harness::new().await;
    let database = harness.database();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut transcript = Transcript::new(&harness);
    transcript.send("not ready", Call::get("/readyz")).await;
    transcript
        .send("alive all the same", Call::get("/healthz"))
        .await;
    transcript.check("unavailable");
}

#[tokio::test]
async fn a_fault_of_ours_tells_nothing_but_the_request_id() {
    let harness = Harness::new().await;
    harness
        .database()
        .execute_batch(
            "DROP TABLE receipts; DROP TABLE deliveries; DROP TABLE batches; DROP TABLE messages",
        )
        .unwrap();
    let mut transcript = Transcript::new(&harness);
    transcript
        .send("a table is missing", Call::get("/v1/messages").admin())
        .await;
    transcript.check("internal");
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own() {
    let harness = Harness::new().await;
    let call = || Call::get("/healthz").header("x-request-id", "mine");
    let first = harness.send(call()).await;
    let second = harness.send(call()).await;
    let id = first.header("x-request-id").unwrap();
    assert!(id.starts_with("req_") && id.len() == 36, "{id}");
    assert_ne!(Some(id), second.header("x-request-id"));
}
