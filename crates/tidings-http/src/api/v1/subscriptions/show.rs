//! One subscription.

use axum::extract::State;
use tidings_core::id::SubscriptionId;

use crate::api::v1::subscriptions::SubscriptionView;
use crate::extract::body::Json;
use crate::extract::caller::{BackEnd, ReadSubscriptions};
use crate::extract::path::Id;
use crate::problem::ApiError;
use crate::state::AppState;

/// Shows a subscription, in any state.
#[utoipa::path(
    get,
    path = "/v1/subscriptions/{id}",
    operation_id = "get_subscription",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:read"])),
    params(("id" = String, Path, description = "The subscription")),
    responses(
        (status = 200, description = "The subscription", body = SubscriptionView),
        (status = 404, description = "The application has no such subscription"),
    ),
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<ReadSubscriptions>,
    Id(id): Id<SubscriptionId>,
) -> Result<Json<SubscriptionView>, ApiError> {
    let record = state
        .server()
        .store()
        .subscription(application.id, id)
        .await?;
    record
        .map(SubscriptionView::new)
        .map(Json)
        .ok_or(ApiError::SubscriptionNotFound)
}
