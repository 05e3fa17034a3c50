//! Extractors. Each rejects with an [`ApiError`](crate::problem::ApiError): axum's own would
//! answer in plain text.

pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod duration;
pub(crate) mod idempotency;
pub(crate) mod lines;
pub(crate) mod object;
pub(crate) mod patch;
pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod text;
