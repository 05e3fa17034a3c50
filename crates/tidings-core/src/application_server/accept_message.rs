//! A caller hands over a message: checked, made durable, answered.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_webpush::{Topic, Urgency};

use crate::application::Application;
use crate::application_server::{ApplicationServer, receipts_url};
use crate::content::{Content, PayloadTooLarge};
use crate::id::MessageId;
use crate::message::{Audience, DEFAULT_TTL, MessageOptions, MessageRecord, NewMessage};
use crate::store::{Accepted, IdempotencyKey, StoreError};

mod notification;

pub use crate::application_server::accept_message::notification::NotificationError;

/// What a caller asks to send.
#[derive(Clone, Debug)]
pub struct MessageRequest {
    /// Who gets it.
    pub audience: Audience,
    /// What they get.
    pub content: ContentRequest,
    /// How long after its due instant it may still arrive; 24 hours if not said.
    pub ttl: Option<Duration>,
    /// How urgent it is.
    pub urgency: Urgency,
    /// Which undelivered message it replaces.
    pub topic: Option<Topic>,
    /// The caller's promise that a repeated request is the same one.
    pub idempotency: Option<IdempotencyKey>,
}

/// What a caller asks to show, before it was checked. Its `Debug` does not tell.
#[derive(Clone)]
pub enum ContentRequest {
    /// The member `notification` of Declarative Web Push, with the web's own names.
    Notification {
        /// Its members.
        notification: Map<String, Value>,
        /// The number on the app's icon.
        app_badge: Option<u64>,
    },
    /// Any JSON for the site's own worker.
    Data(Value),
    /// Exact bytes.
    Bytes(Vec<u8>),
}

impl fmt::Debug for ContentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentRequest")
    }
}

/// An accepted message.
#[derive(Clone, Debug)]
pub struct AcceptedMessage {
    /// The message.
    pub record: MessageRecord,
    /// Whether the same request had been accepted before.
    pub repeated: bool,
}

/// Why a message was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// A member of `notification` is wrong.
    #[error(transparent)]
    Notification(#[from] NotificationError),
    /// It cannot fit into one push message.
    #[error(transparent)]
    TooLarge(#[from] PayloadTooLarge),
    /// The idempotency key was used with another body.
    #[error("this idempotency key was used with another body")]
    IdempotencyKeyReused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApplicationServer {
    /// Accepts a message: when this returns it is durable, and is sent or says why not.
    pub async fn accept_message(
        &self,
        application: &Application,
        request: MessageRequest,
    ) -> Result<AcceptedMessage, AcceptError> {
        let now = self.parts.clock.now();
        let id = MessageId::new(now, self.parts.randomness.as_ref());
        let content = match request.content {
            ContentRequest::Notification {
                notification,
                app_badge,
            } => notification::check(notification, app_badge, &application.site_url)?,
            ContentRequest::Data(data) => Content::Data(data),
            ContentRequest::Bytes(bytes) => Content::Bytes(bytes),
        };
        let receipts = receipts_url(&self.parts.public_url, &application.name);
        content
            .render(id, &receipts, self.parts.randomness.as_ref())
            .check_size()?;
        let message = NewMessage {
            id,
            application: application.id,
            audience: request.audience,
            content,
            options: MessageOptions {
                ttl: request.ttl.unwrap_or(DEFAULT_TTL),
                urgency: request.urgency,
                topic: request.topic,
            },
            accepted_at: now,
            due_at: now,
        };
        let stored = self
            .parts
            .store
            .accept(message, request.idempotency)
            .await?;
        self.parts.planner.message_accepted();
        accepted(stored)
    }
}

pub(super) fn accepted(stored: Accepted) -> Result<AcceptedMessage, AcceptError> {
    match stored {
        Accepted::New(record) => Ok(AcceptedMessage {
            record,
            repeated: false,
        }),
        Accepted::Before(record) => Ok(AcceptedMessage {
            record,
            repeated: true,
        }),
        Accepted::KeyReused => Err(AcceptError::IdempotencyKeyReused),
    }
}
