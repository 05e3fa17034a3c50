//! What waits for a user agent: pure bookkeeping, without time or sockets of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use tidings_webpush::Topic;

use super::ChannelId;
use crate::push::Payload;

/// How many messages wait for one user agent.
const CAPACITY: usize = 1_000;

/// A message for a user agent.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// The message id, which the user agent knows as `version`.
    pub(crate) version: String,
    pub(crate) channel: ChannelId,
    pub(crate) topic: Option<Topic>,
    pub(crate) payload: Option<Arc<Payload>>,
    pub(crate) keep: Keep,
}

/// What becomes of a message that is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// TTL 0: it is sent to a connected user agent and forgotten.
    Not,
    /// It waits until then.
    Until(SystemTime),
}

/// The messages that are not acknowledged, in the order in which they came.
#[derive(Default)]
pub(crate) struct Mailbox {
    letters: VecDeque<Waiting>,
}

struct Waiting {
    letter: Letter,
    /// Whether the present connection has it already.
    sent: bool,
}

impl Mailbox {
    /// Adds a message; false if the oldest had to give way.
    ///
    /// A message with a topic replaces the one of the same channel and topic (RFC 8030 §5.4).
    /// One that was already sent is not recalled by that, but will not be sent again either.
    pub(crate) fn insert(&mut self, letter: Letter, connected: bool, now: SystemTime) -> bool {
        self.expire(now);
        if letter.keep == Keep::Not && !connected {
            return true;
        }
        if letter.topic.is_some() {
            self.remove(|old| old.channel == letter.channel && old.topic == letter.topic);
        }
        self.letters.push_back(Waiting {
            letter,
            sent: false,
        });
        if self.letters.len() > CAPACITY {
            self.letters.pop_front();
            return false;
        }
        true
    }

    /// What the present connection has not got yet: topics first, then by age.
    pub(crate) fn take_unsent(&mut self, now: SystemTime) -> Vec<Letter> {
        self.expire(now);
        let unsent = self.letters.iter_mut().filter(|waiting| !waiting.sent);
        let mut letters: Vec<_> = unsent
            .map(|waiting| {
                waiting.sent = true;
                waiting.letter.clone()
            })
            .collect();
        self.remove(|letter| letter.keep == Keep::Not);
        letters.sort_by_key(|letter| letter.topic.is_none());
        letters
    }

    /// The connection changed: all that waits must be sent again, except what never waits.
    pub(crate) fn restart(&mut self) {
        self.remove(|letter| letter.keep == Keep::Not);
        for waiting in &mut self.letters {
            waiting.sent = false;
        }
    }

    /// Removes what matches; true if something did.
    pub(crate) fn remove(&mut self, matches: impl Fn(&Letter) -> bool) -> bool {
        let before = self.letters.len();
        self.letters.retain(|waiting| !matches(&waiting.letter));
        self.letters.len() < before
    }

    /// Removes what nobody wants any more.
    pub(crate) fn expire(&mut self, now: SystemTime) {
        self.remove(|letter| matches!(letter.keep, Keep::Until(end) if end <= now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn letter(version: &str, ttl: u64, topic: Option<&str>) -> Letter {
        Letter {
            version: version.to_owned(),
            channel: ChannelId::parse("b1b7d1b7-6d9f-4f6b-9a58-9e8a5a6b1c11").unwrap(),
            topic: topic.map(|topic| Topic::parse(topic).unwrap()),
            payload: None,
            keep: if ttl == 0 {
                Keep::Not
            } else {
                Keep::Until(NOW + Duration::from_secs(ttl))
            },
        }
    }

    fn versions(mailbox: &mut Mailbox, after_s: u64) -> Vec<String> {
        let letters = mailbox.take_unsent(NOW + Duration::from_secs(after_s));
        letters.into_iter().map(|letter| letter.version).collect()
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_after_a_restart() {
        let mut mailbox = Mailbox::default();
        mailbox.insert(letter("a", 60, None), true, NOW);
        mailbox.insert(letter("b", 60, None), true, NOW);
        assert_eq!(versions(&mut mailbox, 0), ["a", "b"]);
        assert!(versions(&mut mailbox, 0).is_empty());
        assert!(mailbox.remove(|letter| letter.version == "a"));
        mailbox.restart();
        assert_eq!(versions(&mut mailbox, 0), ["b"]);
    }

    #[test]
    fn a_ttl_of_zero_is_sent_once_or_dropped() {
        let mut mailbox = Mailbox::default();
        mailbox.insert(letter("offline", 0, None), false, NOW);
        assert!(versions(&mut mailbox, 0).is_empty());
        mailbox.insert(letter("online", 0, None), true, NOW);
        assert_eq!(versions(&mut mailbox, 0), ["online"]);
        mailbox.restart();
        assert!(versions(&mut mailbox, 0).is_empty());
        mailbox.insert(letter("cut off", 0, None), true, NOW);
        mailbox.restart();
        assert!(versions(&mut mailbox, 0).is_empty());
    }

    #[test]
    fn a_message_expires_when_its_ttl_is_over() {
        let mut mailbox = Mailbox::default();
        mailbox.insert(letter("a", 60, None), false, NOW);
        mailbox.insert(letter("b", 61, None), false, NOW);
        assert_eq!(versions(&mut mailbox, 60), ["b"]);
    }

    #[test]
    fn a_topic_replaces_and_goes_first() {
        let mut mailbox = Mailbox::default();
        mailbox.insert(letter("old", 60, Some("news")), false, NOW);
        mailbox.insert(letter("plain", 60, None), false, NOW);
        mailbox.insert(letter("other", 60, Some("talk")), false, NOW);
        mailbox.insert(letter("new", 60, Some("news")), false, NOW);
        assert_eq!(versions(&mut mailbox, 0), ["other", "new", "plain"]);
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut mailbox = Mailbox::default();
        for version in 0..CAPACITY {
            assert!(mailbox.insert(letter(&version.to_string(), 60, None), false, NOW));
        }
        assert!(!mailbox.insert(letter("last", 60, None), false, NOW));
        let left = versions(&mut mailbox, 0);
        assert_eq!(left.len(), CAPACITY);
        assert_eq!(left.first().map(String::as_str), Some("1"));
    }
}
