use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use thiserror::Error;
use tidings_webpush::verify::VerifyError;
use tidings_webpush::{TopicError, TtlError, UrgencyError};

/// Why a push message was refused, with the status and error number that Mozilla's push service
/// has for it.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error("no subscription has this endpoint: send to it exactly as the browser gave it")]
    UnknownSubscription,
    #[error("the subscription has ended: delete it")]
    Gone,
    #[error(
        "no undelivered message has this address: it was delivered, replaced or withdrawn, or it expired"
    )]
    UnknownMessage,
    #[error("{name} is there more than once: send one value")]
    RepeatedHeader { name: &'static str },
    #[error("TTL: {0}")]
    Ttl(#[source] TtlError),
    #[error("Urgency: {0}")]
    Urgency(#[source] UrgencyError),
    #[error("Topic: {0}")]
    Topic(#[source] TopicError),
    #[error("encryption headers: {0}")]
    Encryption(&'static str),
    #[error("the body is over {limit} octets: shorten the payload")]
    TooLarge { limit: usize },
    #[error("the body ended early or took too long")]
    Incomplete,
    #[error("{0}")]
    Vapid(#[source] VerifyError),
    #[error(
        "the VAPID public key is not the one that the subscription was made with: sign with that one, or subscribe anew"
    )]
    OtherKey,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::UnknownSubscription | Self::UnknownMessage => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::RepeatedHeader { .. }
            | Self::Ttl(_)
            | Self::Urgency(_)
            | Self::Topic(_)
            | Self::Encryption(_) => StatusCode::BAD_REQUEST,
            Self::Incomplete => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Vapid(_) | Self::OtherKey => StatusCode::UNAUTHORIZED,
        }
    }

    fn errno(&self) -> Option<u16> {
        match self {
            Self::UnknownSubscription | Self::UnknownMessage => Some(102),
            Self::Gone => Some(106),
            Self::Ttl(_) => Some(111),
            Self::Topic(_) => Some(113),
            Self::Encryption(_) => Some(110),
            Self::TooLarge { .. } => Some(104),
            Self::Vapid(_) | Self::OtherKey => Some(109),
            Self::RepeatedHeader { .. } | Self::Urgency(_) | Self::Incomplete => None,
        }
    }

    /// The text that says how it should be.
    fn more_info(&self) -> &'static str {
        match self {
            Self::UnknownSubscription | Self::Gone => {
                "https://www.rfc-editor.org/rfc/rfc8030#section-7.3"
            }
            Self::UnknownMessage => "https://www.rfc-editor.org/rfc/rfc8030#section-6.2",
            Self::Ttl(_) => "https://www.rfc-editor.org/rfc/rfc8030#section-5.2",
            Self::Urgency(_) => "https://www.rfc-editor.org/rfc/rfc8030#section-5.3",
            Self::Topic(_) => "https://www.rfc-editor.org/rfc/rfc8030#section-5.4",
            Self::RepeatedHeader { .. } | Self::Incomplete => {
                "https://www.rfc-editor.org/rfc/rfc8030#section-5"
            }
            Self::Encryption(_) => "https://www.rfc-editor.org/rfc/rfc8291#section-4",
            Self::TooLarge { .. } => "https://www.rfc-editor.org/rfc/rfc8030#section-7.2",
            Self::Vapid(_) => "https://www.rfc-editor.org/rfc/rfc8292#section-2",
            Self::OtherKey => "https://www.rfc-editor.org/rfc/rfc8292#section-4.2",
        }
    }
}

#[derive(Serialize)]
struct Body {
    code: u16,
    errno: Option<u16>,
    error: &'static str,
    message: String,
    more_info: &'static str,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = Json(Body {
            code: status.as_u16(),
            errno: self.errno(),
            error: status.canonical_reason().unwrap_or_default(),
            message: self.to_string(),
            more_info: self.more_info(),
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
}
