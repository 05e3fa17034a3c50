//! How each personality words its answers.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use tidings_webpush::Randomness;
use uuid::{Builder, Uuid};

use crate::behaviour::FixedAnswer;
use crate::personality::Personality;
use crate::refusal::Refusal;

mod apple;
mod fcm;
mod mozilla;
mod plain;
mod wns;

/// Whether HTTP lets this answer have no body (RFC 9110 §6.4.1).
pub(crate) fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// A personality about to answer.
pub(crate) struct Manner<'a> {
    pub(crate) personality: Personality,
    pub(crate) randomness: &'a dyn Randomness,
}

impl Manner<'_> {
    /// The answer to a message that was taken in.
    pub(crate) fn accepted(&self, location: &str, ttl_s: u32) -> Response {
        match self.personality {
            Personality::Fcm => fcm::accepted(location),
            Personality::Mozilla => mozilla::accepted(location, ttl_s),
            Personality::Apple => apple::accepted(self.id()),
            Personality::Wns => wns::accepted(self.id()),
            Personality::Plain => plain::accepted(location, ttl_s),
        }
    }

    /// The answer to a request that was refused.
    pub(crate) fn refused(&self, refusal: &Refusal) -> Response {
        match self.personality {
            Personality::Fcm => fcm::refused(refusal),
            Personality::Mozilla => mozilla::refused(refusal),
            Personality::Apple => apple::refused(refusal, self.id()),
            Personality::Wns => wns::refused(refusal, self.id()),
            Personality::Plain => plain::refused(refusal),
        }
    }

    /// The answer that a rule demands. What the rule leaves open is as usual: for a success as in
    /// `accepted`, else as this personality words the status.
    pub(crate) fn commanded(&self, fixed: &FixedAnswer, accepted: Option<Response>) -> Response {
        let mut response = accepted.unwrap_or_else(|| self.with_status(fixed.status));
        *response.status_mut() = fixed.status;
        if has_no_body(fixed.status) {
            *response.body_mut() = Body::empty();
            response.headers_mut().remove(CONTENT_TYPE);
        }
        if let Some(content) = &fixed.body {
            response
                .headers_mut()
                .insert(CONTENT_TYPE, content.media_type.clone());
            *response.body_mut() = Body::from(content.octets.clone());
        }
        let headers = response.headers_mut();
        if let Some(retry_after) = &fixed.retry_after {
            headers.insert(RETRY_AFTER, retry_after.clone());
        }
        for (name, value) in &fixed.headers {
            headers.insert(name, value.clone());
        }
        response
    }

    fn with_status(&self, status: StatusCode) -> Response {
        match self.personality {
            Personality::Fcm => fcm::with_status(status),
            Personality::Mozilla => mozilla::with_status(status),
            Personality::Apple => apple::with_status(status, self.id()),
            Personality::Wns => wns::with_status(status, self.id()),
            Personality::Plain => status.into_response(),
        }
    }

    /// Names one answer.
    fn id(&self) -> Uuid {
        let mut octets = [0; 16];
        self.randomness.fill(&mut octets);
        Builder::from_random_bytes(octets).into_uuid()
    }
}
