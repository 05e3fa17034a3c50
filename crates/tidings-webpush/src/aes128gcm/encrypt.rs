use aws_lc_rs::aead::Aad;
use aws_lc_rs::error::Unspecified;
use thiserror::Error;

use super::{
    DELIMITER_BYTES, HEADER_BYTES, KEY_ID_BYTES, KEY_ID_LENGTH, LAST_RECORD, MAX_BODY_BYTES,
    MAX_PLAINTEXT_BYTES, SALT_BYTES, TAG_BYTES, derive,
};
use crate::padding::{MAX_BRIDGED_BODY_BYTES, PaddingLimits};
use crate::{
    AuthSecret, KeyAgreement, KeyAgreementSource, Padding, Randomness, UserAgentPublicKey,
};

/// Record size announced in every message. It must exceed the record (RFC 8291 §4); a fixed one
/// gives nothing away.
const RECORD_SIZE: u32 = 4096;

const PADDING_LIMITS: PaddingLimits = PaddingLimits {
    bridged: MAX_BRIDGED_BODY_BYTES - HEADER_BYTES - DELIMITER_BYTES - TAG_BYTES,
    largest: MAX_PLAINTEXT_BYTES,
};

/// Encrypts one message for one user agent: the body of a push message in `aes128gcm`.
///
/// `keys` gives the sender's half of the key agreement ([`FreshKeyPair`](crate::FreshKeyPair)
/// outside tests), `randomness` the salt. At most [`MAX_PLAINTEXT_BYTES`] octets of plaintext.
///
/// # Errors
///
/// If the plaintext is too long (the error says by how much), or the key agreement fails.
///
/// # Example
///
/// What is encrypted for a user agent, it [`decrypt`](crate::decrypt())s.
///
/// ```
/// use tidings_webpush::{
///     FreshKeyPair, Padding, SystemRandomness, UserAgentKeys, decrypt, encrypt,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let user_agent = UserAgentKeys::generate(&SystemRandomness)?;
/// let body = encrypt(
///     user_agent.public_key(),
///     user_agent.auth(),
///     b"Your parcel is here",
///     Padding::None,
///     &FreshKeyPair,
///     &SystemRandomness,
/// )?;
/// assert_eq!(body.len(), 19 + 103);
/// assert_eq!(decrypt(&user_agent, &body)?, b"Your parcel is here");
/// # Ok(())
/// # }
/// ```
///
/// Spec: RFC 8291 §3 and §4, RFC 8188 §2.
pub fn encrypt(
    subscription_key: &UserAgentPublicKey,
    auth: &AuthSecret,
    plaintext: &[u8],
    padding: Padding,
    keys: &dyn KeyAgreementSource,
    randomness: &dyn Randomness,
) -> Result<Vec<u8>, EncryptError> {
    if plaintext.len() > MAX_PLAINTEXT_BYTES {
        return Err(EncryptError::TooLong {
            got: plaintext.len(),
            limit: MAX_PLAINTEXT_BYTES,
        });
    }
    let agreement = keys.agree(subscription_key)?;
    let mut salt = [0; SALT_BYTES];
    randomness.fill(&mut salt);

    let padding = padding.octets(plaintext.len(), &PADDING_LIMITS);
    let mut body =
        Vec::with_capacity(HEADER_BYTES + plaintext.len() + DELIMITER_BYTES + padding + TAG_BYTES);
    push_header(&mut body, &salt, agreement.sender_public());
    body.extend_from_slice(plaintext);
    body.push(LAST_RECORD);
    body.resize(body.len() + padding, 0);
    seal_record(&mut body, &agreement, subscription_key, auth, &salt)
        .map_err(|Unspecified| EncryptError::Seal)?;
    debug_assert!(
        body.len() <= MAX_BODY_BYTES,
        "the limit of the plaintext is derived from it"
    );
    Ok(body)
}

fn push_header(body: &mut Vec<u8>, salt: &[u8; SALT_BYTES], sender_public: &[u8; KEY_ID_BYTES]) {
    body.extend_from_slice(salt);
    body.extend_from_slice(&RECORD_SIZE.to_be_bytes());
    body.push(KEY_ID_LENGTH);
    body.extend_from_slice(sender_public);
}

/// Encrypts what follows the header where it stands, and appends the tag.
fn seal_record(
    body: &mut Vec<u8>,
    agreement: &KeyAgreement,
    subscription_key: &UserAgentPublicKey,
    auth: &AuthSecret,
    salt: &[u8; SALT_BYTES],
) -> Result<(), Unspecified> {
    let (key, nonce) = derive(
        agreement.shared_secret(),
        auth,
        subscription_key.as_bytes(),
        agreement.sender_public(),
        salt,
    )?;
    let record = body.get_mut(HEADER_BYTES..).ok_or(Unspecified)?;
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), record)?;
    body.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Why a message was not encrypted.
///
/// Spec: RFC 8291 §4, RFC 8030 §7.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The plaintext does not fit into a body that every push service takes.
    #[error(
        "the payload has {got} octets, {} too many: at most {limit} fit into a push message; shorten it, or send a reference",
        .got.saturating_sub(*.limit)
    )]
    TooLong {
        /// Octets of the plaintext.
        got: usize,
        /// Most octets that the content encoding can carry.
        limit: usize,
    },
    /// No key pair could be made, or no secret agreed upon with it.
    #[error(
        "the key agreement with the user agent failed; this is a fault of the system, not of the message"
    )]
    KeyAgreement,
    /// The cipher failed.
    #[error("the encryption failed; this is a fault of the system, not of the message")]
    Seal,
}
