//! A page sends itself a test notification.

use axum::extract::State;
use http::StatusCode;
use tidings_core::id::SubscriptionId;

use crate::api::v1::messages::AcceptedView;
use crate::extract::body::Json;
use crate::extract::caller::ShownToken;
use crate::extract::path::{App, Id};
use crate::problem::ApiError;
use crate::state::AppState;

/// Sends a fixed test notification to the page's own subscription, once in 10 seconds.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/subscriptions/{id}/test",
    operation_id = "test_own_subscription",
    tag = "pages",
    security(("subscription_token" = [])),
    params(
        ("app" = String, Path, description = "The application, `default` for example"),
        ("id" = String, Path, description = "The subscription"),
    ),
    responses(
        (status = 202, description = "Accepted: it is sent", body = AcceptedView),
        (status = 401, description = "No token was shown"),
        (status = 403, description = "The token is not this subscription's"),
        (status = 409, description = "The subscription is not active"),
        (status = 429, description = "The last test was less than 10 seconds ago"),
    ),
)]
pub(crate) async fn test(
    State(state): State<AppState>,
    App(application): App,
    Id(id): Id<SubscriptionId>,
    token: ShownToken,
) -> Result<(StatusCode, Json<AcceptedView>), ApiError> {
    let accepted = state
        .server()
        .send_test(&application, id, token.expose())
        .await?;
    Ok((StatusCode::ACCEPTED, Json(AcceptedView::new(&accepted))))
}
