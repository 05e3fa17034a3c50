//! One message.

use axum::extract::State;
use tidings_core::id::MessageId;

use crate::api::v1::messages::MessageView;
use crate::extract::body::Json;
use crate::extract::caller::{BackEnd, ReadMessages};
use crate::extract::path::Id;
use crate::problem::ApiError;
use crate::state::AppState;

/// Shows a message with its counts.
#[utoipa::path(
    get,
    path = "/v1/messages/{id}",
    operation_id = "get_message",
    tag = "messages",
    security(("api_token" = ["messages:read"])),
    params(("id" = String, Path, description = "The message")),
    responses(
        (status = 200, description = "The message", body = MessageView),
        (status = 404, description = "The application has no such message"),
    ),
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<ReadMessages>,
    Id(id): Id<MessageId>,
) -> Result<Json<MessageView>, ApiError> {
    let record = state.server().message(application.id, id).await?;
    record
        .map(MessageView::new)
        .map(Json)
        .ok_or(ApiError::MessageNotFound)
}
