//! Messages.

mod body;
mod list;
mod notification;
mod send;
mod show;
mod ttl;

use serde::Serialize;
use tidings_core::application_server::AcceptedMessage;
use tidings_core::message::{MessageCounts, MessageRecord, ReceiptCounts};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::document;
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(send::send, list::list))
        .routes(routes!(show::show))
}

/// An accepted message.
#[derive(Serialize, ToSchema)]
#[schema(as = AcceptedMessage)]
pub(crate) struct AcceptedView {
    /// The message's id.
    #[schema(pattern = "^msg_[0-9a-f]{32}$")]
    id: String,
    /// How far it is.
    #[schema(value_type = document::MessageState)]
    state: &'static str,
}

impl AcceptedView {
    pub(crate) fn new(accepted: &AcceptedMessage) -> Self {
        Self {
            id: accepted.record.id.to_string(),
            state: accepted.record.state.as_str(),
        }
    }
}

/// A message and what became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub(crate) struct MessageView {
    /// Its id.
    #[schema(pattern = "^msg_[0-9a-f]{32}$")]
    id: String,
    /// How far it is.
    #[schema(value_type = document::MessageState)]
    state: &'static str,
    counts: CountsView,
    /// How long after its due instant it may still arrive, in seconds.
    ttl: u64,
    /// How urgent it is.
    #[schema(value_type = document::Urgency)]
    urgency: &'static str,
    /// Which undelivered message it replaces.
    #[schema(required)]
    topic: Option<String>,
    /// When it was accepted.
    #[schema(format = DateTime)]
    accepted_at: String,
    /// When it is due.
    #[schema(format = DateTime)]
    due_at: String,
    /// When its last outcome was recorded.
    #[schema(format = DateTime, required)]
    done_at: Option<String>,
}

/// How many deliveries had which outcome: `targeted` is the sum of `pending` and all other outcomes
/// at any instant. Then what browsers reported.
#[derive(Serialize, ToSchema)]
#[schema(as = Counts)]
pub(crate) struct CountsView {
    /// Deliveries in all, as far as the audience has been walked.
    targeted: u64,
    /// Not attempted yet.
    pending: u64,
    /// Waiting for another attempt.
    retrying: u64,
    /// Taken by the push service.
    accepted: u64,
    /// The push service says that the subscription is gone.
    gone: u64,
    /// Refused by the push service.
    refused: u64,
    /// Not accepted before the deadline.
    expired: u64,
    /// The subscription ended before its turn, or was no longer that person's.
    ended: u64,
    /// The message was cancelled before its turn.
    cancelled: u64,
    /// Notifications shown.
    shown: u64,
    /// Notifications clicked.
    clicked: u64,
    /// Notifications dismissed.
    dismissed: u64,
}

impl MessageView {
    fn new(record: MessageRecord) -> Self {
        Self {
            id: record.id.to_string(),
            state: record.state.as_str(),
            counts: CountsView::new(record.counts, record.receipts),
            ttl: record.options.ttl.as_secs(),
            urgency: record.options.urgency.as_str(),
            topic: record.options.topic.map(|topic| topic.as_str().to_owned()),
            accepted_at: record.accepted_at.to_string(),
            due_at: record.due_at.to_string(),
            done_at: record.done_at.map(|instant| instant.to_string()),
        }
    }
}

impl CountsView {
    fn new(counts: MessageCounts, receipts: ReceiptCounts) -> Self {
        Self {
            targeted: counts.targeted,
            pending: counts.pending(),
            retrying: counts.retrying,
            accepted: counts.accepted,
            gone: counts.gone,
            refused: counts.refused,
            expired: counts.expired,
            ended: counts.ended,
            cancelled: counts.cancelled,
            shown: receipts.shown,
            clicked: receipts.clicked,
            dismissed: receipts.dismissed,
        }
    }
}
