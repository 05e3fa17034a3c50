//! A page changes its own subscription.

use axum::extract::State;
use http::StatusCode;
use tidings_core::id::SubscriptionId;

use crate::api::v1::registration::ChangeBody;
use crate::extract::body::Json;
use crate::extract::caller::ShownToken;
use crate::extract::object::Object;
use crate::extract::path::{App, Id};
use crate::problem::ApiError;
use crate::state::AppState;

/// Changes what is said about the page's own subscription.
#[utoipa::path(
    patch,
    path = "/v1/apps/{app}/subscriptions/{id}",
    operation_id = "change_own_subscription",
    tag = "pages",
    security(("subscription_token" = [])),
    params(
        ("app" = String, Path, description = "The application, `default` for example"),
        ("id" = String, Path, description = "The subscription"),
    ),
    request_body = ChangeBody,
    responses(
        (status = 204, description = "Changed"),
        (status = 401, description = "No token was shown"),
        (status = 403, description = "The token is not this subscription's, or `user` was not proved"),
        (status = 409, description = "The user has too many active subscriptions"),
        (status = 422, description = "A member is wrong"),
    ),
)]
pub(crate) async fn change(
    State(state): State<AppState>,
    App(application): App,
    Id(id): Id<SubscriptionId>,
    token: ShownToken,
    Json(Object(body)): Json<Object<ChangeBody>>,
) -> Result<StatusCode, ApiError> {
    let change = body.into_own_change()?;
    state
        .server()
        .change_own_subscription(&application, id, token.expose(), change)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
