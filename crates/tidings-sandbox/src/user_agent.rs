//! A headless user agent: it subscribes, receives, decrypts and acknowledges as Firefox does.
//!
//! Its keys are its own; the push service sees no more than it sees of a browser. It speaks
//! Firefox's protocol over a plain `ws:` connection.
//!
//! It does nothing by itself, there is no task behind it: frames are read while one of its methods
//! waits for something. What it should do wrong is up to the test: leave messages unacknowledged
//! ([`UserAgent::next_notification`]), disappear ([`UserAgent::disconnect`]), send nonsense
//! ([`UserAgent::send_text`]).

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidings_webpush::{
    AuthSecret, PushResource, Randomness, Subscription, UserAgentKeys, VapidPublicKey, decrypt,
};
use tokio::time::Instant;
use uuid::Uuid;

mod error;
mod notification;
mod socket;

pub use error::UserAgentError;
pub use notification::{Notification, Push, PushOutcome};
use socket::Socket;

/// How long the push service may take to answer; Firefox waits as long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A user agent without a window.
pub struct UserAgent {
    url: String,
    randomness: Arc<dyn Randomness>,
    uaid: Option<String>,
    channels: HashMap<String, Channel>,
    socket: Option<Socket>,
    /// Notifications that came while an answer was awaited.
    waiting: VecDeque<Notification>,
}

/// A subscription as the user agent keeps it.
struct Channel {
    keys: UserAgentKeys,
    seen: HashSet<String>,
}

/// What `pushManager.subscribe()` gives to the page.
#[derive(Debug)]
pub struct NewSubscription {
    /// The subscription's id between user agent and push service; pages never see it.
    pub channel_id: String,
    /// What goes to the application server.
    pub subscription: Subscription,
}

impl NewSubscription {
    /// What `PushSubscription.toJSON()` gives.
    pub fn to_json(&self) -> Value {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;

        json!({
            "endpoint": self.subscription.push_resource.expose(),
            "expirationTime": null,
            "keys": {
                "p256dh": self.subscription.p256dh.to_base64url(),
                "auth": URL_SAFE_NO_PAD.encode(self.subscription.auth.expose()),
            },
        })
    }
}

/// Whether a reconnected user agent is still known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnected {
    /// Its subscriptions live.
    Resumed,
    /// The push service gave it a new id: its subscriptions are lost.
    Forgotten,
}

/// Why a subscription ends, by the code of `unregister`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsubscribeReason {
    /// 200: the page or the user unsubscribed.
    Unsubscribed,
    /// 201: too many pushes showed nothing.
    QuotaExceeded,
    /// 202: the user withdrew the permission.
    PermissionRevoked,
}

impl UnsubscribeReason {
    fn code(self) -> u16 {
        match self {
            Self::Unsubscribed => 200,
            Self::QuotaExceeded => 201,
            Self::PermissionRevoked => 202,
        }
    }
}

impl UserAgent {
    /// Connects to a push service, such as `ws://127.0.0.1:8082/`, and says hello.
    pub async fn connect(
        url: &str,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, UserAgentError> {
        let mut user_agent = Self {
            url: url.to_owned(),
            randomness,
            uaid: None,
            channels: HashMap::new(),
            socket: None,
            waiting: VecDeque::new(),
        };
        user_agent.reconnect().await?;
        Ok(user_agent)
    }

    /// Connects again, as the same user agent if it has subscriptions. An old connection is left
    /// as it is, so that the push service has to end it.
    pub async fn reconnect(&mut self) -> Result<Reconnected, UserAgentError> {
        self.socket = Some(Socket::open(&self.url).await?);
        self.waiting.clear();
        let mut hello = json!({"messageType": "hello", "broadcasts": {}, "use_webpush": true});
        let known = self.uaid.take().filter(|_| !self.channels.is_empty());
        if let (Some(uaid), Some(object)) = (&known, hello.as_object_mut()) {
            object.insert("uaid".to_owned(), Value::from(uaid.as_str()));
        }
        self.send_text(hello.to_string()).await?;
        let answer = self.answer("hello", None).await?;
        if answer.get("use_webpush") != Some(&Value::Bool(true)) {
            return Err(UserAgentError::unexpected(&answer));
        }
        let uaid = answer
            .get("uaid")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !(1..=128).contains(&uaid.len()) {
            return Err(UserAgentError::unexpected(&answer));
        }
        self.uaid = Some(uaid.to_owned());
        if known.is_none() || known == self.uaid {
            return Ok(Reconnected::Resumed);
        }
        self.channels.clear();
        Ok(Reconnected::Forgotten)
    }

    /// Connects to another push service, as a profile does whose setting was changed.
    pub async fn reconnect_to(&mut self, url: &str) -> Result<Reconnected, UserAgentError> {
        url.clone_into(&mut self.url);
        self.reconnect().await
    }

    /// Closes the connection without a word.
    pub fn disconnect(&mut self) {
        self.socket = None;
        self.waiting.clear();
    }

    /// Takes over the connection, to keep it alive beside a new one.
    pub fn detach(&mut self) -> Option<DetachedConnection> {
        self.waiting.clear();
        self.socket
            .take()
            .map(|socket| DetachedConnection { socket })
    }

    /// Subscribes, tied to the application server's key if there is one.
    pub async fn subscribe(
        &mut self,
        application_server_key: Option<&VapidPublicKey>,
    ) -> Result<NewSubscription, UserAgentError> {
        let mut octets = [0; 16];
        self.randomness.fill(&mut octets);
        let channel_id = uuid::Builder::from_random_bytes(octets).into_uuid();
        self.subscribe_as(channel_id, application_server_key).await
    }

    /// Subscribes under an id of the caller's choice; with one that is in use, the push service
    /// must give the same endpoint again.
    pub async fn subscribe_as(
        &mut self,
        channel_id: Uuid,
        application_server_key: Option<&VapidPublicKey>,
    ) -> Result<NewSubscription, UserAgentError> {
        let channel_id = channel_id.hyphenated().to_string();
        let mut register = json!({"messageType": "register", "channelID": channel_id});
        if let (Some(key), Some(object)) = (application_server_key, register.as_object_mut()) {
            use base64::Engine as _;
            // Firefox pads it.
            let key = base64::engine::general_purpose::URL_SAFE.encode(key.as_bytes());
            object.insert("key".to_owned(), Value::from(key));
        }
        self.send_text(register.to_string()).await?;
        let answer = self.answer("register", Some(&channel_id)).await?;
        let endpoint = answer
            .get("pushEndpoint")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if answer.get("status") != Some(&Value::from(200)) {
            return Err(UserAgentError::unexpected(&answer));
        }
        let push_resource = PushResource::parse(endpoint)?;
        let keys = UserAgentKeys::generate(&*self.randomness)?;
        let auth = AuthSecret::from_bytes(keys.auth().expose())?;
        let p256dh = keys.public_key().clone();
        self.channels.insert(
            channel_id.clone(),
            Channel {
                keys,
                seen: HashSet::new(),
            },
        );
        let subscription = Subscription {
            push_resource,
            p256dh,
            auth,
        };
        Ok(NewSubscription {
            channel_id,
            subscription,
        })
    }

    /// Ends a subscription and waits until the push service knows.
    pub async fn unsubscribe(
        &mut self,
        channel_id: &str,
        reason: UnsubscribeReason,
    ) -> Result<(), UserAgentError> {
        self.channels.remove(channel_id);
        let code = reason.code();
        let unregister =
            json!({"messageType": "unregister", "channelID": channel_id, "code": code});
        self.send_text(unregister.to_string()).await?;
        self.answer("unregister", Some(channel_id)).await?;
        Ok(())
    }

    /// Waits for a message, decrypts it and acknowledges it with the code that it deserves.
    pub async fn next_push(&mut self, within: Duration) -> Result<Push, UserAgentError> {
        let notification = self.next_notification(within).await?;
        let outcome = self.open(&notification);
        let Notification {
            channel_id,
            version,
            ..
        } = &notification;
        self.acknowledge(channel_id, version, outcome.code())
            .await?;
        let Notification {
            channel_id,
            version,
            ..
        } = notification;
        Ok(Push {
            channel_id,
            version,
            outcome,
        })
    }

    /// Waits for a message and leaves it as it is: neither decrypted nor acknowledged.
    pub async fn next_notification(
        &mut self,
        within: Duration,
    ) -> Result<Notification, UserAgentError> {
        if let Some(notification) = self.waiting.pop_front() {
            return Ok(notification);
        }
        let deadline = Instant::now() + within;
        loop {
            let message = self.receive(deadline).await?;
            if let Some(notification) = Notification::parse(&message)? {
                return Ok(notification);
            }
        }
    }

    /// Decrypts a message. A repeated version is a duplicate from the second call on.
    pub fn open(&mut self, notification: &Notification) -> PushOutcome {
        let Some(channel) = self.channels.get_mut(&notification.channel_id) else {
            return PushOutcome::UnknownChannel;
        };
        if !channel.seen.insert(notification.version.clone()) {
            return PushOutcome::Duplicate;
        }
        match (&notification.body, notification.encoding.as_deref()) {
            (None, _) => PushOutcome::Delivered(None),
            (Some(body), Some("aes128gcm")) => match decrypt(&channel.keys, body) {
                Ok(plaintext) => PushOutcome::Delivered(Some(plaintext)),
                Err(error) => PushOutcome::Undecryptable(error.to_string()),
            },
            (Some(_), encoding) => PushOutcome::Undecryptable(format!(
                "this user agent knows aes128gcm only, not {}",
                encoding.unwrap_or("a body without encoding")
            )),
        }
    }

    /// Acknowledges a message: 100 delivered, 101 not decrypted, 102 not delivered.
    pub async fn acknowledge(
        &mut self,
        channel_id: &str,
        version: &str,
        code: u16,
    ) -> Result<(), UserAgentError> {
        let update = json!({"channelID": channel_id, "version": version, "code": code});
        self.send_text(json!({"messageType": "ack", "updates": [update]}).to_string())
            .await
    }

    /// Says that the service worker failed: 301 it threw, 302 its promise was rejected, 303 it did
    /// not start.
    pub async fn nack(&mut self, version: &str, code: u16) -> Result<(), UserAgentError> {
        self.send_text(json!({"messageType": "nack", "version": version, "code": code}).to_string())
            .await
    }

    /// Sends an empty object and waits for one. All that was sent before has been handled then.
    pub async fn ping(&mut self) -> Result<(), UserAgentError> {
        self.send_text("{}".to_owned()).await?;
        self.answer("", None).await.map(drop)
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: String) -> Result<(), UserAgentError> {
        self.socket
            .as_mut()
            .ok_or(UserAgentError::NotConnected)?
            .send(text)
            .await
    }

    /// Waits for any message, whatever it is.
    pub async fn next_text(&mut self, within: Duration) -> Result<Value, UserAgentError> {
        self.receive(Instant::now() + within).await
    }

    /// The id that the push service gave.
    pub fn uaid(&self) -> Option<&str> {
        self.uaid.as_deref()
    }

    /// Waits until the push service closes the connection; its close code.
    pub async fn closed(&mut self) -> Result<u16, UserAgentError> {
        let socket = self.socket.take().ok_or(UserAgentError::NotConnected)?;
        DetachedConnection { socket }.closed().await
    }

    /// Waits for the answer of a type, and about a channel if one is given.
    async fn answer(
        &mut self,
        message_type: &str,
        channel_id: Option<&str>,
    ) -> Result<Value, UserAgentError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let message = self.receive(deadline).await?;
            let text = |member| message.get(member).and_then(Value::as_str);
            let is_type = text("messageType").unwrap_or_default() == message_type;
            if is_type && (channel_id.is_none() || text("channelID") == channel_id) {
                return Ok(message);
            }
            self.waiting.extend(Notification::parse(&message)?);
        }
    }

    async fn receive(&mut self, deadline: Instant) -> Result<Value, UserAgentError> {
        self.socket
            .as_mut()
            .ok_or(UserAgentError::NotConnected)?
            .receive(deadline)
            .await
    }
}

impl fmt::Debug for UserAgent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UserAgent")
            .field("url", &self.url)
            .field("channels", &self.channels.len())
            .field("connected", &self.socket.is_some())
            .finish_non_exhaustive()
    }
}

/// A connection that its user agent no longer uses.
pub struct DetachedConnection {
    socket: Socket,
}

impl DetachedConnection {
    /// Waits until the push service closes it; its close code.
    pub async fn closed(mut self) -> Result<u16, UserAgentError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            match self.socket.receive(deadline).await {
                Ok(_) => {}
                Err(UserAgentError::Closed { code }) => return Ok(code),
                Err(error) => return Err(error),
            }
        }
    }
}

impl fmt::Debug for DetachedConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DetachedConnection")
    }
}
