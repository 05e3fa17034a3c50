//! A small client of `WebDriver BiDi`, the protocol by which a stock Firefox lets itself be driven.
//!
//! Spec: <https://w3c.github.io/webdriver-bidi/>

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

use crate::process::Log;

/// How long Firefox may take to answer one command. The longest is the first, while it still starts.
const COMMAND_DEADLINE: Duration = Duration::from_mins(1);

/// One session with the browser. Commands go one after another.
pub(crate) struct Session {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    log: Log,
}

impl Session {
    /// Connects to the driver and begins a session, in which `log` gets what pages and workers
    /// write to their console.
    ///
    /// `address` is a URL without path, as Firefox prints it: `ws://127.0.0.1:PORT`.
    pub(crate) async fn begin(address: &str, log: Log) -> Result<Self> {
        let (socket, _response) = timeout(
            COMMAND_DEADLINE,
            connect_async(format!("{address}/session")),
        )
        .await
        .with_context(|| format!("waited {COMMAND_DEADLINE:?} in vain for {address}"))?
        .with_context(|| format!("connecting to {address}"))?;
        let mut session = Self {
            socket,
            last_id: 0,
            log,
        };
        session
            .call("session.new", json!({"capabilities": {}}))
            .await?;
        session
            .call("session.subscribe", json!({"events": ["log.entryAdded"]}))
            .await?;
        Ok(session)
    }

    /// Sends one command and waits for its result.
    pub(crate) async fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let command = json!({"id": id, "method": method, "params": parameters}).to_string();
        let called = async {
            self.socket.send(Message::text(command)).await?;
            self.answer_to(id).await
        };
        match timeout(COMMAND_DEADLINE, called).await {
            Ok(answer) => answer.with_context(|| format!("{method} {parameters}")),
            Err(_elapsed) => {
                bail!("waited {COMMAND_DEADLINE:?} in vain for the answer to {method} {parameters}")
            }
        }
    }

    async fn answer_to(&mut self, id: u64) -> Result<Value> {
        loop {
            let mut message = self.next_message().await?;
            if message["method"] == "log.entryAdded" {
                self.note(&message["params"]);
            }
            if message["id"] != id {
                continue;
            }
            if message["type"] == "success" {
                return Ok(message["result"].take());
            }
            let error = message["error"].as_str().unwrap_or("unknown error");
            bail!(
                "{error}: {}",
                message["message"].as_str().unwrap_or_default()
            );
        }
    }

    async fn next_message(&mut self) -> Result<Value> {
        loop {
            let frame = self
                .socket
                .next()
                .await
                .unwrap_or(Err(Error::ConnectionClosed));
            if let Message::Text(text) = frame.context("Firefox ended the session")? {
                return serde_json::from_str(&text).with_context(|| format!("not BiDi: {text}"));
            }
        }
    }

    fn note(&self, entry: &Value) {
        let level = entry["level"].as_str().unwrap_or("?");
        let text = entry["text"].as_str().unwrap_or("(no text)");
        let place = entry["stackTrace"]["callFrames"][0]["url"]
            .as_str()
            .unwrap_or("");
        self.log.note(format!("console {level}: {text} {place}"));
    }
}
