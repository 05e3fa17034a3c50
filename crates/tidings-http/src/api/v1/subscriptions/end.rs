//! A back end ends a subscription.

use axum::extract::State;
use http::StatusCode;
use tidings_core::id::SubscriptionId;

use crate::extract::caller::{BackEnd, WriteSubscriptions};
use crate::extract::path::Id;
use crate::problem::ApiError;
use crate::state::AppState;

/// Ends a subscription: nothing is sent to it any more.
#[utoipa::path(
    delete,
    path = "/v1/subscriptions/{id}",
    operation_id = "end_subscription",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:write"])),
    params(("id" = String, Path, description = "The subscription")),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "The application has no such subscription"),
    ),
)]
pub(crate) async fn end(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<WriteSubscriptions>,
    Id(id): Id<SubscriptionId>,
) -> Result<StatusCode, ApiError> {
    let server = state.server();
    let ended = server
        .store()
        .end_subscription(application.id, id, server.clock().now())
        .await?;
    if ended {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::SubscriptionNotFound)
    }
}
