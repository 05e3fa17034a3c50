use http::{HeaderMap, HeaderName};
use thiserror::Error;

use super::{DEFAULT_RECORD_SIZE, PADDING_LENGTH_BYTES, SALT_BYTES};
use crate::header_parameters::{Element, elements, joined};
use crate::{PublicKeyError, UserAgentPublicKey, base64url};

const ENCRYPTION: HeaderName = HeaderName::from_static("encryption");
const CRYPTO_KEY: HeaderName = HeaderName::from_static("crypto-key");

/// What the headers `Encryption` and `Crypto-Key` say about a body in `aesgcm`.
///
/// Spec: draft-ietf-webpush-encryption-04 §4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    salt: [u8; SALT_BYTES],
    record_size: u32,
    sender_key: UserAgentPublicKey,
}

impl Parameters {
    /// Reads both headers of a push message.
    ///
    /// Spec: draft-ietf-webpush-encryption-04 §4.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ParametersError> {
        let encryption = joined(headers, ENCRYPTION).ok_or(ParametersError::Encryption)?;
        let crypto_key = joined(headers, CRYPTO_KEY).ok_or(ParametersError::CryptoKey)?;
        Self::parse(&encryption, &crypto_key)
    }

    /// Reads the values of `Encryption` and `Crypto-Key`.
    ///
    /// The first element of `Encryption` counts, and the element of `Crypto-Key` under the same
    /// `keyid`. Other elements and parameters are ignored. Values may be quoted, and padded then.
    ///
    /// Spec: draft-ietf-httpbis-encryption-encoding-03 §3 and §4.
    pub fn parse(encryption: &str, crypto_key: &str) -> Result<Self, ParametersError> {
        let octets = Octets::parse(encryption, crypto_key)?;
        let salt = octets
            .salt
            .as_slice()
            .try_into()
            .map_err(|_| ParametersError::SaltLength {
                got: octets.salt.len(),
            })?;
        Ok(Self {
            salt,
            record_size: octets.record_size,
            sender_key: UserAgentPublicKey::from_bytes(&octets.sender_key)
                .map_err(ParametersError::SenderKey)?,
        })
    }

    /// The salt.
    ///
    /// Spec: draft-ietf-httpbis-encryption-encoding-03 §3.1.
    pub fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    /// The record size, in octets without the tag; at least 3.
    ///
    /// Spec: draft-ietf-httpbis-encryption-encoding-03 §3.1.
    pub fn record_size(&self) -> u32 {
        self.record_size
    }

    /// The sender's half of the key agreement, a checked point.
    ///
    /// Spec: draft-ietf-webpush-encryption-04 §4.
    pub fn sender_key(&self) -> &UserAgentPublicKey {
        &self.sender_key
    }
}

/// The parameters before their lengths are looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Octets {
    pub(super) salt: Vec<u8>,
    pub(super) record_size: u32,
    pub(super) sender_key: Vec<u8>,
}

impl Octets {
    pub(super) fn parse(encryption: &str, crypto_key: &str) -> Result<Self, ParametersError> {
        let encryption = elements(encryption)
            .filter(|elements| !elements.iter().any(Element::has_repetition))
            .ok_or(ParametersError::Encryption)?;
        let encryption = encryption.first().ok_or(ParametersError::Encryption)?;
        let crypto_key = elements(crypto_key).ok_or(ParametersError::CryptoKey)?;

        let record_size = encryption.value("rs").map(record_size).transpose()?;
        let salt = encryption.value("salt").and_then(base64url::decode_lenient);
        let sender_key = sender_key(&crypto_key, encryption.value("keyid"))
            .ok_or(ParametersError::NoSenderKey)?;
        Ok(Self {
            salt: salt.ok_or(ParametersError::Salt)?,
            record_size: record_size.unwrap_or(DEFAULT_RECORD_SIZE),
            sender_key: base64url::decode_lenient(sender_key)
                .ok_or(ParametersError::SenderKey(PublicKeyError::Base64))?,
        })
    }
}

/// Digits, and room for the length of the padding and one octet more.
fn record_size(text: &str) -> Result<u32, ParametersError> {
    let size = text.parse().map_err(|_| ParametersError::RecordSize)?;
    match usize::try_from(size) {
        Ok(size) if size <= PADDING_LENGTH_BYTES => Err(ParametersError::RecordSize),
        _ => Ok(size),
    }
}

/// `dh` of the element with this key id. Without one it is that of the element without one, or
/// else of the first.
fn sender_key<'a>(crypto_key: &[Element<'a>], key_id: Option<&str>) -> Option<&'a str> {
    let with_key = || {
        crypto_key
            .iter()
            .filter(|element| element.value("dh").is_some())
    };
    let element = with_key()
        .find(|element| element.value("keyid") == key_id)
        .or_else(|| with_key().next().filter(|_| key_id.is_none()));
    element?.value("dh")
}

/// Why the headers of a body in `aesgcm` were refused.
///
/// Spec: draft-ietf-httpbis-encryption-encoding-03 §3 and §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParametersError {
    /// No `Encryption` header, or one that cannot be read.
    #[error("the Encryption header is missing or malformed: send salt=… once, without padding")]
    Encryption,
    /// No `Crypto-Key` header, or one that cannot be read.
    #[error("the Crypto-Key header is missing or malformed: send dh=…, without padding")]
    CryptoKey,
    /// `rs` is not a number of octets that a record can have.
    #[error("rs of Encryption is not a number above 2: leave it out, and it is 4096")]
    RecordSize,
    /// `salt` is missing or not base64url.
    #[error("salt of Encryption is missing or not base64url: send 16 octets as 22 characters")]
    Salt,
    /// `salt` does not have 16 octets.
    #[error("salt of Encryption has {got} octets instead of 16")]
    SaltLength {
        /// Octets found.
        got: usize,
    },
    /// No `dh`, or none under the `keyid` of `Encryption`.
    #[error("Crypto-Key has no dh for this message: leave out keyid in both headers")]
    NoSenderKey,
    /// `dh` is not a point of P-256.
    #[error("dh of Crypto-Key: {0}")]
    SenderKey(#[source] PublicKeyError),
}
