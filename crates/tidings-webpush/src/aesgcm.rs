//! `aesgcm`, the content encoding of browsers from before 2018.
//!
//! Only for user agents that do not list `aes128gcm` among their encodings:
//! [`ContentEncoding::choose`](crate::ContentEncoding::choose) says so.
//!
//! ```text
//! Encryption: salt=…          16 octets, and rs=… unless it is 4096
//! Crypto-Key: dh=…            the sender's public key, 65 octets
//!
//! body    records of rs + 16 octets, the last of them shorter; a sender makes one
//! record  AES-128-GCM of: p (16 bits, big-endian), p zero octets, plaintext
//! ```
//!
//! Its predecessor `aesgcm128` is dead and not here.
//!
//! Spec: draft-ietf-webpush-encryption-04 over draft-ietf-httpbis-encryption-encoding-03.

mod headers;
mod open;
mod seal;
#[cfg(test)]
mod tests;

use aws_lc_rs::aead::{AES_128_GCM, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::AuthSecret;
use crate::key_derivation::{hmac_key, hmac_sha256};

pub use self::headers::{Parameters, ParametersError};
pub use self::open::decrypt;
pub use self::seal::encrypt;

/// Largest plaintext, in octets (draft-ietf-webpush-encryption-04 §4).
///
/// The draft's own sum is one off: length of the padding and tag would leave 4078 of the 4096
/// octets that every push service takes. Receivers may hold senders to the word.
pub const MAX_PLAINTEXT_BYTES: usize = 4077;

const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Octets in front of the padding that say how long it is.
const PADDING_LENGTH_BYTES: usize = 2;

/// Record size where none is announced. The tag is not counted in it.
const DEFAULT_RECORD_SIZE: u32 = 4096;

/// What the records of one message are encrypted with.
struct RecordKeys {
    key: LessSafeKey,
    nonce: [u8; NONCE_BYTES],
}

impl RecordKeys {
    /// Derives them from a key agreement (draft-ietf-webpush-encryption-04 §3.3 to §3.5).
    fn agreed(
        shared_secret: &[u8; 32],
        auth: &AuthSecret,
        user_agent_public: &[u8; 65],
        sender_public: &[u8; 65],
        salt: &[u8; SALT_BYTES],
    ) -> Result<Self, Unspecified> {
        let auth_prk = hmac_sha256(&hmac_key(auth.expose()), shared_secret)?;
        let ikm = hmac_sha256(&hmac_key(&*auth_prk), b"Content-Encoding: auth\0\x01")?;
        let length: &[u8] = &[0, 65];
        let context = [b"P-256\0", length, user_agent_public, length, sender_public];
        Self::derive(&*ikm, &context.concat(), salt)
    }

    /// Derives them from input keying material
    /// (draft-ietf-httpbis-encryption-encoding-03 §3.2 and §3.3).
    fn derive(ikm: &[u8], context: &[u8], salt: &[u8]) -> Result<Self, Unspecified> {
        let prk = hmac_key(&*hmac_sha256(&hmac_key(salt), ikm)?);
        let key = expand(&prk, b"Content-Encoding: aesgcm\0", context)?;
        let nonce = expand(&prk, b"Content-Encoding: nonce\0", context)?;
        let key = UnboundKey::new(&AES_128_GCM, key.first_chunk::<16>().ok_or(Unspecified)?)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            nonce: *nonce.first_chunk().ok_or(Unspecified)?,
        })
    }

    /// The nonce of one record: the first one, XOR the record's number as 96 bits, big-endian.
    fn nonce(&self, record: u64) -> Nonce {
        let mut nonce = self.nonce;
        let number = record.to_be_bytes();
        for (octet, of_number) in nonce.iter_mut().rev().zip(number.iter().rev()) {
            *octet ^= of_number;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

fn expand(
    prk: &hmac::Key,
    label: &[u8],
    context: &[u8],
) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
    hmac_sha256(prk, &[label, context, &[1]].concat())
}
