//! What every answer has: an id, a log line, a problem document where there was a problem.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tracing::{Instrument as _, field};

use crate::problem::ApiError;
use crate::problem::document::PendingProblem;
use crate::state::AppState;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Surrounds the whole router. The request's id is always ours: one that a stranger chooses would
/// not lead to one line of the log.
pub(crate) async fn surround(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let id = new_request_id(&state);
    let span = tracing::info_span!(
        "request",
        request.id = id,
        http.method = %request.method(),
        // The template, never the path: that holds identifiers.
        http.route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str),
        caller = field::Empty,
        http.status = field::Empty,
        duration_ms = field::Empty,
    );
    answer(request, next, &id).instrument(span).await
}

async fn answer(request: Request, next: Next, id: &str) -> Response {
    let started = Instant::now();
    // A panic is a fault of ours, and one caller's only: the connection and its other streams live.
    let caught = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = caught.unwrap_or_else(|panic| {
        ApiError::Internal(format!("a handler panicked: {}", words(&*panic))).into_response()
    });
    if let Some(problem) = response.extensions_mut().remove::<PendingProblem>() {
        response = problem.finish(std::mem::take(response.headers_mut()), id);
    }
    add_headers(response.headers_mut(), id);
    log(&response, started.elapsed());
    response
}

fn new_request_id(state: &AppState) -> String {
    let mut random = [0; 10];
    state.randomness().fill(&mut random);
    // The instant first, so that ids sort as the log does.
    let milliseconds = state.server().clock().now().as_millis();
    let random = random
        .iter()
        .fold(0_u128, |bits, octet| bits << 8 | u128::from(*octet));
    format!("req_{milliseconds:012x}{random:020x}")
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

fn log(response: &Response, duration: Duration) {
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    let span = tracing::Span::current();
    span.record("http.status", status);
    span.record("duration_ms", duration_ms);
    tracing::debug!("answered with {status} after {duration_ms} ms");
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_like_any_fault_of_ours() {
        async fn fail() -> &'static str {
            panic!("with a secret")
        }
        let router = Router::new().route("/", get(fail)).layer(from_fn(
            async |request: Request, next: Next| answer(request, next, "req_1").await,
        ));
        let request = Request::new(Body::empty());
        let (head, body) = router.oneshot(request).await.unwrap().into_parts();
        assert_eq!(head.status, 500);
        assert_eq!(head.headers["x-request-id"], "req_1");
        let body: Value =
            serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(
            body,
            json!({
                "type": "urn:tidings:problem:internal",
                "title": "The server failed",
                "status": 500,
                "instance": "req_1",
            })
        );
    }
}
