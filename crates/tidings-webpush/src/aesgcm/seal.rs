use aws_lc_rs::aead::Aad;
use aws_lc_rs::error::Unspecified;

use super::{MAX_PLAINTEXT_BYTES, PADDING_LENGTH_BYTES, RecordKeys, SALT_BYTES, TAG_BYTES};
use crate::padding::{MAX_BRIDGED_BODY_BYTES, PaddingLimits};
use crate::{
    AuthSecret, EncryptError, EncryptedPayload, KeyAgreement, KeyAgreementSource, Padding,
    Randomness, UserAgentPublicKey, base64url,
};

/// Octets that salt, record size and key take in the body of `aes128gcm`. Here they are in
/// headers, which the bridge to Android sends along all the same.
const HEADERS_BYTES: usize = 86;

const PADDING_LIMITS: PaddingLimits = PaddingLimits {
    bridged: MAX_BRIDGED_BODY_BYTES - HEADERS_BYTES - PADDING_LENGTH_BYTES - TAG_BYTES,
    largest: MAX_PLAINTEXT_BYTES,
};

/// Encrypts one message for one user agent in `aesgcm`: body and headers.
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
/// Salt and sender's key travel in headers, and the user agent reads them from there.
///
/// ```
/// use tidings_webpush::{FreshKeyPair, Padding, SystemRandomness, UserAgentKeys, aesgcm};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let user_agent = UserAgentKeys::generate(&SystemRandomness)?;
/// let payload = aesgcm::encrypt(
///     user_agent.public_key(),
///     user_agent.auth(),
///     b"Your parcel is here",
///     Padding::None,
///     &FreshKeyPair,
///     &SystemRandomness,
/// )?;
/// let encryption = payload.encryption().ok_or("no Encryption")?;
/// let crypto_key = payload.crypto_key().ok_or("no Crypto-Key")?;
/// let parameters = aesgcm::Parameters::parse(encryption, crypto_key)?;
/// let plaintext = aesgcm::decrypt(&user_agent, &parameters, payload.body())?;
/// assert_eq!(plaintext, b"Your parcel is here");
/// # Ok(())
/// # }
/// ```
///
/// Spec: draft-ietf-webpush-encryption-04 §3 and §4.
pub fn encrypt(
    subscription_key: &UserAgentPublicKey,
    auth: &AuthSecret,
    plaintext: &[u8],
    padding: Padding,
    keys: &dyn KeyAgreementSource,
    randomness: &dyn Randomness,
) -> Result<EncryptedPayload, EncryptError> {
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
    // The limit is far below 2¹⁶, so this cannot fail.
    let padding_length = u16::try_from(padding).map_err(|_| EncryptError::Seal)?;
    let mut body = Vec::with_capacity(PADDING_LENGTH_BYTES + padding + plaintext.len() + TAG_BYTES);
    body.extend_from_slice(&padding_length.to_be_bytes());
    body.resize(PADDING_LENGTH_BYTES + padding, 0);
    body.extend_from_slice(plaintext);
    seal_record(&mut body, &agreement, subscription_key, auth, &salt)
        .map_err(|Unspecified| EncryptError::Seal)?;
    Ok(EncryptedPayload::aesgcm(
        body,
        format!("salt={}", base64url::encode(&salt)),
        format!("dh={}", base64url::encode(agreement.sender_public())),
    ))
}

/// Encrypts the message's only record where it stands, and appends the tag.
fn seal_record(
    body: &mut Vec<u8>,
    agreement: &KeyAgreement,
    subscription_key: &UserAgentPublicKey,
    auth: &AuthSecret,
    salt: &[u8; SALT_BYTES],
) -> Result<(), Unspecified> {
    let keys = RecordKeys::agreed(
        agreement.shared_secret(),
        auth,
        subscription_key.as_bytes(),
        agreement.sender_public(),
        salt,
    )?;
    let tag = keys
        .key
        .seal_in_place_separate_tag(keys.nonce(0), Aad::empty(), body)?;
    body.extend_from_slice(tag.as_ref());
    Ok(())
}
