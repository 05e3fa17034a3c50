use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::subscriptions;
use crate::delivery_counters::DeliveryCounters;
use crate::inbox::{Content, KeptMessage};
use crate::problem::Problem;
use crate::service::PushService;

/// `GET /sandbox/messages`: what a subscription got, the oldest first.
pub(crate) async fn list(
    State(service): State<Arc<PushService>>,
    RawQuery(query): RawQuery,
) -> Result<Json<MessageList>, Problem> {
    let (subscription, receiver) = subscriptions::find(&service, query.as_deref())?;
    let messages: Vec<_> = service
        .inbox
        .of(receiver.id())
        .into_iter()
        .map(Message::from)
        .collect();
    let received = receiver.counters().map_or(0, DeliveryCounters::received);
    Ok(Json(MessageList {
        subscription,
        gone: receiver.is_gone(),
        received,
        duplicates: receiver.counters().map_or(0, DeliveryCounters::duplicates),
        truncated: u32::try_from(messages.len()).is_ok_and(|listed| listed < received),
        messages,
    }))
}

#[derive(Serialize)]
pub(crate) struct MessageList {
    /// The token at the end of the endpoint.
    subscription: String,
    gone: bool,
    /// Messages taken in since the start.
    received: u32,
    duplicates: u16,
    /// Whether some of them are no longer listed.
    truncated: bool,
    messages: Vec<Message>,
}

#[derive(Serialize)]
struct Message {
    id: String,
    received_at: Option<Timestamp>,
    ttl: u32,
    urgency: &'static str,
    topic: Option<String>,
    content_encoding: Option<&'static str>,
    body_bytes: usize,
    decrypted: bool,
    /// Why it is not decrypted.
    error: Option<String>,
    payload: Option<Payload>,
    duplicate: bool,
    /// The status that it was answered with; null while withheld, or if the sender went away.
    answer: Option<u16>,
}

/// The plaintext, in the first of these forms that it has.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Payload {
    Json(Value),
    Text(String),
    Base64(String),
}

impl Payload {
    fn of(plaintext: &[u8]) -> Self {
        match (
            serde_json::from_slice(plaintext),
            std::str::from_utf8(plaintext),
        ) {
            (Ok(json), _) => Self::Json(json),
            (Err(_), Ok(text)) => Self::Text(text.to_owned()),
            (Err(_), Err(_)) => Self::Base64(STANDARD.encode(plaintext)),
        }
    }
}

impl From<KeptMessage> for Message {
    fn from(message: KeptMessage) -> Self {
        let (payload, error) = match message.content {
            Content::Empty => (None, None),
            Content::Plaintext(plaintext) => (Some(Payload::of(&plaintext)), None),
            Content::Undecryptable(error) => (None, Some(error)),
            Content::Sealed(reason) => (None, Some(reason.to_owned())),
        };
        Self {
            id: message.id,
            received_at: Timestamp::try_from(message.received_at).ok(),
            ttl: message.ttl,
            urgency: message.urgency.as_str(),
            topic: message.topic.map(|topic| topic.as_str().to_owned()),
            content_encoding: message.content_encoding,
            body_bytes: message.body_bytes,
            decrypted: payload.is_some(),
            error,
            payload,
            duplicate: message.duplicate,
            answer: message.answer.get(),
        }
    }
}
