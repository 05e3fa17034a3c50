//! Answers that a cache may hold, and asks for again only if they changed (RFC 9110 §13.1.2).

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::extract::body::sha256;

/// A representation of something that seldom changes.
pub(crate) struct Representation {
    pub(crate) content_type: &'static str,
    pub(crate) cache_control: &'static str,
    pub(crate) body: Bytes,
}

impl Representation {
    /// The answer: 304 if a GET or HEAD says that the caller has it already.
    pub(crate) fn answer(self, method: &Method, headers: &HeaderMap) -> Response {
        let tag = self.entity_tag();
        let has_it = matches!(*method, Method::GET | Method::HEAD) && names(headers, &tag);
        let common = [
            (CACHE_CONTROL, HeaderValue::from_static(self.cache_control)),
            (ETAG, tag),
        ];
        if has_it {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let content_type = [(CONTENT_TYPE, HeaderValue::from_static(self.content_type))];
        (common, content_type, Body::from(self.body)).into_response()
    }

    /// Made from the content, so other content, and another form of it, has another.
    fn entity_tag(&self) -> HeaderValue {
        let sum = sha256(&self.body);
        let text = URL_SAFE_NO_PAD.encode(sum.first_chunk::<12>().unwrap_or(&[0; 12]));
        // Quotes and base64url are visible ASCII.
        HeaderValue::try_from(format!("\"{text}\"")).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

/// Whether `If-None-Match` names this tag or all. Compared weakly.
fn names(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == *tag)
}
