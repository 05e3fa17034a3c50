//! A key that is not used any more.

use axum::extract::State;
use tidings_core::application_server::VapidKeyChange;
use tidings_core::id::VapidKeyId;

use crate::api::v1::vapid_keys::VapidKeyView;
use crate::extract::body::Json;
use crate::extract::caller::{Admin, BackEnd};
use crate::extract::path::Id;
use crate::problem::ApiError;
use crate::state::AppState;

/// Never uses the key again: nothing is sent to subscriptions made with it.
#[utoipa::path(
    post,
    path = "/v1/vapid-keys/{id}/retire",
    operation_id = "retire_vapid_key",
    tag = "VAPID keys",
    security(("api_token" = ["admin"])),
    params(("id" = String, Path, description = "The key")),
    responses(
        (status = 200, description = "Retired", body = VapidKeyView),
        (status = 404, description = "The application has no such key"),
        (status = 409, description = "The key is active: activate another one first"),
    ),
)]
pub(crate) async fn retire(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<Admin>,
    Id(id): Id<VapidKeyId>,
) -> Result<Json<VapidKeyView>, ApiError> {
    let change = VapidKeyChange::Retire;
    let record = state
        .server()
        .change_vapid_key(application.id, id, change)
        .await?;
    Ok(Json(VapidKeyView::new(&record)))
}
