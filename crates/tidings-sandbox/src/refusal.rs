use http::StatusCode;
use thiserror::Error;
use tidings_webpush::verify::VerifyError;
use tidings_webpush::{ContactError, TopicError, TtlError, UrgencyError};

/// Why a push message was refused. How that is worded is the personality's matter.
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
    #[error("TTL: it must not be negative")]
    NegativeTtl,
    #[error("TTL: it must be 1 or more")]
    TtlZero,
    #[error("TTL 0 goes with X-WNS-Cache-Policy: no-cache, and any other TTL without")]
    CachePolicy,
    #[error("Urgency: {0}")]
    Urgency(#[source] UrgencyError),
    #[error("Topic: {0}")]
    Topic(#[source] TopicError),
    #[error("encryption headers: {0}")]
    Encryption(&'static str),
    #[error("the body is over {limit} octets: shorten the payload")]
    TooLarge { limit: usize },
    #[error("chunked coding is not taken: send Content-Length")]
    Chunked,
    #[error("the body took too long")]
    TooLate,
    #[error("{0}")]
    Vapid(#[source] VerifyError),
    #[error("the token has no sub: give a contact")]
    NoContact,
    #[error("the token's sub: {0}")]
    Contact(#[source] ContactError),
    #[error(
        "the VAPID public key is not the one that the subscription was made with: sign with that one, or subscribe anew"
    )]
    OtherKey,
}

impl Refusal {
    /// The status that most push services have for it, or else Mozilla's.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::UnknownSubscription | Self::UnknownMessage => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::RepeatedHeader { .. }
            | Self::Ttl(_)
            | Self::NegativeTtl
            | Self::TtlZero
            | Self::CachePolicy
            | Self::Chunked
            | Self::Urgency(_)
            | Self::Topic(_)
            | Self::Encryption(_) => StatusCode::BAD_REQUEST,
            Self::TooLate => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Vapid(_) | Self::OtherKey | Self::NoContact | Self::Contact(_) => {
                StatusCode::UNAUTHORIZED
            }
        }
    }

    /// The text that says how it should be.
    pub(crate) fn more_info(&self) -> &'static str {
        match self {
            Self::UnknownSubscription | Self::Gone => {
                "https://www.rfc-editor.org/rfc/rfc8030#section-7.3"
            }
            Self::UnknownMessage => "https://www.rfc-editor.org/rfc/rfc8030#section-6.2",
            Self::Ttl(_) | Self::NegativeTtl | Self::TtlZero | Self::CachePolicy => {
                "https://www.rfc-editor.org/rfc/rfc8030#section-5.2"
            }
            Self::Urgency(_) => "https://www.rfc-editor.org/rfc/rfc8030#section-5.3",
            Self::Topic(_) => "https://www.rfc-editor.org/rfc/rfc8030#section-5.4",
            Self::RepeatedHeader { .. } | Self::Chunked | Self::TooLate => {
                "https://www.rfc-editor.org/rfc/rfc8030#section-5"
            }
            Self::Encryption(_) => "https://www.rfc-editor.org/rfc/rfc8291#section-4",
            Self::TooLarge { .. } => "https://www.rfc-editor.org/rfc/rfc8030#section-7.2",
            Self::Vapid(_) => "https://www.rfc-editor.org/rfc/rfc8292#section-2",
            Self::NoContact | Self::Contact(_) => {
                "https://www.rfc-editor.org/rfc/rfc8292#section-2.1"
            }
            Self::OtherKey => "https://www.rfc-editor.org/rfc/rfc8292#section-4.2",
        }
    }
}
