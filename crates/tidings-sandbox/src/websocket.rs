//! Firefox's protocol towards user agents.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use serde::Serialize;
use thiserror::Error;
use tidings_webpush::VapidPublicKey;
use tokio::time::Instant;

use crate::connections::Listener;
use crate::service::PushService;
use crate::user_agents::{Channel, ChannelId, Line, UserAgent};

mod conversation;
mod frame;

pub use conversation::Conversation;

use frame::{FromUserAgent, PONG, ToUserAgent, Update};

/// The subprotocol that Firefox offers.
pub(crate) const SUBPROTOCOL: &str = "push-notification";

/// The largest message of a user agent, in octets; the longest are lists of acknowledgements.
pub(crate) const MAX_FRAME_BYTES: usize = 128 * 1024;

/// How long a new connection may stay silent.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a user agent may take to read one message before its connection is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a silent user agent is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_mins(5);

/// How long it may take to answer that.
const PONG_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a connection ends.
#[derive(Debug, Error)]
enum End {
    #[error("the user agent went away")]
    Gone,
    #[error("no hello came in time")]
    NoHello,
    #[error("no answer to a ping came in time")]
    NoPong,
    #[error("the user agent does not read what it is sent")]
    SlowReader,
    #[error("messages must be text")]
    NotText,
    #[error("not a message of this protocol: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("the first message must be hello, and no other")]
    Hello,
    #[error("a channelID must be a lower-case UUID with dashes")]
    ChannelId,
    #[error("another connection of the same user agent has taken over")]
    Replaced,
    #[error("the sandbox shuts down")]
    ShuttingDown,
}

impl End {
    fn close_code(&self) -> u16 {
        match self {
            Self::Replaced | Self::Gone => close_code::NORMAL,
            Self::ShuttingDown => close_code::AWAY,
            Self::NotText => close_code::UNSUPPORTED,
            Self::NoHello
            | Self::NoPong
            | Self::SlowReader
            | Self::NotJson(_)
            | Self::Hello
            | Self::ChannelId => close_code::ERROR,
        }
    }
}

/// Serves one user agent until its connection ends.
pub(crate) async fn serve(service: Arc<PushService>, mut socket: WebSocket, listener: Listener) {
    let draining = service.draining.clone();
    let end = tokio::select! {
        end = converse(&service, &mut socket, listener) => end,
        () = draining.cancelled() => End::ShuttingDown,
    };
    tracing::debug!(reason = %end, "a user agent's connection ended");
    let frame = CloseFrame {
        code: end.close_code(),
        reason: end.to_string().into(),
    };
    // Best effort: the other side may be gone or may not read.
    let _ = tokio::time::timeout(HELLO_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
}

async fn converse(service: &PushService, socket: &mut WebSocket, listener: Listener) -> End {
    let hello = tokio::time::timeout(HELLO_TIMEOUT, receive(socket)).await;
    let uaid = match hello {
        Err(_) => return End::NoHello,
        Ok(Err(end)) => return end,
        Ok(Ok(Incoming::Message(FromUserAgent::Hello { uaid }))) => uaid,
        Ok(Ok(_)) => return End::Hello,
    };
    let user_agent = service
        .user_agents
        .greet(uaid.as_deref(), &*service.randomness);
    let _counted = service.user_agents.count_connected();
    let line = user_agent.connect();
    let session = Session {
        service,
        user_agent,
        line,
        listener,
    };
    let end = tokio::select! {
        end = session.run(socket) => end.err().unwrap_or(End::Gone),
        () = session.line.replaced() => End::Replaced,
    };
    session.user_agent.disconnect(&session.line);
    end
}

/// A user agent that said hello, on one connection.
struct Session<'a> {
    service: &'a PushService,
    user_agent: Arc<UserAgent>,
    line: Arc<Line>,
    listener: Listener,
}

impl Session<'_> {
    async fn run(&self, socket: &mut WebSocket) -> Result<(), End> {
        send(socket, &ToUserAgent::hello(self.user_agent.uaid().as_str())).await?;
        self.service.stats.hellos.increment();
        self.deliver(socket).await?;
        let mut silence = Silence::new();
        loop {
            tokio::select! {
                incoming = receive(socket) => {
                    silence.broken();
                    if let Incoming::Message(message) = incoming? {
                        self.handle(socket, message).await?;
                    }
                }
                () = self.line.mail() => self.deliver(socket).await?,
                () = tokio::time::sleep_until(silence.deadline()) => {
                    silence.ask()?;
                    send_raw(socket, Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    async fn handle(&self, socket: &mut WebSocket, message: FromUserAgent) -> Result<(), End> {
        match self.answer(message)? {
            Some(answer) => send_raw(socket, Message::text(answer)).await,
            None => Ok(()),
        }
    }

    /// Does what a message asks for, and returns what is to be said to it.
    fn answer(&self, message: FromUserAgent) -> Result<Option<String>, End> {
        match message {
            FromUserAgent::Hello { .. } => Err(End::Hello),
            FromUserAgent::Register { channel_id, key } => {
                self.register(&channel_id, key.as_deref()).map(Some)
            }
            FromUserAgent::Unregister { channel_id, code } => {
                self.unregister(&channel_id, code).map(Some)
            }
            FromUserAgent::Ack { updates } => {
                updates
                    .iter()
                    .try_for_each(|update| self.acknowledge(update))?;
                Ok(None)
            }
            FromUserAgent::Nack { version, code } => {
                self.service.stats.nacks.count(code.unwrap_or(0));
                tracing::warn!(
                    version,
                    code,
                    "a service worker failed at a message: 301 threw, 302 rejected, 303 did not start"
                );
                Ok(None)
            }
            FromUserAgent::Ping => Ok(Some(PONG.to_owned())),
            FromUserAgent::BroadcastSubscribe => Ok(None),
            FromUserAgent::Unknown => {
                tracing::warn!("a user agent sent a message of an unknown type: ignored");
                Ok(None)
            }
        }
    }

    fn register(&self, channel_id: &str, key: Option<&str>) -> Result<String, End> {
        let id = ChannelId::parse(channel_id).ok_or(End::ChannelId)?;
        let (status, push_endpoint) = match key.map(VapidPublicKey::parse).transpose() {
            Ok(key) => self.open_channel(id, key),
            Err(error) => {
                tracing::warn!(%error, "a user agent registered with a bad key");
                (400, "Failed to generate endpoint".to_owned())
            }
        };
        Ok(serde_json::to_string(&ToUserAgent::Register {
            channel_id,
            status,
            push_endpoint: &push_endpoint,
        })?)
    }

    fn unregister(&self, channel_id: &str, code: Option<u16>) -> Result<String, End> {
        let channel = ChannelId::parse(channel_id).ok_or(End::ChannelId)?;
        self.user_agent.unregister(channel);
        self.service.stats.unregisters.count(code.unwrap_or(200));
        Ok(serde_json::to_string(&ToUserAgent::Unregister {
            channel_id,
            status: 200,
        })?)
    }

    fn open_channel(&self, id: ChannelId, key: Option<VapidPublicKey>) -> (u16, String) {
        let agents = &self.service.user_agents;
        match agents.register(&self.user_agent, id, key, &*self.service.randomness) {
            Ok(channel) => {
                self.service.stats.registers.increment();
                (200, self.endpoint(&channel))
            }
            Err(error) => {
                tracing::error!(%error, "a channel was not registered");
                (500, String::new())
            }
        }
    }

    fn endpoint(&self, channel: &Channel) -> String {
        self.service.endpoint(
            self.listener,
            channel.key.is_some(),
            &channel.token.encode(),
        )
    }

    fn acknowledge(&self, update: &Update) -> Result<(), End> {
        let channel = ChannelId::parse(&update.channel_id).ok_or(End::ChannelId)?;
        let code = update.code.unwrap_or(100);
        self.service.stats.acks.count(code);
        if code == 101 {
            tracing::error!(
                version = update.version,
                "a user agent could not decrypt a message (ack 101): the sender's encryption is wrong"
            );
        }
        self.user_agent.acknowledge(channel, &update.version);
        Ok(())
    }

    async fn deliver(&self, socket: &mut WebSocket) -> Result<(), End> {
        for letter in self.user_agent.take_mail(&self.line, self.service.now()) {
            send(socket, &ToUserAgent::notification(&letter)).await?;
        }
        Ok(())
    }
}

/// How long a user agent has said nothing.
struct Silence {
    since: Instant,
    asked: bool,
}

impl Silence {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            asked: false,
        }
    }

    fn broken(&mut self) {
        *self = Self::new();
    }

    /// When to ask, or to give up.
    fn deadline(&self) -> Instant {
        self.since
            + PING_INTERVAL
            + if self.asked {
                PONG_TIMEOUT
            } else {
                Duration::ZERO
            }
    }

    fn ask(&mut self) -> Result<(), End> {
        if self.asked {
            return Err(End::NoPong);
        }
        self.asked = true;
        Ok(())
    }
}

enum Incoming {
    Message(FromUserAgent),
    /// A frame of the WebSocket itself, which says nothing but that somebody is there.
    Control,
}

/// Cancelling this loses nothing: it only waits for one whole message.
async fn receive(socket: &mut WebSocket) -> Result<Incoming, End> {
    match socket.recv().await {
        Some(Ok(Message::Text(text))) => Ok(Incoming::Message(FromUserAgent::parse(&text)?)),
        Some(Ok(Message::Binary(_))) => Err(End::NotText),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Incoming::Control),
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
    }
}

async fn send<T: Serialize>(socket: &mut WebSocket, message: &T) -> Result<(), End> {
    send_raw(socket, Message::text(serde_json::to_string(message)?)).await
}

async fn send_raw(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match tokio::time::timeout(SEND_TIMEOUT, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::SlowReader),
    }
}
