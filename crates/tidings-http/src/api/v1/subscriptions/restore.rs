//! A back end undoes a tombstone.

use axum::extract::State;
use serde::Deserialize;
use tidings_core::id::SubscriptionId;
use utoipa::IntoParams;

use crate::api::v1::subscriptions::SubscriptionView;
use crate::extract::body::Json;
use crate::extract::caller::{BackEnd, WriteSubscriptions};
use crate::extract::path::Id;
use crate::extract::query::Query;
use crate::problem::ApiError;
use crate::state::AppState;

/// What to undo.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreQuery {
    /// `true` restores it even if its page or the back end ended it.
    #[param(value_type = Option<bool>, default = false)]
    even_ended: Option<String>,
}

/// Makes a subscription active again that is `gone` or `suspect`, with everything that was said about
/// it; one that was `ended` only if that is asked for. One that is active stays so.
#[utoipa::path(
    post,
    path = "/v1/subscriptions/{id}/restore",
    operation_id = "restore_subscription",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:write"])),
    params(("id" = String, Path, description = "The subscription"), RestoreQuery),
    responses(
        (status = 200, description = "It is active", body = SubscriptionView),
        (status = 404, description = "The application has no such subscription, or forgot its tombstone"),
        (status = 409, description = "It was ended, or the user has too many active subscriptions"),
    ),
)]
pub(crate) async fn restore(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<WriteSubscriptions>,
    Id(id): Id<SubscriptionId>,
    Query(query): Query<RestoreQuery>,
) -> Result<Json<SubscriptionView>, ApiError> {
    let even_ended = match query.even_ended.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::query("even_ended", "must be true or false")),
    };
    let restored = state
        .server()
        .restore_subscription(&application, id, even_ended)
        .await?;
    restored
        .map(SubscriptionView::new)
        .map(Json)
        .ok_or(ApiError::SubscriptionNotFound)
}
