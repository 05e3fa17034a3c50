//! The crate against the published vectors and its own promises.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do; clippy exempts only the test functions"
)]

mod answers;
mod contact;
mod content_encoding;
mod encryption;
mod endpoints;
mod legacy;
mod properties;
mod request;
mod request_headers;
mod retry_after;
mod subscription;
mod token_cache;
mod vapid_keys;
mod vapid_tokens;
mod vectors;
