//! What makes a message reproducible, and thereby unsafe. For tests only.

use std::fmt;

use aws_lc_rs::agreement::PrivateKey;

use crate::key_agreement::{agree_with, private_key};
use crate::{
    EncryptError, KeyAgreement, KeyAgreementSource, PrivateKeyError, Randomness, UserAgentPublicKey,
};

/// One sender key pair for every message.
///
/// The sender's public key travels in clear: messages become linkable, and whoever gets the
/// private key can open all of them.
///
/// Spec: RFC 8291 §3.1, whose new key pair for each message it gives up.
pub struct FixedKeyPair {
    private: PrivateKey,
}

impl FixedKeyPair {
    /// Takes the private scalar, big-endian.
    pub fn from_private(scalar: &[u8; 32]) -> Result<Self, PrivateKeyError> {
        private_key(scalar).map(|private| Self { private })
    }
}

impl KeyAgreementSource for FixedKeyPair {
    fn agree(&self, user_agent: &UserAgentPublicKey) -> Result<KeyAgreement, EncryptError> {
        agree_with(&self.private, user_agent)
    }
}

impl fmt::Debug for FixedKeyPair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FixedKeyPair")
    }
}

/// The same 16 octets again and again.
///
/// Together with [`FixedKeyPair`] and one recipient it repeats key and nonce, which gives away
/// the plaintexts and lets others forge messages (RFC 8188 §4.3).
#[derive(Debug, Clone, Copy)]
pub struct FixedRandomness {
    octets: [u8; 16],
}

impl FixedRandomness {
    /// Takes the octets that every call is filled with from the start, such as a salt.
    pub fn new(octets: [u8; 16]) -> Self {
        Self { octets }
    }
}

impl Randomness for FixedRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        for (target, source) in bytes.iter_mut().zip(self.octets.iter().cycle()) {
            *target = *source;
        }
    }
}
