//! Which pages may call: the Origin rule and CORS (Fetch §3.3), for the endpoints of pages.

use axum::extract::{FromRequestParts as _, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tidings_core::application::Application;

use crate::extract::path::App;
use crate::problem::ApiError;
use crate::state::AppState;

/// The most characters of a refused origin that the answer repeats.
const MAX_ORIGIN_CHARACTERS: usize = 200;

/// Lets requests without an `Origin` pass, and those whose origin is the server's own or on the
/// application's list. The others are refused: a browser would only keep the answer from the page,
/// and the request would have had its effect.
pub(crate) async fn check(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let application = App::from_request_parts(&mut parts, &state).await;
    let checked = application.and_then(|App(app)| allowed_origin(&parts.headers, &app, &state));
    let allowed = match checked {
        Ok(allowed) => allowed,
        Err(error) => return with_vary(error.into_response()),
    };
    let is_preflight = parts.method == Method::OPTIONS
        && allowed.is_some()
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        answer_preflight()
    } else {
        next.run(Request::from_parts(parts, body)).await
    };
    if let Some(origin) = allowed {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "etag, ratelimit, ratelimit-policy, retry-after, x-request-id",
            ),
        );
    }
    with_vary(response)
}

/// The request's origin if it may call; `None` if it names none.
fn allowed_origin(
    headers: &HeaderMap,
    application: &Application,
    state: &AppState,
) -> Result<Option<HeaderValue>, ApiError> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(None);
    };
    let is_listed = |text: &str| {
        let mut listed = application.cors_origins.iter().chain([state.own_origin()]);
        listed.any(|allowed| allowed.as_str() == text)
    };
    // Browsers write an origin in one way only, so octets are compared.
    if origin.to_str().is_ok_and(is_listed) {
        return Ok(Some(origin.clone()));
    }
    let shown = String::from_utf8_lossy(origin.as_bytes());
    Err(ApiError::OriginNotAllowed {
        origin: shown.chars().take(MAX_ORIGIN_CHARACTERS).collect(),
    })
}

fn answer_preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, DELETE"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        // Two hours: no browser keeps it longer than Chrome does.
        (ACCESS_CONTROL_MAX_AGE, "7200"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Caches must not give one page's answer to another.
fn with_vary(mut response: Response) -> Response {
    response
        .headers_mut()
        .append(VARY, HeaderValue::from_static("Origin"));
    response
}
