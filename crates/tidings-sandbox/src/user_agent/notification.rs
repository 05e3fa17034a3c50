use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::UserAgentError;

/// Padding is tolerated, the alphabet of ordinary base64 is not: as in Firefox.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The subscription that it is for.
    pub channel_id: String,
    /// The message's id.
    pub version: String,
    /// The encrypted body; `None` for a push without payload.
    pub body: Option<Vec<u8>>,
    /// The body's content encoding.
    pub encoding: Option<String>,
    /// `Encryption` and `Crypto-Key`, if the encoding is `aesgcm`.
    pub legacy_headers: Option<(String, String)>,
}

/// A message that was decrypted, as far as possible, and acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The subscription that it is for.
    pub channel_id: String,
    /// The message's id.
    pub version: String,
    /// What became of it.
    pub outcome: PushOutcome,
}

/// What a user agent makes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// 100: handed to the service worker; `None` for a push without payload.
    Delivered(Option<Vec<u8>>),
    /// 101: for this reason.
    Undecryptable(String),
    /// 102: this version came before.
    Duplicate,
    /// 102: there is no such subscription.
    UnknownChannel,
}

impl PushOutcome {
    /// The code of its acknowledgement.
    pub fn code(&self) -> u16 {
        match self {
            Self::Delivered(_) => 100,
            Self::Undecryptable(_) => 101,
            Self::Duplicate | Self::UnknownChannel => 102,
        }
    }
}

impl Notification {
    /// `None` if the message is something else.
    pub(super) fn parse(message: &Value) -> Result<Option<Self>, UserAgentError> {
        let text = |member| {
            message
                .get(member)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        if text("messageType").as_deref() != Some("notification") {
            return Ok(None);
        }
        let unexpected = || UserAgentError::unexpected(message);
        let data = text("data").map(|data| BASE64URL.decode(data)).transpose();
        let header = |name| {
            message
                .get("headers")
                .and_then(|headers| headers.get(name))
                .and_then(Value::as_str)
        };
        Ok(Some(Self {
            channel_id: text("channelID").ok_or_else(unexpected)?,
            version: text("version").ok_or_else(unexpected)?,
            body: data.map_err(|_| unexpected())?,
            encoding: header("encoding").map(str::to_owned),
            legacy_headers: header("encryption")
                .zip(header("crypto_key"))
                .map(|(encryption, crypto_key)| (encryption.to_owned(), crypto_key.to_owned())),
        }))
    }
}
