//! Identifiers in paths. What is not an identifier of the kind names nothing, so it is answered
//! like one that nothing has.

use std::str::FromStr;
use std::sync::Arc;

use axum::RequestPartsExt as _;
use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use tidings_core::application::Application;
use tidings_core::id::{ApiTokenId, MessageId, SubscriptionId, VapidKeyId};

use crate::problem::ApiError;
use crate::state::AppState;

/// A kind of identifier that stands in paths as `{id}`.
pub(crate) trait PathId: FromStr {
    /// Nothing has this identifier.
    fn not_found() -> ApiError;
}

impl PathId for MessageId {
    fn not_found() -> ApiError {
        ApiError::MessageNotFound
    }
}

impl PathId for SubscriptionId {
    fn not_found() -> ApiError {
        ApiError::SubscriptionNotFound
    }
}

impl PathId for ApiTokenId {
    fn not_found() -> ApiError {
        ApiError::ApiTokenNotFound
    }
}

impl PathId for VapidKeyId {
    fn not_found() -> ApiError {
        ApiError::VapidKeyNotFound
    }
}

/// The path's `{id}`.
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Sync, T: PathId> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let params = path_params(parts).await?;
        let (_, text) = params
            .iter()
            .find(|(name, _)| *name == "id")
            .ok_or_else(T::not_found)?;
        text.parse().map(Self).map_err(|_| T::not_found())
    }
}

/// The path's `{app}`.
pub(crate) struct App(pub(crate) Arc<Application>);

impl FromRequestParts<AppState> for App {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let params = path_params(parts).await?;
        let named = params.iter().find(|(name, _)| *name == "app");
        named
            .and_then(|(_, name)| state.server().applications().named(name))
            .map(|application| Self(Arc::clone(application)))
            .ok_or(ApiError::ApplicationNotFound)
    }
}

async fn path_params(parts: &mut Parts) -> Result<RawPathParams, ApiError> {
    // Rejected are only octets that are not UTF-8; no name or identifier of ours has any.
    parts.extract().await.map_err(|_| ApiError::NotFound)
}
