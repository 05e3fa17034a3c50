use std::io;

use serde_json::Value;
use thiserror::Error;
use tidings_webpush::{AuthSecretError, PrivateKeyError, PushResourceError};
use tokio_tungstenite::tungstenite;

/// Why a user agent did not get what it wanted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UserAgentError {
    /// The URL is not one of the form `ws://host:port/`.
    #[error("{url:?} is not a ws: URL: TLS is not spoken here")]
    Url {
        /// What was given.
        url: String,
    },
    /// There is no connection to the push service.
    #[error("cannot connect to the push service: {0}")]
    Connect(#[from] io::Error),
    /// The WebSocket failed.
    #[error("the WebSocket failed: {0}")]
    WebSocket(#[source] Box<tungstenite::Error>),
    /// The method needs a connection: call `reconnect`.
    #[error("not connected: call reconnect first")]
    NotConnected,
    /// The push service closed the connection.
    #[error("the push service closed the connection with code {code}")]
    Closed {
        /// The close code; 1006 if the connection ended without one (RFC 6455 §7.1.5).
        code: u16,
    },
    /// Nothing came in time.
    #[error("nothing came in time")]
    Timeout,
    /// The push service sent what Firefox would not take.
    #[error("the push service sent what a browser would not take: {message}")]
    Unexpected {
        /// The message.
        message: String,
    },
    /// The endpoint cannot be used.
    #[error("the endpoint cannot be used: {0}")]
    Endpoint(#[from] PushResourceError),
    /// The randomness gives no keys.
    #[error("no keys could be made: {0}")]
    Keys(#[from] PrivateKeyError),
    /// The authentication secret is unusable.
    #[error("no authentication secret could be made: {0}")]
    Auth(#[from] AuthSecretError),
}

impl UserAgentError {
    pub(super) fn unexpected(message: &Value) -> Self {
        Self::Unexpected {
            message: message.to_string(),
        }
    }
}

impl From<tungstenite::Error> for UserAgentError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
                Self::Closed { code: 1006 }
            }
            error => Self::WebSocket(Box::new(error)),
        }
    }
}
