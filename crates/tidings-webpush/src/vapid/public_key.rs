use std::fmt;

use crate::{PublicKeyError, base64url, public_key};

/// The public half of a VAPID key: what pages pass as `applicationServerKey`, and `k` of the
/// `Authorization` header.
///
/// A checked point of P-256. Spec: RFC 8292 §3.2.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VapidPublicKey {
    octets: [u8; 65],
}

impl VapidPublicKey {
    /// Reads base64url; standard base64 and padding are tolerated.
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        public_key::parse(text).map(|(_, octets)| Self { octets })
    }

    /// Checks the uncompressed point `0x04 || X || Y`, 65 octets.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        public_key::check(bytes).map(|(_, octets)| Self { octets })
    }

    /// The uncompressed point.
    pub fn as_bytes(&self) -> &[u8; 65] {
        &self.octets
    }

    /// The point in base64url without padding, 87 characters.
    pub fn to_base64url(&self) -> String {
        base64url::encode(&self.octets)
    }
}

impl fmt::Debug for VapidPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VapidPublicKey({})", self.to_base64url())
    }
}
