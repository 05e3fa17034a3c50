//! A page ends its own subscription.

use axum::extract::State;
use http::StatusCode;
use tidings_core::id::SubscriptionId;

use crate::extract::caller::ShownToken;
use crate::extract::path::{App, Id};
use crate::problem::ApiError;
use crate::state::AppState;

/// Ends the page's own subscription: nothing is sent to it any more.
#[utoipa::path(
    delete,
    path = "/v1/apps/{app}/subscriptions/{id}",
    operation_id = "end_own_subscription",
    tag = "pages",
    security(("subscription_token" = [])),
    params(
        ("app" = String, Path, description = "The application, `default` for example"),
        ("id" = String, Path, description = "The subscription"),
    ),
    responses(
        (status = 204, description = "Ended"),
        (status = 401, description = "No token was shown"),
        (status = 403, description = "The token is not this subscription's"),
    ),
)]
pub(crate) async fn end(
    State(state): State<AppState>,
    App(application): App,
    Id(id): Id<SubscriptionId>,
    token: ShownToken,
) -> Result<StatusCode, ApiError> {
    state
        .server()
        .end_own_subscription(application.id, id, token.expose())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
