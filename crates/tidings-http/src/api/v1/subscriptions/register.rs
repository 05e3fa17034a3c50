//! A back end hands over a subscription that its page gave it.

use axum::extract::State;
use http::StatusCode;
use tidings_core::application_server::Said;

use crate::api::v1::registration::{RegisteredView, RegistrationBody};
use crate::extract::body::Json;
use crate::extract::caller::{BackEnd, WriteSubscriptions};
use crate::extract::object::Object;
use crate::problem::ApiError;
use crate::state::AppState;

/// Registers a subscription that a page gave to the site's back end. `user` and `attributes` are
/// believed.
#[utoipa::path(
    post,
    path = "/v1/subscriptions",
    operation_id = "register_subscription",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:write"])),
    request_body = RegistrationBody,
    responses(
        (status = 201, description = "Registered", body = RegisteredView),
        (status = 200, description = "Known, and updated", body = RegisteredView),
        (status = 409, description = "The endpoint is registered with other keys, or the user has too many active subscriptions"),
        (status = 422, description = "A member is wrong, or the endpoint may not be sent to"),
    ),
)]
pub(crate) async fn register(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<WriteSubscriptions>,
    Json(Object(body)): Json<Object<RegistrationBody>>,
) -> Result<(StatusCode, Json<RegisteredView>), ApiError> {
    let request = body.into_request(Said::ByBackEnd)?;
    let registered = state
        .server()
        .register_subscription(&application, request)
        .await?;
    let status = if registered.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(RegisteredView::new(&registered))))
}
