//! The key that pages subscribe with.

use axum::extract::State;
use tidings_core::application_server::VapidKeyChange;
use tidings_core::id::VapidKeyId;

use crate::api::v1::vapid_keys::VapidKeyView;
use crate::extract::body::Json;
use crate::extract::caller::{Admin, BackEnd};
use crate::extract::path::Id;
use crate::problem::ApiError;
use crate::state::AppState;

/// Hands the key out to pages from now on. The one that was active stays live.
#[utoipa::path(
    post,
    path = "/v1/vapid-keys/{id}/activate",
    operation_id = "activate_vapid_key",
    tag = "VAPID keys",
    security(("api_token" = ["admin"])),
    params(("id" = String, Path, description = "The key")),
    responses(
        (status = 200, description = "Active", body = VapidKeyView),
        (status = 404, description = "The application has no such key"),
    ),
)]
pub(crate) async fn activate(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<Admin>,
    Id(id): Id<VapidKeyId>,
) -> Result<Json<VapidKeyView>, ApiError> {
    let change = VapidKeyChange::Activate;
    let record = state
        .server()
        .change_vapid_key(application.id, id, change)
        .await?;
    Ok(Json(VapidKeyView::new(&record)))
}
