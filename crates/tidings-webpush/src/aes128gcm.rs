//! One record of `aes128gcm`: RFC 8188 with the keys of RFC 8291.
//!
//! ```text
//! offset  length  content
//! 0       16      salt
//! 16      4       record size, big-endian
//! 20      1       length of the key id, 65
//! 21      65      key id: the sender's public key
//! 86      n+1+p   ciphertext of plaintext, delimiter 0x02, p zero octets
//! …       16      tag
//! ```

pub(crate) mod decrypt;
pub(crate) mod encrypt;

use aws_lc_rs::aead::{AES_128_GCM, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;

use crate::AuthSecret;
use crate::key_derivation::{hmac_key, hmac_sha256};

const SALT_BYTES: usize = 16;
const RECORD_SIZE_BYTES: usize = 4;
const KEY_ID_LENGTH: u8 = 65;
const KEY_ID_BYTES: usize = KEY_ID_LENGTH as usize;
const HEADER_BYTES: usize = SALT_BYTES + RECORD_SIZE_BYTES + 1 + KEY_ID_BYTES;
const DELIMITER_BYTES: usize = 1;
const TAG_BYTES: usize = 16;

/// Ends the last record, which in Web Push is the only one (RFC 8188 §2, RFC 8291 §4).
const LAST_RECORD: u8 = 0x02;

/// Largest body that every push service must take, in octets (RFC 8030 §7.2).
pub const MAX_BODY_BYTES: usize = 4096;

/// Largest plaintext that fits into [`MAX_BODY_BYTES`], in octets: what header, delimiter and tag
/// leave (RFC 8291 §4).
pub const MAX_PLAINTEXT_BYTES: usize = MAX_BODY_BYTES - HEADER_BYTES - DELIMITER_BYTES - TAG_BYTES;

/// Derives content key and nonce of the message's only record (RFC 8291 §3.4, RFC 8188 §2.2 and
/// §2.3).
fn derive(
    shared_secret: &[u8; 32],
    auth: &AuthSecret,
    user_agent_public: &[u8; 65],
    sender_public: &[u8; 65],
    salt: &[u8; SALT_BYTES],
) -> Result<(LessSafeKey, Nonce), Unspecified> {
    let key_prk = hmac_sha256(&hmac_key(auth.expose()), shared_secret)?;
    let ikm = hmac_sha256(
        &hmac_key(&*key_prk),
        &key_info(user_agent_public, sender_public),
    )?;
    let prk = hmac_key(&*hmac_sha256(&hmac_key(salt), &*ikm)?);
    let key = hmac_sha256(&prk, b"Content-Encoding: aes128gcm\0\x01")?;
    let nonce = hmac_sha256(&prk, b"Content-Encoding: nonce\0\x01")?;

    let key = UnboundKey::new(&AES_128_GCM, key.first_chunk::<16>().ok_or(Unspecified)?)?;
    let nonce = Nonce::assume_unique_for_key(*nonce.first_chunk().ok_or(Unspecified)?);
    Ok((LessSafeKey::new(key), nonce))
}

/// `"WebPush: info" || 0x00 || user agent's key || sender's key`, and HKDF's counter.
fn key_info(user_agent_public: &[u8; 65], sender_public: &[u8; 65]) -> [u8; 145] {
    let mut info = [0; 145];
    let parts: [&[u8]; 4] = [b"WebPush: info\0", user_agent_public, sender_public, &[1]];
    for (target, source) in info.iter_mut().zip(parts.into_iter().flatten()) {
        *target = *source;
    }
    info
}
