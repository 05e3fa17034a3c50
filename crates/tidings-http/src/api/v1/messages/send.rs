//! A back end sends a message.

use axum::extract::State;
use http::StatusCode;

use crate::api::v1::messages::AcceptedView;
use crate::api::v1::messages::body::MessageBody;
use crate::extract::body::{Json, JsonText};
use crate::extract::caller::{BackEnd, SendMessages};
use crate::extract::idempotency::Idempotency;
use crate::extract::object::Object;
use crate::problem::ApiError;
use crate::state::AppState;

/// Sends a message. Once this is answered the message is durable: it is sent, or its state says why
/// not.
#[utoipa::path(
    post,
    path = "/v1/messages",
    operation_id = "send_message",
    tag = "messages",
    security(("api_token" = ["messages:send"])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description =
            "Makes a repeated request one message: kept for 24 hours", min_length = 1, max_length = 255),
    ),
    request_body = MessageBody,
    responses(
        (status = 202, description = "Accepted, now or before", body = AcceptedView),
        (status = 422, description = "A member is wrong, the message does not fit, or the \
            idempotency key was used with another body"),
    ),
)]
pub(crate) async fn send(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<SendMessages>,
    idempotency: Idempotency,
    text: JsonText,
) -> Result<(StatusCode, Json<AcceptedView>), ApiError> {
    let Object(body) = text.parse::<Object<MessageBody>>()?;
    let request = body.into_request(idempotency.for_body(&text))?;
    let accepted = state.server().accept_message(&application, request).await?;
    Ok((StatusCode::ACCEPTED, Json(AcceptedView::new(&accepted))))
}
