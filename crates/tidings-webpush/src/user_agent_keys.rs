use std::fmt;

use aws_lc_rs::agreement::PrivateKey;
use zeroize::Zeroizing;

use crate::key_agreement::{self, private_key};
use crate::{AuthSecret, PrivateKeyError, Randomness, UserAgentPublicKey};

/// How often [`UserAgentKeys::generate`] draws: one draw fails once in 2³², so a second failure
/// means that the randomness is none.
const DRAWS: usize = 4;

/// The receiver's side of a subscription: what a user agent keeps to itself.
///
/// For sandboxes and tests; an application server never sees these keys.
///
/// Spec: RFC 8291 §3.1 and §3.2.
pub struct UserAgentKeys {
    private: PrivateKey,
    public: UserAgentPublicKey,
    auth: AuthSecret,
}

impl UserAgentKeys {
    /// Makes a key pair and an authentication secret.
    ///
    /// Fails only if the randomness gives no number below the group order.
    pub fn generate(randomness: &dyn Randomness) -> Result<Self, PrivateKeyError> {
        let mut auth = Zeroizing::new([0; 16]);
        randomness.fill(&mut *auth);
        let mut scalar = Zeroizing::new([0; 32]);
        for _ in 0..DRAWS {
            randomness.fill(&mut *scalar);
            if let Ok(keys) = Self::from_parts(&scalar, AuthSecret::from(*auth)) {
                return Ok(keys);
            }
        }
        Err(PrivateKeyError)
    }

    /// Takes the private scalar, big-endian, and the authentication secret.
    pub fn from_parts(scalar: &[u8; 32], auth: AuthSecret) -> Result<Self, PrivateKeyError> {
        let private = private_key(scalar)?;
        let octets = key_agreement::public_octets(&private).map_err(|_| PrivateKeyError)?;
        let public = UserAgentPublicKey::from_bytes(&octets).map_err(|_| PrivateKeyError)?;
        Ok(Self {
            private,
            public,
            auth,
        })
    }

    /// The public key, `keys.p256dh` of the subscription.
    ///
    /// Spec: RFC 8291 §3.1.
    pub fn public_key(&self) -> &UserAgentPublicKey {
        &self.public
    }

    /// The authentication secret, `keys.auth` of the subscription.
    ///
    /// Spec: RFC 8291 §3.2.
    pub fn auth(&self) -> &AuthSecret {
        &self.auth
    }

    pub(crate) fn private(&self) -> &PrivateKey {
        &self.private
    }
}

impl fmt::Debug for UserAgentKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UserAgentKeys")
    }
}
