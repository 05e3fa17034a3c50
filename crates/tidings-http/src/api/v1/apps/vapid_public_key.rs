//! The key that pages subscribe with.

use axum::extract::State;
use axum::response::Response;
use http::header::{ACCEPT, VARY};
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use tidings_core::vapid_key::VapidKeyRecord;
use utoipa::ToSchema;

use crate::accept::prefers_json;
use crate::conditional::Representation;
use crate::extract::path::App;
use crate::problem::ApiError;
use crate::state::AppState;

/// Short, because a rotation should reach pages soon; they ask at most once for each visit.
const CACHE_CONTROL: &str = "public, max-age=60";

/// A VAPID public key.
#[derive(Serialize, ToSchema)]
#[schema(as = VapidPublicKey)]
pub(crate) struct VapidPublicKeyView {
    /// 65 octets in base64url.
    key: String,
    /// Its id: what a subscription made with it gives as `vapid_key`.
    #[schema(pattern = "^key_[0-9a-f]{32}$")]
    id: String,
}

/// The key that pages subscribe with: 65 octets, the uncompressed P-256 point, what
/// `pushManager.subscribe()` takes as `applicationServerKey`. With `Accept: application/json` an
/// object with the key and its id.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/vapid-public-key",
    operation_id = "get_vapid_public_key",
    tag = "pages",
    params(("app" = String, Path, description = "The application, `default` for example")),
    responses(
        (status = 200, description = "The active key", content(
            (Vec<u8> = "application/octet-stream"),
            (VapidPublicKeyView = "application/json"),
        )),
        (status = 304, description = "The caller has it"),
        (status = 409, description = "The application has no active key"),
    ),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    App(application): App,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let active = state.server().active_vapid_key(application.id).await?;
    let active = active.ok_or(ApiError::NoActiveVapidKey)?;
    let mut response = represent(&active, prefers_json(&headers))?.answer(&method, &headers);
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from(ACCEPT));
    Ok(response)
}

/// The same as GET, for clients that ask for it in this way.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/vapid-public-key",
    operation_id = "post_vapid_public_key",
    tag = "pages",
    params(("app" = String, Path, description = "The application, `default` for example")),
    responses(
        (status = 200, description = "The active key", content(
            (Vec<u8> = "application/octet-stream"),
            (VapidPublicKeyView = "application/json"),
        )),
        (status = 409, description = "The application has no active key"),
    ),
)]
pub(crate) async fn post(
    state: State<AppState>,
    app: App,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    get(state, app, method, headers).await
}

fn represent(record: &VapidKeyRecord, as_json: bool) -> Result<Representation, ApiError> {
    let cache_control = CACHE_CONTROL;
    if !as_json {
        let body = record.public_key.as_bytes().to_vec().into();
        return Ok(Representation {
            content_type: "application/octet-stream",
            cache_control,
            body,
        });
    }
    let view = VapidPublicKeyView {
        key: record.public_key.to_base64url(),
        id: record.id.to_string(),
    };
    let body = serde_json::to_vec(&view).map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(Representation {
        content_type: "application/json",
        cache_control,
        body: body.into(),
    })
}
