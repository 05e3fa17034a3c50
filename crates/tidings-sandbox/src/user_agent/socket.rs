use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use url::Url;

use super::UserAgentError;
use crate::websocket::SUBPROTOCOL;

/// What RFC 6455 §7.4.1 has for "closed without a code" and "ended without being closed".
const NO_STATUS: u16 = 1005;
const ABNORMAL: u16 = 1006;

/// A WebSocket that carries one JSON object in each text frame.
pub(super) struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    pub(super) async fn open(url: &str) -> Result<Self, UserAgentError> {
        let bad_url = || UserAgentError::Url {
            url: url.to_owned(),
        };
        let parsed = Url::parse(url).map_err(|_| bad_url())?;
        let host = parsed
            .host_str()
            .filter(|_| parsed.scheme() == "ws")
            .ok_or_else(bad_url)?;
        let port = parsed.port().unwrap_or(80);
        let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        let mut request = url.into_client_request()?;
        let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        let (stream, _) = tokio_tungstenite::client_async(request, tcp).await?;
        Ok(Self { stream })
    }

    pub(super) async fn send(&mut self, text: String) -> Result<(), UserAgentError> {
        Ok(self.stream.send(Message::text(text)).await?)
    }

    pub(super) async fn receive(&mut self, deadline: Instant) -> Result<Value, UserAgentError> {
        loop {
            let next = tokio::time::timeout_at(deadline, self.stream.next()).await;
            let message = next.map_err(|_| UserAgentError::Timeout)?;
            match message.ok_or(UserAgentError::Closed { code: ABNORMAL })?? {
                Message::Text(text) => {
                    return serde_json::from_str(&text).map_err(|_| UserAgentError::Unexpected {
                        message: text.as_str().to_owned(),
                    });
                }
                Message::Close(frame) => {
                    let code = frame.map_or(NO_STATUS, |frame| frame.code.into());
                    return Err(UserAgentError::Closed { code });
                }
                // Answered by the library; Firefox ignores binary frames.
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }
}
