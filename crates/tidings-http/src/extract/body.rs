//! Request bodies: bounded in size and time, then JSON.

use std::time::Duration;

use aws_lc_rs::digest;
use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::problem::ApiError;

/// The most octets of a request's body.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// How much of a body that is too large is read and thrown away.
const MAX_DISCARDED_BYTES: usize = 16 * 1024 * 1024;

/// The most lists and objects inside of each other. The parser's own limit is 128.
const MAX_DEPTH: usize = 32;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// The most characters of what a parser says, which repeats parts of the input.
const MAX_PARSER_CHARACTERS: usize = 400;

/// A JSON body as a value, of a request or of an answer.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        JsonText::from_request(request, state)
            .await?
            .parse()
            .map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A JSON body as it came.
pub(crate) struct JsonText(Bytes);

impl<S: Sync> FromRequest<S> for JsonText {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        if !is_plain(&head.headers) || !is_json(media_type(&head.headers)) {
            return Err(ApiError::UnsupportedMediaType {
                wanted: "application/json",
            });
        }
        read(&head.headers, body).await.map(Self)
    }
}

impl JsonText {
    /// Reads it.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        parse(&self.0)
    }

    /// Its fingerprint.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        sha256(&self.0)
    }
}

/// A JSON body that may also come as `text/plain`, which needs no preflight, or without a type.
pub(crate) struct JsonOrPlain<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonOrPlain<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let media_type = media_type(&head.headers);
        let taken = is_json(media_type) || media_type.is_none_or(|it| is(it, "text/plain"));
        if !is_plain(&head.headers) || !taken {
            return Err(ApiError::UnsupportedMediaType {
                wanted: "application/json",
            });
        }
        parse(&read(&head.headers, body).await?).map(Self)
    }
}

/// SHA-256.
pub(crate) fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    for (to, from) in sum
        .iter_mut()
        .zip(digest::digest(&digest::SHA256, octets).as_ref())
    {
        *to = *from;
    }
    sum
}

/// The media type without its parameters. `None` if there is none; what is not text is no type.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim())
}

pub(super) fn is(media_type: &str, wanted: &str) -> bool {
    media_type.eq_ignore_ascii_case(wanted)
}

fn is_json(media_type: Option<&str>) -> bool {
    media_type.is_some_and(|it| is(it, "application/json"))
}

/// Whether nothing is compressed.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_none_or(|coding| coding.as_bytes() == b"identity")
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    // Who waits for leave to send is told before an octet is on its way.
    let waits = headers.contains_key(EXPECT);
    if waits && body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(ApiError::BodyTooLarge);
    }
    let collecting = tokio::time::timeout(BODY_TIMEOUT, collect(body));
    collecting.await.unwrap_or(Err(ApiError::BodyTimeout))
}

/// Keeps what fits. The rest is thrown away as it comes, within reason: many clients look for an
/// answer only when they have sent everything, and lose it if the connection is closed before.
async fn collect(mut body: Body) -> Result<Bytes, ApiError> {
    let mut kept = BytesMut::new();
    let mut seen: usize = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::BodyInterrupted)?;
        let Some(octets) = frame.data_ref() else {
            continue;
        };
        seen = seen.saturating_add(octets.len());
        if seen <= MAX_BODY_BYTES {
            kept.extend_from_slice(octets);
        } else if seen > MAX_DISCARDED_BYTES {
            break;
        }
    }
    if seen > MAX_BODY_BYTES {
        Err(ApiError::BodyTooLarge)
    } else {
        Ok(kept.freeze())
    }
}

/// Reads JSON that is right in most cases: it is looked at again only to say what is wrong with it.
pub(crate) fn parse_quickly<T: DeserializeOwned>(octets: &[u8]) -> Result<T, ApiError> {
    let text = utf8(octets)?;
    let read = (depth(text) <= MAX_DEPTH).then(|| serde_json::from_str(text).ok());
    read.flatten().map_or_else(|| parse_text(text), Ok)
}

fn parse<T: DeserializeOwned>(octets: &[u8]) -> Result<T, ApiError> {
    parse_text(utf8(octets)?)
}

/// JSON is in UTF-8 (RFC 8259 §8.1). The parser does not look at what it skips.
fn utf8(octets: &[u8]) -> Result<&str, ApiError> {
    str::from_utf8(octets).map_err(|error| {
        let place = error.valid_up_to() + 1;
        ApiError::InvalidJson(format!(
            "Octet {place} does not belong to a character of UTF-8. Send JSON in UTF-8."
        ))
    })
}

fn parse_text<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    if text.bytes().all(|octet| octet.is_ascii_whitespace()) {
        return Err(ApiError::InvalidJson(
            "There is no body. Send JSON.".to_owned(),
        ));
    }
    if depth(text) > MAX_DEPTH {
        return Err(ApiError::InvalidJson(format!(
            "Lists and objects are nested more than {MAX_DEPTH} deep. Send flatter JSON."
        )));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        refusal(&pointer, error.inner())
    })?;
    deserializer.end().map_err(|error| refusal("", &error))?;
    Ok(value)
}

/// How deep lists and objects are nested, whether they match or not.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest): (usize, usize) = (0, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for octet in text.bytes() {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn refusal(pointer: &str, error: &serde_json::Error) -> ApiError {
    let what: String = error
        .to_string()
        .chars()
        .take(MAX_PARSER_CHARACTERS)
        .collect();
    match error.classify() {
        Category::Data => {
            let place = format!(" at line {} column {}", error.line(), error.column());
            ApiError::input(pointer, plainly(what.strip_suffix(&place).unwrap_or(&what)))
        }
        Category::Syntax | Category::Eof | Category::Io => {
            ApiError::InvalidJson(format!("The parser says: {what}."))
        }
    }
}

/// The words of JSON for the words of Rust, at the two places where serde puts them.
fn plainly(what: &str) -> String {
    const BEGINNINGS: &[(&str, &str)] = &[
        ("unknown field ", "unknown member "),
        ("missing field ", "missing member "),
        ("duplicate field ", "repeated member "),
        ("invalid type: map, ", "invalid type: object, "),
        ("invalid type: sequence, ", "invalid type: list, "),
    ];
    const ENDS: &[(&str, &str)] = &[
        ("expected a sequence", "expected a list"),
        ("expected a string", "expected text"),
        ("expected a boolean", "expected true or false"),
        (
            "expected u64",
            "expected a whole number that is not negative",
        ),
    ];
    let begins = |(rust, json): &(&str, &str)| Some(format!("{json}{}", what.strip_prefix(rust)?));
    let what = BEGINNINGS
        .iter()
        .find_map(begins)
        .unwrap_or_else(|| what.to_owned());
    let ends = |(rust, json): &(&str, &str)| Some(format!("{}{json}", what.strip_suffix(rust)?));
    ENDS.iter().find_map(ends).unwrap_or(what)
}

/// A JSON Pointer (RFC 6901) from the way a value was reached.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer = format!("{pointer}/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer = format!("{pointer}/{}", escape(key));
            }
            Segment::Unknown => break,
        }
    }
    pointer
}

/// A member's name as a pointer writes it (RFC 6901 §3).
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn depth_counts_what_is_open_outside_of_strings() {
        for (text, expected) in [
            ("1", 0),
            ("[]", 1),
            ("{\"a\": [{}, [], [[1]]]}", 4),
            ("[\"[[[[\", []]", 2),
            (r#"["\"[[[", []]"#, 2),
            (r#"["\\", [[]]]"#, 3),
            ("[[[", 3),
            ("]]][", 1),
        ] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    #[test]
    fn json_is_32_deep_at_most() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse::<serde_json::Value>(nested(32).as_bytes()).is_ok());
        let refused = parse::<serde_json::Value>(nested(33).as_bytes());
        assert!(matches!(refused, Err(ApiError::InvalidJson(what)) if what.contains("32 deep")));
    }

    #[test]
    fn what_is_not_utf_8_is_refused_also_in_a_member_that_is_skipped() {
        #[derive(Debug, serde::Deserialize)]
        struct Nothing {}
        let with = |octet: u8| [&br#"{"x": ""#[..], &[octet], br#""}"#].concat();
        for read in [parse::<Nothing>, parse_quickly::<Nothing>] {
            assert!(read(&with(b'x')).is_ok());
            let refused = read(&with(0xff));
            assert!(
                matches!(refused, Err(ApiError::InvalidJson(what)) if what.contains("Octet 8 "))
            );
        }
    }

    #[test]
    fn a_pointer_escapes_what_rfc_6901_escapes() {
        let text = br#"{"a/b": {"m~n": [1, "x"]}}"#;
        let error = parse::<BTreeMap<String, BTreeMap<String, Vec<u8>>>>(text).unwrap_err();
        let ApiError::InvalidInput(errors) = error else {
            panic!("another error: {error:?}")
        };
        assert_eq!(
            serde_json::to_value(&errors).unwrap(),
            serde_json::json!([{
                "pointer": "/a~1b/m~0n/1",
                "detail": "invalid type: string \"x\", expected u8",
            }])
        );
    }
}
