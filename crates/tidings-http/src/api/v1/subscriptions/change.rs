//! A back end changes what is said about a subscription.

use axum::extract::State;
use tidings_core::id::SubscriptionId;

use crate::api::v1::registration::ChangeBody;
use crate::api::v1::subscriptions::SubscriptionView;
use crate::extract::body::Json;
use crate::extract::caller::{BackEnd, WriteSubscriptions};
use crate::extract::object::Object;
use crate::extract::path::Id;
use crate::problem::ApiError;
use crate::state::AppState;

/// Changes what is said about a subscription.
#[utoipa::path(
    patch,
    path = "/v1/subscriptions/{id}",
    operation_id = "change_subscription",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:write"])),
    params(("id" = String, Path, description = "The subscription")),
    request_body = ChangeBody,
    responses(
        (status = 200, description = "Changed", body = SubscriptionView),
        (status = 404, description = "The application has no such subscription"),
        (status = 409, description = "The user has too many active subscriptions"),
        (status = 422, description = "A member is wrong"),
    ),
)]
pub(crate) async fn change(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<WriteSubscriptions>,
    Id(id): Id<SubscriptionId>,
    Json(Object(body)): Json<Object<ChangeBody>>,
) -> Result<Json<SubscriptionView>, ApiError> {
    let change = body.into_change()?;
    let changed = state
        .server()
        .change_subscription(&application, id, change)
        .await?;
    changed
        .map(SubscriptionView::new)
        .map(Json)
        .ok_or(ApiError::SubscriptionNotFound)
}
