//! An application's API tokens.

use axum::extract::State;

use crate::api::v1::api_tokens::ApiTokenView;
use crate::api::v1::list::List;
use crate::extract::body::Json;
use crate::extract::caller::{Admin, BackEnd};
use crate::extract::query::{ListQuery, Query};
use crate::problem::ApiError;
use crate::state::AppState;

/// Lists the application's API tokens, newest first: without their texts, and without the server's
/// admin token. Revoked and expired ones stay in the list for 30 days.
#[utoipa::path(
    get,
    path = "/v1/api-tokens",
    operation_id = "list_api_tokens",
    tag = "API tokens",
    security(("api_token" = ["admin"])),
    params(ListQuery),
    responses((status = 200, description = "A part of the list", body = List<ApiTokenView>)),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<Admin>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<ApiTokenView>>, ApiError> {
    let page = state
        .server()
        .api_tokens(application.id, query.page()?)
        .await?;
    let now = state.server().clock().now();
    Ok(Json(List::part(page, |record| {
        ApiTokenView::new(&record, &application, now)
    })))
}
