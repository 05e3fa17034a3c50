//! An application's VAPID keys.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::v1::list::List;
use crate::api::v1::vapid_keys::VapidKeyView;
use crate::extract::body::Json;
use crate::extract::caller::{AnyScope, BackEnd};
use crate::problem::ApiError;
use crate::state::AppState;

/// A VAPID key and its use.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedVapidKey)]
pub(crate) struct ListedVapidKeyView {
    #[serde(flatten)]
    key: VapidKeyView,
    /// How many active subscriptions were made with it.
    subscriptions: u64,
}

/// Lists the application's VAPID keys, oldest first. There are few: the list is always whole.
#[utoipa::path(
    get,
    path = "/v1/vapid-keys",
    operation_id = "list_vapid_keys",
    tag = "VAPID keys",
    security(("api_token" = [])),
    responses((status = 200, description = "The keys", body = List<ListedVapidKeyView>)),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<AnyScope>,
) -> Result<Json<List<ListedVapidKeyView>>, ApiError> {
    let keys = state.server().vapid_keys(application.id).await?;
    let listed = keys
        .iter()
        .map(|(record, subscriptions)| ListedVapidKeyView {
            key: VapidKeyView::new(record),
            subscriptions: *subscriptions,
        });
    Ok(Json(List::whole(listed.collect())))
}
