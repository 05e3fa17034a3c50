use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode};
use uuid::Uuid;

use crate::refusal::Refusal;

pub(super) fn accepted(id: Uuid) -> Response {
    answer(StatusCode::CREATED, "received", None, id)
}

pub(super) fn refused(refusal: &Refusal, id: Uuid) -> Response {
    let (status, words) = match refusal {
        Refusal::CachePolicy => (
            StatusCode::BAD_REQUEST,
            "Ttl value conflicts with X-WNS-Cache-Policy.".to_owned(),
        ),
        Refusal::Vapid(_) => (
            StatusCode::UNAUTHORIZED,
            "The authorization token is not valid.".to_owned(),
        ),
        // The channel belongs to another application.
        Refusal::OtherKey => (StatusCode::FORBIDDEN, refusal.to_string()),
        _ => (refusal.status(), refusal.to_string()),
    };
    answer(status, "dropped", Some(&words), id)
}

pub(super) fn with_status(status: StatusCode, id: Uuid) -> Response {
    answer(status, "dropped", status.canonical_reason(), id)
}

/// Bodies are always empty: what there is to say is in headers.
fn answer(status: StatusCode, wns_status: &'static str, words: Option<&str>, id: Uuid) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert("x-wns-status", HeaderValue::from_static(wns_status));
    let id = id.simple().to_string().to_ascii_uppercase();
    let message_id = id.get(..16).unwrap_or(&id);
    let texts = [
        ("x-wns-msg-id", Some(message_id)),
        ("ms-cv", Some(id.as_str())),
        ("x-wns-error-description", words),
    ];
    for (name, text) in texts {
        // Words outside ASCII have no place in a header; there are none so far.
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(name, value);
        }
    }
    (status, headers).into_response()
}
