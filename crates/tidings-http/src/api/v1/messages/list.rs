//! An application's messages.

use axum::extract::State;

use crate::api::v1::list::List;
use crate::api::v1::messages::MessageView;
use crate::extract::body::Json;
use crate::extract::caller::{BackEnd, ReadMessages};
use crate::extract::query::{ListQuery, Query};
use crate::problem::ApiError;
use crate::state::AppState;

/// Lists messages, newest first.
#[utoipa::path(
    get,
    path = "/v1/messages",
    operation_id = "list_messages",
    tag = "messages",
    security(("api_token" = ["messages:read"])),
    params(ListQuery),
    responses((status = 200, description = "A part of the list", body = List<MessageView>)),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<ReadMessages>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<MessageView>>, ApiError> {
    let page = state
        .server()
        .messages(application.id, query.page()?)
        .await?;
    Ok(Json(List::part(page, MessageView::new)))
}
