//! The user agents that speak WebSocket, their channels, and what waits for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::SystemTime;

use thiserror::Error;
use tidings_webpush::{Randomness, VapidPublicKey};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::delivery_counters::DeliveryCounters;
use crate::token::ChannelToken;

mod ids;
mod mailbox;

pub(crate) use ids::{ChannelId, Uaid};
use mailbox::Mailbox;
pub(crate) use mailbox::{Keep, Letter};

/// Channels of all user agents together, those that ended included.
const MAX_CHANNELS: usize = 200_000;

/// Why a channel was not registered.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("the sandbox has {MAX_CHANNELS} channels, which is its limit: restart it to begin anew")]
pub(crate) struct TooManyChannels;

/// A subscription of a user agent.
pub(crate) struct Channel {
    pub(crate) token: ChannelToken,
    pub(crate) id: ChannelId,
    /// The application server's key that it is tied to.
    pub(crate) key: Option<VapidPublicKey>,
    user_agent: Weak<UserAgent>,
    pub(crate) counters: DeliveryCounters,
}

impl Channel {
    /// The user agent, as long as the subscription lives.
    pub(crate) fn user_agent(&self) -> Option<Arc<UserAgent>> {
        let user_agent = self.user_agent.upgrade()?;
        let is_current = user_agent
            .lock()
            .channels
            .get(&self.id)
            .is_some_and(|current| current.token == self.token);
        is_current.then_some(user_agent)
    }
}

/// A user agent that said hello.
pub(crate) struct UserAgent {
    uaid: Uaid,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    channels: HashMap<ChannelId, Arc<Channel>>,
    mailbox: Mailbox,
    line: Option<Arc<Line>>,
}

/// A connection of a user agent, as long as no other takes its place.
#[derive(Default)]
pub(crate) struct Line {
    replaced: CancellationToken,
    /// Told whenever there is something to send.
    mail: Notify,
}

impl Line {
    /// Resolves when there may be mail.
    pub(crate) async fn mail(&self) {
        self.mail.notified().await;
    }

    /// Resolves when another connection has taken over.
    pub(crate) async fn replaced(&self) {
        self.replaced.cancelled().await;
    }
}

impl State {
    fn is_current(&self, line: &Arc<Line>) -> bool {
        self.line
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, line))
    }
}

impl UserAgent {
    fn new(uaid: Uaid) -> Arc<Self> {
        Arc::new(Self {
            uaid,
            state: Mutex::default(),
        })
    }

    pub(crate) fn uaid(&self) -> &Uaid {
        &self.uaid
    }

    /// Takes in a message for one of its channels; false if the oldest had to give way.
    pub(crate) fn post(&self, letter: Letter, now: SystemTime) -> bool {
        let mut state = self.lock();
        let connected = state.line.is_some();
        let all_kept = state.mailbox.insert(letter, connected, now);
        if let Some(line) = &state.line {
            line.mail.notify_one();
        }
        all_kept
    }

    /// What is to be sent over this connection now, in this order.
    pub(crate) fn take_mail(&self, line: &Arc<Line>, now: SystemTime) -> Vec<Letter> {
        let mut state = self.lock();
        // What a connection that was replaced took would be lost until the next one.
        if state.is_current(line) {
            state.mailbox.take_unsent(now)
        } else {
            Vec::new()
        }
    }

    /// The message is done with, whatever the user agent made of it.
    pub(crate) fn acknowledge(&self, channel: ChannelId, version: &str) {
        self.lock()
            .mailbox
            .remove(|letter| letter.channel == channel && letter.version == version);
    }

    /// Withdraws a message that was not acknowledged; false if there is none such.
    pub(crate) fn withdraw(&self, version: &str, now: SystemTime) -> bool {
        let mut state = self.lock();
        state.mailbox.expire(now);
        state.mailbox.remove(|letter| letter.version == version)
    }

    /// Ends a subscription and forgets what waits for it.
    pub(crate) fn unregister(&self, channel: ChannelId) {
        let mut state = self.lock();
        state.channels.remove(&channel);
        state.mailbox.remove(|letter| letter.channel == channel);
    }

    /// Takes the place of an earlier connection of the same user agent, which is told to end.
    pub(crate) fn connect(&self) -> Arc<Line> {
        let line = Arc::new(Line::default());
        let mut state = self.lock();
        if let Some(ghost) = state.line.replace(Arc::clone(&line)) {
            ghost.replaced.cancel();
        }
        state.mailbox.restart();
        line
    }

    /// Undoes `connect`, unless another connection has taken over.
    pub(crate) fn disconnect(&self, line: &Arc<Line>) {
        let mut state = self.lock();
        if state.is_current(line) {
            state.line = None;
            state.mailbox.restart();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All user agents.
#[derive(Default)]
pub(crate) struct UserAgents {
    by_uaid: RwLock<HashMap<Uaid, Arc<UserAgent>>>,
    by_token: RwLock<HashMap<ChannelToken, Arc<Channel>>>,
    connected: AtomicUsize,
}

impl UserAgents {
    /// The user agent that says hello: the known one, or a new one under an id of our choice,
    /// which is remembered with its first channel.
    pub(crate) fn greet(&self, uaid: Option<&str>, randomness: &dyn Randomness) -> Arc<UserAgent> {
        let known = uaid.and_then(Uaid::parse).and_then(|uaid| {
            let by_uaid = self.by_uaid.read().unwrap_or_else(PoisonError::into_inner);
            by_uaid.get(&uaid).cloned()
        });
        known.unwrap_or_else(|| UserAgent::new(Uaid::random(randomness)))
    }

    /// Registers a channel. The same channel with the same key stays the same subscription.
    pub(crate) fn register(
        &self,
        user_agent: &Arc<UserAgent>,
        id: ChannelId,
        key: Option<VapidPublicKey>,
        randomness: &dyn Randomness,
    ) -> Result<Arc<Channel>, TooManyChannels> {
        let mut state = user_agent.lock();
        if let Some(channel) = state.channels.get(&id).filter(|channel| channel.key == key) {
            return Ok(Arc::clone(channel));
        }
        let channel = Arc::new(Channel {
            token: ChannelToken::random(randomness),
            id,
            key,
            user_agent: Arc::downgrade(user_agent),
            counters: DeliveryCounters::default(),
        });
        let mut by_token = self
            .by_token
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if by_token.len() >= MAX_CHANNELS {
            return Err(TooManyChannels);
        }
        by_token.insert(channel.token, Arc::clone(&channel));
        state.channels.insert(id, Arc::clone(&channel));
        let mut by_uaid = self.by_uaid.write().unwrap_or_else(PoisonError::into_inner);
        by_uaid
            .entry(user_agent.uaid.clone())
            .or_insert_with(|| Arc::clone(user_agent));
        Ok(channel)
    }

    pub(crate) fn channel(&self, token: &ChannelToken) -> Option<Arc<Channel>> {
        self.by_token
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(token)
            .cloned()
    }

    /// Withdraws a message, whoever it is for; false if nobody waits for it.
    ///
    /// Asks each user agent: withdrawing is rare and they are few, an index would have to be kept
    /// right at every other step.
    pub(crate) fn withdraw(&self, version: &str, now: SystemTime) -> bool {
        let by_uaid = self.by_uaid.read().unwrap_or_else(PoisonError::into_inner);
        by_uaid
            .values()
            .any(|user_agent| user_agent.withdraw(version, now))
    }

    pub(crate) fn known(&self) -> usize {
        self.by_uaid
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Counts a connection that said hello, until the guard is dropped.
    pub(crate) fn count_connected(&self) -> Connected<'_> {
        self.connected.fetch_add(1, Ordering::Relaxed);
        Connected {
            count: &self.connected,
        }
    }
}

/// A connection that said hello.
pub(crate) struct Connected<'a> {
    count: &'a AtomicUsize,
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tidings_webpush::SystemRandomness;

    use super::*;

    fn channel_id() -> ChannelId {
        ChannelId::parse("b1b7d1b7-6d9f-4f6b-9a58-9e8a5a6b1c11").unwrap()
    }

    #[test]
    fn an_anonymous_user_agent_is_remembered_with_its_first_channel() {
        let agents = UserAgents::default();
        let agent = agents.greet(None, &SystemRandomness);
        let again = agents.greet(Some(agent.uaid().as_str()), &SystemRandomness);
        assert_ne!(again.uaid(), agent.uaid());
        agents
            .register(&agent, channel_id(), None, &SystemRandomness)
            .unwrap();
        let known = agents.greet(Some(agent.uaid().as_str()), &SystemRandomness);
        assert_eq!(known.uaid(), agent.uaid());
    }

    #[test]
    fn registering_again_gives_the_same_endpoint_and_another_key_a_new_one() {
        let agents = UserAgents::default();
        let agent = agents.greet(None, &SystemRandomness);
        let key = tidings_webpush::VapidKey::generate()
            .unwrap()
            .public_key()
            .clone();
        let register = |key| {
            agents
                .register(&agent, channel_id(), key, &SystemRandomness)
                .unwrap()
        };
        let first = register(None);
        assert_eq!(register(None).token, first.token);
        let restricted = register(Some(key));
        assert_ne!(restricted.token, first.token);
        assert!(first.user_agent().is_none(), "the old endpoint ended");
        assert!(restricted.user_agent().is_some());
        agent.unregister(channel_id());
        assert!(restricted.user_agent().is_none());
    }

    #[test]
    fn a_second_connection_ends_the_first_and_gets_the_mail() {
        let now = SystemTime::UNIX_EPOCH;
        let agent = UserAgents::default().greet(None, &SystemRandomness);
        let (ghost, line) = (agent.connect(), agent.connect());
        assert!(ghost.replaced.is_cancelled() && !line.replaced.is_cancelled());
        agent.disconnect(&ghost);
        let letter = Letter {
            version: "v".to_owned(),
            channel: channel_id(),
            topic: None,
            payload: None,
            keep: Keep::Not,
        };
        agent.post(letter, now);
        assert!(agent.take_mail(&ghost, now).is_empty());
        assert_eq!(agent.take_mail(&line, now).len(), 1);
        agent.disconnect(&line);
        assert!(agent.lock().line.is_none());
    }
}
