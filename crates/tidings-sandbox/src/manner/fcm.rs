use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use tidings_webpush::verify::VerifyError;

use crate::refusal::Refusal;

const GONE: &str = "push subscription has unsubscribed or expired.\n";
const NOT_FOUND: &str = "A valid push subscription endpoint should be specified in the URL as such: \
    https://fcm.googleapis.com/wp/\n";
const OTHER_KEY: &str = "the VAPID credentials in the authorization header do not correspond to the \
    credentials used to create the subscriptions.\n";
const BAD_TOKEN: &str = "invalid JWT provided\n";
const UNIDENTIFIED: &str = "<HTML>\n<HEAD>\n<TITLE>UnauthorizedRegistration</TITLE>\n</HEAD>\n\
    <BODY BGCOLOR=\"#FFFFFF\" TEXT=\"#000000\">\n<H1>UnauthorizedRegistration</H1>\n\
    <H2>Error 400</H2>\n</BODY>\n</HTML>\n";

pub(super) fn accepted(location: &str) -> Response {
    (StatusCode::CREATED, [(LOCATION, location)]).into_response()
}

pub(super) fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Vapid(VerifyError::Missing | VerifyError::Scheme) => {
            (StatusCode::BAD_REQUEST, Html(UNIDENTIFIED)).into_response()
        }
        Refusal::Vapid(_) => (StatusCode::FORBIDDEN, BAD_TOKEN).into_response(),
        Refusal::OtherKey => (StatusCode::FORBIDDEN, OTHER_KEY).into_response(),
        Refusal::Ttl(_) | Refusal::NegativeTtl => {
            (StatusCode::BAD_REQUEST, format!("InvalidTtl: {refusal}\n")).into_response()
        }
        _ if refusal.status() == StatusCode::BAD_REQUEST => {
            (StatusCode::BAD_REQUEST, format!("{refusal}\n")).into_response()
        }
        _ => with_status(refusal.status()),
    }
}

pub(super) fn with_status(status: StatusCode) -> Response {
    let text = match status.as_u16() {
        401 | 403 => BAD_TOKEN.to_owned(),
        404 => NOT_FOUND.to_owned(),
        410 => GONE.to_owned(),
        _ => format!("{}\n", status.canonical_reason().unwrap_or_default()),
    };
    (status, text).into_response()
}
