use aws_lc_rs::aead::Aad;
use aws_lc_rs::error::Unspecified;
use thiserror::Error;

use super::{
    DELIMITER_BYTES, HEADER_BYTES, KEY_ID_BYTES, LAST_RECORD, RECORD_SIZE_BYTES, SALT_BYTES,
    TAG_BYTES, derive,
};
use crate::key_agreement::shared_secret;
use crate::{PublicKeyError, UserAgentKeys, UserAgentPublicKey};

/// Smallest record size: one octet of plaintext, delimiter and tag (RFC 8188 §2).
const MIN_RECORD_SIZE: u32 = 18;

/// Opens the body of a push message as a strict user agent does: one record, delimiter `0x02`.
/// The inverse of [`encrypt`](crate::encrypt()), where there is an example.
///
/// # Errors
///
/// If a user agent would throw the body away; [`DecryptError::stage`] says how far it came.
///
/// Spec: RFC 8291 §4, RFC 8188 §2.
pub fn decrypt(keys: &UserAgentKeys, body: &[u8]) -> Result<Vec<u8>, DecryptError> {
    let message = Message::parse(body)?;
    let sender =
        UserAgentPublicKey::from_bytes(message.sender_public).map_err(DecryptError::SenderKey)?;
    message.check_record()?;
    let mut record = message.record.to_vec();
    let length = open(keys, &message, &sender, &mut record)
        .map_err(|Unspecified| DecryptError::Authentication)?;
    record.truncate(length);
    strip_padding(&mut record)?;
    Ok(record)
}

/// The body, cut at the offsets of RFC 8188 §2.1.
struct Message<'a> {
    salt: &'a [u8; SALT_BYTES],
    record_size: u32,
    sender_public: &'a [u8; KEY_ID_BYTES],
    record: &'a [u8],
}

impl<'a> Message<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, DecryptError> {
        let short = DecryptError::Truncated { got: body.len() };
        let (salt, rest) = body.split_first_chunk::<SALT_BYTES>().ok_or(short)?;
        let (record_size, rest) = rest.split_first_chunk::<RECORD_SIZE_BYTES>().ok_or(short)?;
        let (&key_id_length, rest) = rest.split_first().ok_or(short)?;
        if usize::from(key_id_length) != KEY_ID_BYTES {
            return Err(DecryptError::KeyIdLength { got: key_id_length });
        }
        let (sender_public, record) = rest.split_first_chunk::<KEY_ID_BYTES>().ok_or(short)?;
        let record_size = u32::from_be_bytes(*record_size);
        if record_size < MIN_RECORD_SIZE {
            return Err(DecryptError::RecordSize { got: record_size });
        }
        if record.is_empty() {
            return Err(short);
        }
        Ok(Self {
            salt,
            record_size,
            sender_public,
            record,
        })
    }

    fn check_record(&self) -> Result<(), DecryptError> {
        if self.record.len() < DELIMITER_BYTES + TAG_BYTES {
            return Err(DecryptError::ShortRecord {
                got: self.record.len(),
                least: DELIMITER_BYTES + TAG_BYTES,
            });
        }
        if usize::try_from(self.record_size).is_ok_and(|size| self.record.len() > size) {
            return Err(DecryptError::ManyRecords);
        }
        Ok(())
    }
}

/// Decrypts in place and returns the length of the plaintext, delimiter and padding included.
fn open(
    keys: &UserAgentKeys,
    message: &Message<'_>,
    sender: &UserAgentPublicKey,
    record: &mut [u8],
) -> Result<usize, Unspecified> {
    let secret = shared_secret(keys.private(), sender.point())?;
    let (key, nonce) = derive(
        &secret,
        keys.auth(),
        keys.public_key().as_bytes(),
        sender.as_bytes(),
        message.salt,
    )?;
    Ok(key.open_in_place(nonce, Aad::empty(), record)?.len())
}

fn strip_padding(record: &mut Vec<u8>) -> Result<(), DecryptError> {
    let delimiter = record
        .iter()
        .rposition(|octet| *octet != 0)
        .ok_or(DecryptError::NoDelimiter)?;
    match record.get(delimiter) {
        Some(&LAST_RECORD) => {
            record.truncate(delimiter);
            Ok(())
        }
        other => Err(DecryptError::Delimiter {
            got: other.copied().unwrap_or_default(),
        }),
    }
}

/// Where in the work on a body it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecryptStage {
    /// Reading the header.
    Header,
    /// Checking the sender's public key.
    Key,
    /// Cutting the record and authenticating it.
    Decrypt,
    /// Removing the padding.
    Padding,
}

impl DecryptStage {
    /// `header`, `key`, `decrypt` or `padding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Key => "key",
            Self::Decrypt => "decrypt",
            Self::Padding => "padding",
        }
    }
}

/// Why a user agent throws a body away.
///
/// Spec: RFC 8291 §4, RFC 8188 §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The body ends inside or right behind its header.
    #[error("the body ends after {got} octets, its header and one record need at least {}", HEADER_BYTES + DELIMITER_BYTES + TAG_BYTES)]
    Truncated {
        /// Octets of the body.
        got: usize,
    },
    /// The key id is not a public key in uncompressed form.
    #[error(
        "the key id has {got} octets instead of 65: put the sender's uncompressed public key there"
    )]
    KeyIdLength {
        /// Length announced.
        got: u8,
    },
    /// The record size is below the least possible.
    #[error("the record size {got} is below 18: announce 4096")]
    RecordSize {
        /// Record size announced.
        got: u32,
    },
    /// The sender's public key is not a point of P-256.
    #[error("the sender's public key: {0}")]
    SenderKey(#[source] PublicKeyError),
    /// The record cannot hold its tag, and its delimiter or the length of its padding.
    #[error("a record has {got} octets, without any content it needs {least}")]
    ShortRecord {
        /// Octets of the record.
        got: usize,
        /// Octets of a record without content.
        least: usize,
    },
    /// The body is longer than one record of the announced size.
    #[error(
        "the body has more than one record: Web Push allows one, announce a record size of 4096"
    )]
    ManyRecords,
    /// The tag does not fit: other keys, another secret, or a change on the way.
    #[error("the tag does not fit: encrypted for another subscription, or changed on its way")]
    Authentication,
    /// The plaintext consists of zeros.
    #[error("the plaintext has no delimiter: append 0x02 before padding")]
    NoDelimiter,
    /// The last octet that is not zero is not the delimiter of a last record.
    #[error(
        "the delimiter is {got:#04x} instead of 0x02: the only record must end as the last one"
    )]
    Delimiter {
        /// Octet found.
        got: u8,
    },
    /// A body in `aesgcm` ends in a record as long as the others.
    #[error(
        "the body ends in a full record: it was cut off, or its length is a multiple of {record_size} + 16"
    )]
    CutOff {
        /// Record size announced, which does not count the tag.
        record_size: u32,
    },
    /// A record in `aesgcm` announces more padding than it has octets.
    #[error(
        "a record announces {got} octets of padding and has {left}: begin with the length of the padding, two octets, also where it is 0"
    )]
    PaddingLength {
        /// Octets announced.
        got: usize,
        /// Octets there are.
        left: usize,
    },
    /// The padding of a record in `aesgcm` is not all zeros.
    #[error("the padding is not all zeros")]
    PaddingContent,
}

impl DecryptError {
    /// Where the body was refused.
    pub fn stage(&self) -> DecryptStage {
        match self {
            Self::Truncated { .. } | Self::KeyIdLength { .. } | Self::RecordSize { .. } => {
                DecryptStage::Header
            }
            Self::SenderKey(_) => DecryptStage::Key,
            Self::ShortRecord { .. }
            | Self::ManyRecords
            | Self::CutOff { .. }
            | Self::Authentication => DecryptStage::Decrypt,
            Self::NoDelimiter
            | Self::Delimiter { .. }
            | Self::PaddingLength { .. }
            | Self::PaddingContent => DecryptStage::Padding,
        }
    }
}
