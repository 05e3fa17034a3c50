//! An API token that is not taken any more.

use axum::extract::State;
use http::StatusCode;
use tidings_core::id::ApiTokenId;

use crate::extract::caller::{Admin, BackEnd};
use crate::extract::path::Id;
use crate::problem::ApiError;
use crate::state::AppState;

/// Revokes an API token: once this is answered, every request that shows it is refused. Revoking it
/// again changes nothing.
#[utoipa::path(
    delete,
    path = "/v1/api-tokens/{id}",
    operation_id = "revoke_api_token",
    tag = "API tokens",
    security(("api_token" = ["admin"])),
    params(("id" = String, Path, description = "The token")),
    responses(
        (status = 204, description = "Revoked, now or before"),
        (status = 404, description = "The application has no such token"),
    ),
)]
pub(crate) async fn revoke(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<Admin>,
    Id(id): Id<ApiTokenId>,
) -> Result<StatusCode, ApiError> {
    if state.server().revoke_api_token(application.id, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::ApiTokenNotFound)
    }
}
