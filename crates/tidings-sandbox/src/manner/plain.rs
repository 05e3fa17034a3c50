use axum::response::{IntoResponse, Response};
use http::header::{HeaderName, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use tidings_webpush::verify::VerifyError;

use crate::refusal::Refusal;

pub(super) const TTL: HeaderName = HeaderName::from_static("ttl");

pub(super) fn accepted(location: &str, ttl_s: u32) -> Response {
    // RFC 8030 §5.2: the TTL in the answer is the one that was granted.
    let headers = [(LOCATION, location.to_owned()), (TTL, ttl_s.to_string())];
    (StatusCode::CREATED, headers).into_response()
}

pub(super) fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        // RFC 8030 §7.3 knows nothing but 404.
        Refusal::Gone => StatusCode::NOT_FOUND,
        // RFC 8292 §4.2: 401 where identification is missing, 403 where it is wrong.
        Refusal::Vapid(VerifyError::Missing | VerifyError::Scheme) => StatusCode::UNAUTHORIZED,
        Refusal::Vapid(_) | Refusal::OtherKey => StatusCode::FORBIDDEN,
        _ => refusal.status(),
    };
    let text = format!("{refusal}\n{}\n", refusal.more_info());
    let mut response = (status, text).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("vapid");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
