//! A page hands over its subscription.

use axum::extract::State;
use http::StatusCode;
use tidings_core::application_server::Said;

use crate::api::v1::registration::{RegisteredView, RegistrationBody};
use crate::extract::body::Json;
use crate::extract::object::Object;
use crate::extract::path::App;
use crate::problem::ApiError;
use crate::state::AppState;

/// Registers a browser's subscription. The same endpoint with the same keys again updates it and
/// gives the same id and token.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/subscriptions",
    operation_id = "register_own_subscription",
    tag = "pages",
    params(("app" = String, Path, description = "The application, `default` for example")),
    request_body = RegistrationBody,
    responses(
        (status = 201, description = "Registered", body = RegisteredView),
        (status = 200, description = "Known, and updated", body = RegisteredView),
        (status = 403, description = "`user` was not proved, or the page's origin may not call"),
        (status = 409, description = "The endpoint is registered with other keys"),
        (status = 422, description = "A member is wrong, or the endpoint may not be sent to"),
    ),
)]
pub(crate) async fn register(
    State(state): State<AppState>,
    App(application): App,
    Json(Object(body)): Json<Object<RegistrationBody>>,
) -> Result<(StatusCode, Json<RegisteredView>), ApiError> {
    let request = body.into_request(Said::ByPage)?;
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
