//! What a message says, and the text that is encrypted for each subscription.

use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use tidings_webpush::{MAX_PLAINTEXT_BYTES, Randomness};

use crate::id::{MessageId, SubscriptionId};
use crate::mac::{Macs, PROOF_CHARACTERS};

/// Characters of a subscription's identifier on the wire.
const SUBSCRIPTION_ID_CHARACTERS: usize = 4 + 32;

/// What a message says. Its `Debug` does not.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// A notification that every browser shows: Declarative Web Push JSON.
    Notification {
        /// The member `notification` with the web's own names; `navigate` is absolute.
        notification: Map<String, Value>,
        /// The number on the app's icon.
        app_badge: Option<u64>,
        /// Whether a service worker may change what is shown.
        mutable: bool,
    },
    /// Any JSON, for the site's own worker.
    Data(Value),
    /// Exact bytes; nothing is added, so there are no receipts.
    Bytes(Vec<u8>),
}

/// A payload that cannot fit into one push message (RFC 8291 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the payload is too large by {over_by} octets: at most {MAX_PLAINTEXT_BYTES} can be encrypted"
)]
pub struct PayloadTooLarge {
    /// By how many octets.
    pub over_by: usize,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content")
    }
}

impl Content {
    /// The form a store seals.
    pub fn to_stored(&self) -> Vec<u8> {
        let stored = match self {
            Self::Notification {
                notification,
                app_badge,
                mutable,
            } => {
                json!({"notification": notification, "app_badge": app_badge, "mutable": mutable})
            }
            Self::Data(data) => json!({ "data": data }),
            Self::Bytes(bytes) => json!({"bytes": URL_SAFE_NO_PAD.encode(bytes)}),
        };
        stored.to_string().into_bytes()
    }

    /// Reads [`Self::to_stored`].
    pub fn from_stored(stored: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut members)) = serde_json::from_slice(stored) else {
            return None;
        };
        if let Some(Value::Object(notification)) = members.remove("notification") {
            return Some(Self::Notification {
                notification,
                app_badge: members.get("app_badge").and_then(Value::as_u64),
                mutable: members
                    .get("mutable")
                    .and_then(Value::as_bool)
                    .unwrap_or(true),
            });
        }
        if let Some(bytes) = members.get("bytes").and_then(Value::as_str) {
            return URL_SAFE_NO_PAD.decode(bytes).ok().map(Self::Bytes);
        }
        members.remove("data").map(Self::Data)
    }

    /// The text for everybody, with room for what differs.
    pub fn render(
        &self,
        message: MessageId,
        receipts_url: &str,
        randomness: &dyn Randomness,
    ) -> RenderedPayload {
        // Random text marks the slots: no caller can write it into a payload by intent or accident.
        let subscription_slot = random_text(SUBSCRIPTION_ID_CHARACTERS, randomness);
        let proof_slot = random_text(PROOF_CHARACTERS, randomness);
        let ours = json!({
            "message": message.to_string(),
            "subscription": subscription_slot,
            "proof": proof_slot,
            "receipts": receipts_url,
        });
        let text = match self {
            Self::Notification {
                notification,
                app_badge,
                mutable,
            } => declarative(notification, *app_badge, *mutable, ours)
                .to_string()
                .into_bytes(),
            Self::Data(data) => json!({"tidings": ours, "data": data})
                .to_string()
                .into_bytes(),
            Self::Bytes(bytes) => {
                return RenderedPayload {
                    text: bytes.clone(),
                    slots: None,
                };
            }
        };
        let slots = find(&text, subscription_slot.as_bytes())
            .zip(find(&text, proof_slot.as_bytes()))
            .map(|(subscription, proof)| Slots {
                subscription,
                proof,
            });
        RenderedPayload { text, slots }
    }
}

/// Declarative Web Push JSON. `app_badge` and `mutable` stand in both places where browsers look
/// for them: inside `notification` (WebKit) and beside it (W3C Push API).
fn declarative(
    notification: &Map<String, Value>,
    app_badge: Option<u64>,
    mutable: bool,
    ours: Value,
) -> Value {
    let mut notification = notification.clone();
    let data = notification
        .entry("data")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(data) = data {
        data.insert("tidings".to_owned(), ours);
    }
    notification.insert("mutable".to_owned(), mutable.into());
    let mut whole = Map::new();
    whole.insert("web_push".to_owned(), 8030.into());
    if let Some(badge) = app_badge {
        notification.insert("app_badge".to_owned(), badge.to_string().into());
        whole.insert("app_badge".to_owned(), badge.to_string().into());
    }
    whole.insert("notification".to_owned(), notification.into());
    whole.insert("mutable".to_owned(), mutable.into());
    whole.into()
}

fn random_text(characters: usize, randomness: &dyn Randomness) -> String {
    let mut bytes = vec![0; (characters * 6).div_ceil(8)];
    randomness.fill(&mut bytes);
    let mut text = URL_SAFE_NO_PAD.encode(bytes);
    text.truncate(characters);
    text
}

fn find(text: &[u8], slot: &[u8]) -> Option<Range<usize>> {
    let start = text.windows(slot.len()).position(|window| window == slot)?;
    Some(start..start + slot.len())
}

/// A payload rendered once for all: only the subscription's id and the receipt's proof differ, and
/// they always have the same width.
#[derive(Clone)]
pub struct RenderedPayload {
    text: Vec<u8>,
    slots: Option<Slots>,
}

impl fmt::Debug for RenderedPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RenderedPayload")
    }
}

#[derive(Clone)]
struct Slots {
    subscription: Range<usize>,
    proof: Range<usize>,
}

impl RenderedPayload {
    /// Whether it fits into one push message: its size does not depend on the subscription.
    pub fn check_size(&self) -> Result<(), PayloadTooLarge> {
        match self.text.len().checked_sub(MAX_PLAINTEXT_BYTES) {
            None | Some(0) => Ok(()),
            Some(over_by) => Err(PayloadTooLarge { over_by }),
        }
    }

    /// The payload for one subscription.
    pub fn fill(&self, message: MessageId, subscription: SubscriptionId, macs: &Macs) -> Vec<u8> {
        let mut text = self.text.clone();
        if let Some(slots) = &self.slots {
            write(&mut text, &slots.subscription, &subscription.to_string());
            write(
                &mut text,
                &slots.proof,
                &macs.receipt_proof(message, subscription),
            );
        }
        text
    }
}

fn write(text: &mut [u8], slot: &Range<usize>, value: &str) {
    if let Some(place) = text.get_mut(slot.clone())
        && place.len() == value.len()
    {
        place.copy_from_slice(value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use tidings_webpush::SystemRandomness;

    use super::*;
    use crate::clock::Timestamp;
    use crate::mac::MacSecrets;

    const RECEIPTS: &str = "https://push.example.org/v1/apps/default/receipts";

    fn ids() -> (MessageId, SubscriptionId, Macs) {
        let now = Timestamp::from_millis(1_764_000_000_000);
        (
            MessageId::new(now, &SystemRandomness),
            SubscriptionId::new(now, &SystemRandomness),
            Macs::new(&MacSecrets::generate(&SystemRandomness)),
        )
    }

    fn notification(members: Value) -> Content {
        let Value::Object(notification) = members else {
            unreachable!("tests pass objects")
        };
        Content::Notification {
            notification,
            app_badge: Some(3),
            mutable: true,
        }
    }

    #[test]
    fn a_notification_becomes_declarative_json_with_our_data_inside() {
        let (message, subscription, macs) = ids();
        let content = notification(json!({
            "title": "Hi",
            "navigate": "https://example.org/",
            "data": {"order": 7},
        }));
        let rendered = content.render(message, RECEIPTS, &SystemRandomness);
        let filled: Value =
            serde_json::from_slice(&rendered.fill(message, subscription, &macs)).unwrap();
        assert_eq!(
            filled,
            json!({
                "web_push": 8030,
                "notification": {
                    "title": "Hi",
                    "navigate": "https://example.org/",
                    "data": {
                        "order": 7,
                        "tidings": {
                            "message": message.to_string(),
                            "subscription": subscription.to_string(),
                            "proof": macs.receipt_proof(message, subscription),
                            "receipts": RECEIPTS,
                        },
                    },
                    "app_badge": "3",
                    "mutable": true,
                },
                "app_badge": "3",
                "mutable": true,
            })
        );
    }

    #[test]
    fn every_subscription_gets_text_of_the_same_length() {
        let (message, _, macs) = ids();
        let rendered = Content::Data(json!([1, "a"])).render(message, RECEIPTS, &SystemRandomness);
        for milliseconds in [0, 1, i64::MAX] {
            let id = SubscriptionId::new(Timestamp::from_millis(milliseconds), &SystemRandomness);
            let text = rendered.fill(message, id, &macs);
            assert_eq!(text.len(), rendered.text.len());
            let value: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value["tidings"]["subscription"], id.to_string());
            assert_eq!(value["data"], json!([1, "a"]));
        }
    }

    #[test]
    fn what_a_message_says_is_not_for_logs() {
        let (message, ..) = ids();
        let content = notification(json!({"title": "Your code is 123456"}));
        let rendered = content.render(message, RECEIPTS, &SystemRandomness);
        assert_eq!(
            format!("{content:?} {rendered:?}"),
            "Content RenderedPayload"
        );
    }

    #[test]
    fn exact_bytes_stay_exact() {
        let (message, subscription, macs) = ids();
        let rendered = Content::Bytes(vec![0, 255]).render(message, RECEIPTS, &SystemRandomness);
        assert_eq!(rendered.fill(message, subscription, &macs), [0, 255]);
    }

    #[test]
    fn what_cannot_fit_says_by_how_much() {
        let (message, ..) = ids();
        let fits = Content::Bytes(vec![7; MAX_PLAINTEXT_BYTES]);
        assert_eq!(
            fits.render(message, RECEIPTS, &SystemRandomness)
                .check_size(),
            Ok(())
        );
        let over = Content::Bytes(vec![7; MAX_PLAINTEXT_BYTES + 5]);
        assert_eq!(
            over.render(message, RECEIPTS, &SystemRandomness)
                .check_size(),
            Err(PayloadTooLarge { over_by: 5 })
        );
    }

    #[test]
    fn the_stored_form_is_read_back() {
        for content in [
            notification(json!({"title": "Hi"})),
            Content::Notification {
                notification: Map::new(),
                app_badge: None,
                mutable: false,
            },
            Content::Data(Value::Null),
            Content::Data(json!({"notification": {"title": "not ours"}})),
            Content::Bytes(vec![1, 2, 3]),
        ] {
            assert_eq!(Content::from_stored(&content.to_stored()), Some(content));
        }
    }
}
