use std::fmt;

use aws_lc_rs::agreement::{self, ECDH_P256, ParsedPublicKey, PrivateKey};
use aws_lc_rs::error::Unspecified;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{EncryptError, UserAgentPublicKey};

/// Where the sender's half of a message's key agreement comes from.
///
/// A source of its own, and not a [`Randomness`](crate::Randomness), because aws-lc makes key
/// pairs from its own generator only, and because key pairs may be made ahead of time.
///
/// Spec: RFC 8291 §3.1.
pub trait KeyAgreementSource: Send + Sync {
    /// Agrees with a user agent on the secret of one message.
    fn agree(&self, user_agent: &UserAgentPublicKey) -> Result<KeyAgreement, EncryptError>;
}

/// What the sender's key pair and the user agent's public key give for one message.
///
/// The shared secret is zeroized on drop.
///
/// Spec: RFC 8291 §3.1.
pub struct KeyAgreement {
    sender_public: [u8; 65],
    shared_secret: Zeroizing<[u8; 32]>,
}

impl KeyAgreement {
    /// Puts together an agreement that was made elsewhere.
    ///
    /// `sender_public` is the uncompressed point of the sender's ephemeral key; `shared_secret`
    /// is the X coordinate that ECDH gives (RFC 8291 §3.1). The key pair must never be the one
    /// that signs VAPID tokens (RFC 8292 §3.2).
    pub fn new(sender_public: [u8; 65], shared_secret: [u8; 32]) -> Self {
        Self {
            sender_public,
            shared_secret: Zeroizing::new(shared_secret),
        }
    }

    pub(crate) fn sender_public(&self) -> &[u8; 65] {
        &self.sender_public
    }

    pub(crate) fn shared_secret(&self) -> &[u8; 32] {
        &self.shared_secret
    }
}

impl fmt::Debug for KeyAgreement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyAgreement")
    }
}

/// A new key pair for every message, forgotten afterwards: what RFC 8291 §3.1 describes.
#[derive(Debug, Clone, Copy, Default)]
pub struct FreshKeyPair;

impl KeyAgreementSource for FreshKeyPair {
    fn agree(&self, user_agent: &UserAgentPublicKey) -> Result<KeyAgreement, EncryptError> {
        let private = PrivateKey::generate(&ECDH_P256).map_err(|_| EncryptError::KeyAgreement)?;
        agree_with(&private, user_agent)
    }
}

/// Computes the agreement of one sender key with one user agent.
pub(crate) fn agree_with(
    private: &PrivateKey,
    user_agent: &UserAgentPublicKey,
) -> Result<KeyAgreement, EncryptError> {
    let sender_public = public_octets(private).map_err(|Unspecified| EncryptError::KeyAgreement)?;
    let shared_secret = shared_secret(private, user_agent.point())
        .map_err(|Unspecified| EncryptError::KeyAgreement)?;
    Ok(KeyAgreement {
        sender_public,
        shared_secret,
    })
}

/// ECDH: the X coordinate of the product (RFC 8291 §3.1).
pub(crate) fn shared_secret(
    private: &PrivateKey,
    peer: ParsedPublicKey,
) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
    agreement::agree(private, peer, Unspecified, |secret| {
        let mut copy = Zeroizing::new([0; 32]);
        if secret.len() != copy.len() {
            return Err(Unspecified);
        }
        copy.copy_from_slice(secret);
        Ok(copy)
    })
}

/// The uncompressed point that belongs to a private key.
pub(crate) fn public_octets(private: &PrivateKey) -> Result<[u8; 65], Unspecified> {
    private
        .compute_public_key()?
        .as_ref()
        .try_into()
        .map_err(|_| Unspecified)
}

/// Reads a private scalar.
pub(crate) fn private_key(scalar: &[u8; 32]) -> Result<PrivateKey, PrivateKeyError> {
    PrivateKey::from_private_key(&ECDH_P256, scalar).map_err(|_| PrivateKeyError)
}

/// The octets are not a private key of P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a private key of P-256: the number is zero or not below the group order")]
pub struct PrivateKeyError;
