//! Browsers report what happened to notifications.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use tidings_core::application_server::ReportedReceipt;
use tidings_core::clock::Timestamp;
use tidings_core::id::{MessageId, SubscriptionId};
use tidings_core::receipt::{MAX_RECEIPTS, Receipt, ReceiptEvent};
use utoipa::ToSchema;

use crate::extract::body::JsonOrPlain;
use crate::extract::object::Object;
use crate::extract::path::App;
use crate::extract::text::{ActionName, Text};
use crate::problem::ApiError;
use crate::state::AppState;

/// What happened to a notification.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Receipt)]
pub(crate) struct ReceiptBody {
    /// The message it showed.
    #[schema(value_type = String, pattern = "^msg_[0-9a-f]{32}$")]
    message: Text<MessageId>,
    /// The subscription it came through.
    #[schema(value_type = String, pattern = "^sub_[0-9a-f]{32}$")]
    subscription: Text<SubscriptionId>,
    /// What happened.
    #[schema(value_type = crate::api::document::ReceiptEvent)]
    event: Text<ReceiptEvent>,
    /// The action that was clicked, if it was not the notification itself.
    #[schema(value_type = Option<String>, max_length = 64)]
    action: Option<Text<ActionName>>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Text<Timestamp>,
    /// What came inside the payload. Without it the receipt counts for nothing.
    #[serde(default)]
    #[schema(required = false)]
    proof: String,
}

/// Reports what happened to notifications. Receipts whose proof is wrong, and those that came
/// before, count for nothing; the answer does not say which those were.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/receipts",
    tag = "pages",
    params(("app" = String, Path, description = "The application, `default` for example")),
    request_body(
        description = "At most 100 receipts. `text/plain` needs no preflight.",
        content((Vec<ReceiptBody> = "application/json"), (Vec<ReceiptBody> = "text/plain")),
    ),
    responses(
        (status = 202, description = "Taken"),
        (status = 422, description = "A member is wrong, or there are too many"),
    ),
)]
pub(crate) async fn report(
    State(state): State<AppState>,
    App(application): App,
    JsonOrPlain(receipts): JsonOrPlain<Vec<Object<ReceiptBody>>>,
) -> Result<StatusCode, ApiError> {
    if receipts.len() > MAX_RECEIPTS {
        return Err(ApiError::input(
            "",
            format!("at most {MAX_RECEIPTS} receipts at a time"),
        ));
    }
    let reported = receipts
        .into_iter()
        .map(|Object(receipt)| receipt.into_reported())
        .collect();
    state
        .server()
        .report_receipts(application.id, reported)
        .await?;
    Ok(StatusCode::ACCEPTED)
}

impl ReceiptBody {
    fn into_reported(self) -> ReportedReceipt {
        let receipt = Receipt {
            message: self.message.0,
            subscription: self.subscription.0,
            event: self.event.0,
            action: self.action.map(|Text(ActionName(name))| name),
            at: self.at.0,
        };
        ReportedReceipt {
            receipt,
            proof: self.proof,
        }
    }
}
