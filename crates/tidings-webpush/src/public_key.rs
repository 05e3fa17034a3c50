//! The one check of a P-256 point that every public key in this crate passes.

use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, UnparsedPublicKey};
use thiserror::Error;

use crate::base64url;

/// Length of an uncompressed P-256 point: `0x04 || X || Y`, in octets.
pub(crate) const PUBLIC_KEY_BYTES: usize = 65;

const UNCOMPRESSED: u8 = 0x04;

/// Why a public key was refused.
///
/// Spec: RFC 8291 §7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// The text is not base64url (nor standard base64).
    #[error("not base64url: give the key as it was made, 87 characters of base64url")]
    Base64,
    /// The key has another length than an uncompressed P-256 point.
    #[error(
        "{got} octets instead of 65: give the uncompressed point (0x04, X, Y), not a compressed \
         one, a bare X and Y, or an X.509 structure"
    )]
    Length {
        /// Octets found.
        got: usize,
    },
    /// 65 octets that do not begin with `0x04`.
    #[error("the first octet is not 0x04: give the uncompressed form of the point")]
    Form,
    /// The coordinates are out of range or the point is not on the curve.
    #[error("not a point of the curve P-256: the key was damaged or made up")]
    NotOnCurve,
}

/// Decodes and checks a point given as text.
pub(crate) fn parse(text: &str) -> Result<(ParsedPublicKey, [u8; 65]), PublicKeyError> {
    check(&base64url::decode_lenient(text).ok_or(PublicKeyError::Base64)?)
}

/// Checks that `bytes` is an uncompressed point of P-256 (RFC 8291 §7: not infinity, both
/// coordinates in range, on the curve).
///
/// aws-lc also takes compressed, hybrid and X.509 keys, hence the look at length and first octet.
pub(crate) fn check(bytes: &[u8]) -> Result<(ParsedPublicKey, [u8; 65]), PublicKeyError> {
    let octets: [u8; PUBLIC_KEY_BYTES] = bytes
        .try_into()
        .map_err(|_| PublicKeyError::Length { got: bytes.len() })?;
    if octets.first() != Some(&UNCOMPRESSED) {
        return Err(PublicKeyError::Form);
    }
    let point = ParsedPublicKey::try_from(UnparsedPublicKey::new(&ECDH_P256, octets))
        .map_err(|_| PublicKeyError::NotOnCurve)?;
    Ok((point, octets))
}
