//! The last messages of each subscription, for whoever asks what arrived.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use tidings_webpush::{Topic, Urgency};

use crate::options::KeptMessages;
use crate::token::ChannelToken;

const SHARDS: usize = 16;

/// Names a subscription inside the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ReceiverId {
    Channel(ChannelToken),
    Virtual(u32),
}

impl ReceiverId {
    /// A form for hashing; no two ids share it.
    pub(crate) fn octets(self) -> [u8; 32] {
        let mut octets = [0; 32];
        match self {
            Self::Channel(token) => {
                for (to, from) in octets.iter_mut().zip(token.encode().bytes()) {
                    *to = from;
                }
            }
            Self::Virtual(index) => octets[..4].copy_from_slice(&index.to_be_bytes()),
        }
        octets
    }
}

/// A message that was taken in.
#[derive(Clone)]
pub(crate) struct KeptMessage {
    pub(crate) id: String,
    pub(crate) received_at: SystemTime,
    pub(crate) ttl: u32,
    pub(crate) urgency: Urgency,
    pub(crate) topic: Option<Topic>,
    pub(crate) content_encoding: Option<&'static str>,
    pub(crate) body_bytes: usize,
    pub(crate) content: Content,
    pub(crate) duplicate: bool,
    pub(crate) answer: AnswerSlot,
}

/// What the sandbox could make of a body.
#[derive(Clone)]
pub(crate) enum Content {
    /// There was none: a push without payload.
    Empty,
    /// Decrypted.
    Plaintext(Bytes),
    /// Should have been decrypted, but could not be: the sender's fault.
    Undecryptable(String),
    /// Not tried, for this reason.
    Sealed(&'static str),
}

/// The status that a message was answered with, once it was.
#[derive(Clone, Default)]
pub(crate) struct AnswerSlot {
    status: Arc<AtomicU16>,
}

impl AnswerSlot {
    pub(crate) fn set(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }
}

impl KeptMessage {
    fn bytes(&self) -> usize {
        match &self.content {
            Content::Plaintext(plaintext) => plaintext.len(),
            Content::Empty | Content::Undecryptable(_) | Content::Sealed(_) => 0,
        }
    }
}

/// The store, in shards so that senders do not wait for each other.
pub(crate) struct Inbox {
    kept: KeptMessages,
    hash: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    by_receiver: HashMap<ReceiverId, VecDeque<KeptMessage>>,
    /// Whose message goes next when there are too many. Each receiver is in here as often as it
    /// has messages.
    order: VecDeque<ReceiverId>,
    bytes: usize,
}

impl Shard {
    fn push(&mut self, receiver: ReceiverId, message: KeptMessage, per_receiver: usize) {
        self.bytes += message.bytes();
        let messages = self.by_receiver.entry(receiver).or_default();
        messages.push_back(message);
        if messages.len() <= per_receiver {
            self.order.push_back(receiver);
        } else if let Some(oldest) = messages.pop_front() {
            self.bytes -= oldest.bytes();
        }
    }

    fn shrink(&mut self, count: usize, bytes: usize) {
        while self.order.len() > count || self.bytes > bytes {
            let Some(receiver) = self.order.pop_front() else {
                return;
            };
            let Some(messages) = self.by_receiver.get_mut(&receiver) else {
                continue;
            };
            if let Some(oldest) = messages.pop_front() {
                self.bytes -= oldest.bytes();
            }
            if messages.is_empty() {
                self.by_receiver.remove(&receiver);
            }
        }
    }
}

impl Inbox {
    pub(crate) fn new(kept: KeptMessages) -> Self {
        Self {
            kept,
            hash: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Whether messages with this topic are kept.
    pub(crate) fn keeps(&self, topic: Option<&Topic>) -> bool {
        let is_wanted = topic.is_some() || !self.kept.only_with_topic;
        is_wanted && self.kept.per_subscription > 0 && self.kept.total > 0
    }

    pub(crate) fn push(&self, receiver: ReceiverId, message: KeptMessage) {
        if !self.keeps(message.topic.as_ref()) {
            return;
        }
        let Some(shard) = self.shard(receiver) else {
            return;
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.push(receiver, message, self.kept.per_subscription);
        shard.shrink(
            self.kept.total.div_ceil(SHARDS),
            self.kept.total_bytes.div_ceil(SHARDS),
        );
    }

    /// What is left of the messages of a subscription, the oldest first.
    pub(crate) fn of(&self, receiver: ReceiverId) -> Vec<KeptMessage> {
        let Some(shard) = self.shard(receiver) else {
            return Vec::new();
        };
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard
            .by_receiver
            .get(&receiver)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    fn shard(&self, receiver: ReceiverId) -> Option<&Mutex<Shard>> {
        let place = self.hash.hash_one(receiver) % SHARDS as u64;
        self.shards.get(usize::try_from(place).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: usize) -> KeptMessage {
        KeptMessage {
            id: id.to_string(),
            received_at: SystemTime::UNIX_EPOCH,
            ttl: 0,
            urgency: Urgency::Normal,
            topic: None,
            content_encoding: None,
            body_bytes: 0,
            content: Content::Plaintext(Bytes::from_static(b"0123456789")),
            duplicate: false,
            answer: AnswerSlot::default(),
        }
    }

    fn ids(inbox: &Inbox, receiver: u32) -> Vec<String> {
        inbox
            .of(ReceiverId::Virtual(receiver))
            .into_iter()
            .map(|message| message.id)
            .collect()
    }

    #[test]
    fn the_last_messages_of_a_subscription_stay() {
        let inbox = Inbox::new(KeptMessages {
            per_subscription: 2,
            ..KeptMessages::default()
        });
        for id in 0..5 {
            inbox.push(ReceiverId::Virtual(1), message(id));
        }
        assert_eq!(ids(&inbox, 1), ["3", "4"]);
    }

    #[test]
    fn all_together_stay_below_the_limits() {
        for kept in [
            KeptMessages {
                per_subscription: 9,
                total: 64,
                total_bytes: usize::MAX,
                ..KeptMessages::default()
            },
            KeptMessages {
                per_subscription: 9,
                total: 10_000,
                total_bytes: 640,
                ..KeptMessages::default()
            },
        ] {
            let inbox = Inbox::new(kept);
            for id in 0..1000 {
                inbox.push(
                    ReceiverId::Virtual(u32::try_from(id).unwrap() % 300),
                    message(id),
                );
            }
            let left: usize = (0..300).map(|receiver| ids(&inbox, receiver).len()).sum();
            assert!((1..=64).contains(&left), "{left} messages are left");
        }
    }

    #[test]
    fn a_store_for_topics_keeps_no_others() {
        let inbox = Inbox::new(KeptMessages {
            only_with_topic: true,
            ..KeptMessages::default()
        });
        inbox.push(ReceiverId::Virtual(1), message(0));
        let with_topic = KeptMessage {
            topic: Some(Topic::parse("news").unwrap()),
            ..message(1)
        };
        inbox.push(ReceiverId::Virtual(1), with_topic);
        assert_eq!(ids(&inbox, 1), ["1"]);
    }

    #[test]
    fn a_store_of_nothing_keeps_nothing() {
        let inbox = Inbox::new(KeptMessages {
            per_subscription: 0,
            ..KeptMessages::default()
        });
        inbox.push(ReceiverId::Virtual(1), message(0));
        assert!(ids(&inbox, 1).is_empty());
    }
}
