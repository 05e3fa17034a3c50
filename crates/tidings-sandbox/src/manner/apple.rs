use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use tidings_webpush::verify::VerifyError;
use uuid::Uuid;

use crate::refusal::Refusal;

#[derive(Serialize)]
struct Body {
    reason: &'static str,
}

pub(super) fn accepted(id: Uuid) -> Response {
    (StatusCode::CREATED, [("apns-id", id.to_string())]).into_response()
}

pub(super) fn refused(refusal: &Refusal, id: Uuid) -> Response {
    let (status, reason) = match refusal {
        Refusal::Ttl(_)
        | Refusal::NegativeTtl
        | Refusal::TtlZero
        | Refusal::RepeatedHeader { name: "TTL" } => (StatusCode::BAD_REQUEST, "BadTtl"),
        Refusal::Urgency(_) | Refusal::RepeatedHeader { name: "Urgency" } => {
            (StatusCode::BAD_REQUEST, "BadUrgency")
        }
        Refusal::Topic(_) | Refusal::RepeatedHeader { name: "Topic" } => {
            (StatusCode::BAD_REQUEST, "BadWebPushTopic")
        }
        Refusal::Vapid(VerifyError::PublicKey(_)) => (StatusCode::FORBIDDEN, "BadVapidPublicKey"),
        Refusal::Vapid(_) | Refusal::NoContact | Refusal::Contact(_) => {
            (StatusCode::FORBIDDEN, "BadJwtToken")
        }
        // Most reports say 400, some 403.
        Refusal::OtherKey => (StatusCode::BAD_REQUEST, "VapidPkHashMismatch"),
        _ => return with_status(refusal.status(), id),
    };
    answer(status, reason, id)
}

/// Where the words of Web Push are not known, they are those of Apple's native service.
pub(super) fn with_status(status: StatusCode, id: Uuid) -> Response {
    let reason = match status.as_u16() {
        401 | 403 => "BadJwtToken",
        404 => "BadPath",
        405 => "MethodNotAllowed",
        410 => "Unregistered",
        413 => "PayloadTooLarge",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        500..=599 => "InternalServerError",
        _ => "BadWebPushRequest",
    };
    answer(status, reason, id)
}

fn answer(status: StatusCode, reason: &'static str, id: Uuid) -> Response {
    (status, [("apns-id", id.to_string())], Json(Body { reason })).into_response()
}
