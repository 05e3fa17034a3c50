use std::fmt;

use super::pem::pem;
use crate::{PublicKeyError, base64url, public_key};

/// A P-256 key's `SubjectPublicKeyInfo` up to the point. Every length in it is fixed.
const SPKI_HEADER: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

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
    ///
    /// Spec: RFC 8292 §3.2, RFC 8291 §7.
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        public_key::parse(text).map(|(_, octets)| Self { octets })
    }

    /// Checks the uncompressed point `0x04 || X || Y`, 65 octets.
    ///
    /// Spec: RFC 8291 §7.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        public_key::check(bytes).map(|(_, octets)| Self { octets })
    }

    /// The uncompressed point.
    pub fn as_bytes(&self) -> &[u8; 65] {
        &self.octets
    }

    /// The point in base64url without padding, 87 characters: `applicationServerKey` as text.
    ///
    /// Spec: RFC 8292 §3.2.
    pub fn to_base64url(&self) -> String {
        base64url::encode(&self.octets)
    }

    /// The key as `SubjectPublicKeyInfo` in DER, 91 octets.
    ///
    /// Spec: RFC 5280 §4.1.2.7, RFC 5480 §2.
    pub fn to_spki_der(&self) -> Vec<u8> {
        [SPKI_HEADER, &self.octets].concat()
    }

    /// The key as `SubjectPublicKeyInfo` in PEM, `-----BEGIN PUBLIC KEY-----`.
    ///
    /// Spec: RFC 7468 §13.
    pub fn to_spki_pem(&self) -> String {
        let mut text = String::new();
        let base64 = base64url::encode_standard(&self.to_spki_der());
        pem("PUBLIC KEY", &base64, &mut text);
        text
    }

    /// The key as JSON Web Key, in one line.
    ///
    /// Spec: RFC 7518 §6.2.1.
    pub fn to_jwk(&self) -> String {
        let (x, y) = self.coordinates();
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#)
    }

    /// X and Y in base64url.
    pub(super) fn coordinates(&self) -> (String, String) {
        let [_form, coordinates @ ..] = &self.octets;
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        (base64url::encode(x), base64url::encode(y))
    }
}

impl fmt::Debug for VapidPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VapidPublicKey({})", self.to_base64url())
    }
}
