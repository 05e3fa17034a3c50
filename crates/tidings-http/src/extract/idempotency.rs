//! The header `Idempotency-Key`.

use axum::extract::FromRequestParts;
use http::request::Parts;
use tidings_core::store::IdempotencyKey;

use crate::extract::body::{JsonText, sha256};
use crate::problem::ApiError;

/// The header's name.
const HEADER: &str = "idempotency-key";

/// The most octets of a key.
const MAX_KEY_BYTES: usize = 255;

/// A caller's key, if there is one.
pub(crate) struct Idempotency(Option<[u8; 32]>);

impl Idempotency {
    /// The promise that goes with `body`.
    pub(crate) fn for_body(self, body: &JsonText) -> Option<IdempotencyKey> {
        self.0.map(|key| IdempotencyKey {
            key,
            body: body.sha256(),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Idempotency {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(HEADER) else {
            return Ok(Self(None));
        };
        if !(1..=MAX_KEY_BYTES).contains(&value.len()) {
            let what = "must have 1 to 255 characters; a random UUID is a good one";
            return Err(ApiError::InvalidHeader {
                name: "Idempotency-Key",
                what,
            });
        }
        Ok(Self(Some(sha256(value.as_bytes()))))
    }
}
