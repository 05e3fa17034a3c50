use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::plain::TTL;
use crate::refusal::Refusal;

#[derive(Serialize)]
struct Body {
    code: u16,
    errno: Option<u16>,
    error: &'static str,
    message: String,
    more_info: &'static str,
}

pub(super) fn accepted(location: &str, ttl_s: u32) -> Response {
    let headers = [(LOCATION, location.to_owned()), (TTL, ttl_s.to_string())];
    (StatusCode::CREATED, headers).into_response()
}

pub(super) fn refused(refusal: &Refusal) -> Response {
    answer(
        refusal.status(),
        errno(refusal),
        refusal.to_string(),
        refusal.more_info(),
    )
}

pub(super) fn with_status(status: StatusCode) -> Response {
    let errno = match status.as_u16() {
        401 => Some(109),
        404 => Some(102),
        410 => Some(105),
        413 => Some(104),
        502 => Some(902),
        503 => Some(201),
        _ => None,
    };
    let message = "a rule of the sandbox says so".to_owned();
    let more_info = "https://www.rfc-editor.org/rfc/rfc8030";
    answer(status, errno, message, more_info)
}

fn errno(refusal: &Refusal) -> Option<u16> {
    match refusal {
        Refusal::UnknownSubscription | Refusal::UnknownMessage => Some(102),
        Refusal::Gone => Some(106),
        Refusal::Ttl(_) | Refusal::TtlZero | Refusal::CachePolicy => Some(111),
        Refusal::Topic(_) => Some(113),
        // Its documents say 112; this is what it does.
        Refusal::NegativeTtl => Some(114),
        Refusal::Encryption(_) => Some(110),
        Refusal::TooLarge { .. } => Some(104),
        Refusal::Vapid(_) | Refusal::OtherKey | Refusal::NoContact | Refusal::Contact(_) => {
            Some(109)
        }
        Refusal::RepeatedHeader { .. }
        | Refusal::Urgency(_)
        | Refusal::Chunked
        | Refusal::TooLate => None,
    }
}

fn answer(
    status: StatusCode,
    errno: Option<u16>,
    message: String,
    more_info: &'static str,
) -> Response {
    let body = Json(Body {
        code: status.as_u16(),
        errno,
        error: status.canonical_reason().unwrap_or_default(),
        message,
        more_info,
    });
    let mut response = (status, body).into_response();
    match status {
        StatusCode::UNAUTHORIZED => {
            // RFC 8292 §4.2: the challenge has no parameters.
            let challenge = HeaderValue::from_static("vapid");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        StatusCode::GONE => {
            let a_day = HeaderValue::from_static("max-age=86400");
            response.headers_mut().insert(CACHE_CONTROL, a_day);
        }
        _ => {}
    }
    response
}
