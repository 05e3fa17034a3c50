//! Problem documents (RFC 9457).

use std::fmt;

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::types::ProblemType;

/// Why a request was not answered as asked (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind of problem it is, as a stable URI; `docs/errors.md` lists them.
    #[serde(rename = "type")]
    #[schema(example = "urn:tidings:problem:invalid-input")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The request's id, which the server's log has too.
    #[schema(example = "req_019ac1c67b0070008000000000000000")]
    instance: String,
    /// Which parts of the input are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<InputError>,
}

/// A part of the input that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub(crate) struct InputError {
    /// Where it stands in the body (JSON Pointer, RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "/keys/p256dh")]
    pub(super) pointer: Option<String>,
    /// Which query parameter it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "limit")]
    parameter: Option<String>,
    /// What is wrong with it and what would be right.
    pub(super) detail: String,
}

impl InputError {
    /// A wrong place in the body.
    pub(crate) fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            parameter: None,
            detail: detail.into(),
        }
    }

    /// A wrong query parameter.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            parameter: Some(name.to_owned()),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.pointer.as_deref().or(self.parameter.as_deref());
        let place = place
            .filter(|place| !place.is_empty())
            .unwrap_or("the body");
        write!(f, "{place}: {}", self.detail)
    }
}

/// A problem on its way out: it becomes a document once the request's id is known.
#[derive(Clone, Debug)]
pub(crate) struct PendingProblem {
    pub(crate) kind: ProblemType,
    pub(crate) detail: Option<String>,
    pub(crate) errors: Vec<InputError>,
}

impl PendingProblem {
    /// Writes the document.
    pub(crate) fn finish(self, headers: HeaderMap, request_id: &str) -> Response {
        let document = Problem {
            kind: self.kind.uri(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: self.detail,
            instance: request_id.to_owned(),
            errors: self.errors,
        };
        // The document has no maps and no foreign types: serialising it cannot fail.
        let text = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.kind.status();
        *response.headers_mut() = headers;
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}
