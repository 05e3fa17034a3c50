use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::push::{Encoding, Payload};
use crate::user_agents::Letter;

/// A message of a user agent. Members that are not listed are ignored.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "messageType", rename_all = "snake_case")]
pub(crate) enum FromUserAgent {
    /// The first message of a connection.
    Hello {
        uaid: Option<String>,
    },
    Register {
        #[serde(rename = "channelID")]
        channel_id: String,
        key: Option<String>,
    },
    Unregister {
        #[serde(rename = "channelID")]
        channel_id: String,
        code: Option<u16>,
    },
    Ack {
        updates: Vec<Update>,
    },
    Nack {
        version: Option<String>,
        code: Option<u16>,
    },
    Ping,
    /// Interest in broadcasts, of which there are none here.
    BroadcastSubscribe,
    /// Something of a later time.
    #[serde(other)]
    Unknown,
}

/// What became of one message.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Update {
    #[serde(rename = "channelID")]
    pub(crate) channel_id: String,
    pub(crate) version: String,
    pub(crate) code: Option<u16>,
}

impl FromUserAgent {
    /// Reads a text frame. An object without `messageType` is a ping: Firefox sends `{}`.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let mut object: Map<String, Value> = serde_json::from_str(text)?;
        if !object.contains_key("messageType") {
            return Ok(Self::Ping);
        }
        // A member that is null counts as absent.
        object.retain(|_, value| !value.is_null());
        serde_json::from_value(Value::Object(object))
    }
}

/// A message to a user agent.
#[derive(Serialize)]
#[serde(tag = "messageType", rename_all = "snake_case")]
pub(crate) enum ToUserAgent<'a> {
    Hello {
        uaid: &'a str,
        status: u16,
        /// Without it Firefox falls back to messages without data.
        use_webpush: bool,
        broadcasts: Map<String, Value>,
    },
    Register {
        #[serde(rename = "channelID")]
        channel_id: &'a str,
        status: u16,
        #[serde(rename = "pushEndpoint")]
        push_endpoint: &'a str,
    },
    Unregister {
        #[serde(rename = "channelID")]
        channel_id: &'a str,
        status: u16,
    },
    Notification {
        #[serde(rename = "channelID")]
        channel_id: String,
        version: &'a str,
        /// Base64url. Anything else makes Firefox throw and never acknowledge.
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        headers: Option<EncryptionHeaders<'a>>,
    },
}

/// What Firefox needs to decrypt.
#[derive(Serialize)]
pub(crate) struct EncryptionHeaders<'a> {
    encoding: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crypto_key: Option<&'a str>,
}

/// The answer to a ping.
pub(crate) const PONG: &str = "{}";

impl<'a> ToUserAgent<'a> {
    pub(crate) fn hello(uaid: &'a str) -> Self {
        Self::Hello {
            uaid,
            status: 200,
            use_webpush: true,
            broadcasts: Map::new(),
        }
    }

    pub(crate) fn notification(letter: &'a Letter) -> Self {
        let payload = letter.payload.as_ref().map(Arc::as_ref);
        Self::Notification {
            channel_id: letter.channel.to_string(),
            version: &letter.version,
            data: payload.map(|payload| URL_SAFE_NO_PAD.encode(&payload.body)),
            headers: payload.map(EncryptionHeaders::of),
        }
    }
}

impl<'a> EncryptionHeaders<'a> {
    fn of(payload: &'a Payload) -> Self {
        let encoding = payload.encoding.as_str();
        match &payload.encoding {
            Encoding::Aes128gcm => Self {
                encoding,
                encryption: None,
                crypto_key: None,
            },
            Encoding::Aesgcm {
                encryption,
                crypto_key,
            } => Self {
                encoding,
                encryption: Some(encryption),
                crypto_key: Some(crypto_key),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_firefox_sends_is_understood() {
        let cases = [
            (
                r#"{"messageType":"hello","broadcasts":{"a/b":"\"1\""},"use_webpush":true}"#,
                FromUserAgent::Hello { uaid: None },
            ),
            (
                r#"{"messageType":"hello","uaid":null,"channelIDs":["x"]}"#,
                FromUserAgent::Hello { uaid: None },
            ),
            (
                r#"{"channelID":"c","messageType":"unregister","code":201}"#,
                FromUserAgent::Unregister {
                    channel_id: "c".to_owned(),
                    code: Some(201),
                },
            ),
            (
                r#"{"messageType":"ack","updates":[{"channelID":"c","version":"v"}]}"#,
                FromUserAgent::Ack {
                    updates: vec![Update {
                        channel_id: "c".to_owned(),
                        version: "v".to_owned(),
                        code: None,
                    }],
                },
            ),
            (
                r#"{"messageType":"nack","version":"v","code":301}"#,
                FromUserAgent::Nack {
                    version: Some("v".to_owned()),
                    code: Some(301),
                },
            ),
            ("{}", FromUserAgent::Ping),
            (r#"{"messageType":"ping"}"#, FromUserAgent::Ping),
            (
                r#"{"messageType":"broadcast_subscribe","broadcasts":{"a/b":"v"}}"#,
                FromUserAgent::BroadcastSubscribe,
            ),
            (
                r#"{"messageType":"dance","step":1}"#,
                FromUserAgent::Unknown,
            ),
        ];
        for (text, message) in cases {
            assert_eq!(FromUserAgent::parse(text).unwrap(), message, "{text}");
        }
    }

    #[test]
    fn other_texts_are_errors() {
        for text in ["", "[]", "null", "hello", r#"{"messageType":"register"}"#] {
            assert!(FromUserAgent::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_without_body_has_neither_data_nor_headers() {
        let letter = Letter {
            version: "v".to_owned(),
            channel: crate::user_agents::ChannelId::parse("b1b7d1b7-6d9f-4f6b-9a58-9e8a5a6b1c11")
                .unwrap(),
            topic: None,
            payload: None,
            keep: crate::user_agents::Keep::Not,
        };
        assert_eq!(
            serde_json::to_string(&ToUserAgent::notification(&letter)).unwrap(),
            r#"{"messageType":"notification","channelID":"b1b7d1b7-6d9f-4f6b-9a58-9e8a5a6b1c11","version":"v"}"#
        );
    }
}
