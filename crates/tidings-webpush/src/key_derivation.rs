//! The steps that both content encodings derive their keys with.
//!
//! HKDF with SHA-256 (RFC 5869) is spelled out in its HMAC steps: every output fits one block, so
//! the counter is the single octet 1, and the second extract is done once for key and nonce, where
//! aws-lc's `hkdf` would repeat it for each.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

pub(crate) fn hmac_key(key: &[u8]) -> hmac::Key {
    hmac::Key::new(HMAC_SHA256, key)
}

pub(crate) fn hmac_sha256(
    key: &hmac::Key,
    data: &[u8],
) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
    let mut output = Zeroizing::new([0; 32]);
    hmac::sign_to_buffer(key, data, &mut *output)?;
    Ok(output)
}
