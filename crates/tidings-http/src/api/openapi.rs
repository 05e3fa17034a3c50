//! The API's own description.

use axum::response::Response;
use http::{HeaderMap, Method};

use crate::api::document;
use crate::conditional::Representation;

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operation",
    responses((status = 200, description = "The OpenAPI document", body = serde_json::Value)),
)]
pub(crate) async fn describe(method: Method, headers: HeaderMap) -> Response {
    let description = Representation {
        content_type: "application/json",
        cache_control: "public, max-age=300",
        body: document::openapi_json().into(),
    };
    description.answer(&method, &headers)
}
