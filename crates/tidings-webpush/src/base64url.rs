//! Base64url without padding for output; both alphabets, padded or not, for input.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STRICT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::RequireNone);

const URL_SAFE_LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
const STANDARD_LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE_STRICT: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, STRICT);

/// Base64url without padding (RFC 4648 section 5).
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_STRICT.encode(bytes)
}

/// Standard base64 with padding, as PEM has it.
pub(crate) fn encode_standard(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Appends [`encode`]d `bytes` to `text`.
pub(crate) fn encode_into(bytes: &[u8], text: &mut String) {
    URL_SAFE_STRICT.encode_string(bytes, text);
}

/// Decodes what clients and old databases contain: either alphabet, with or without padding.
///
/// A text that mixes the alphabets, or whose last character has stray bits, is refused: it was
/// damaged on its way.
pub(crate) fn decode_lenient(text: &str) -> Option<Vec<u8>> {
    let engine = if text.contains(['+', '/']) {
        &STANDARD_LENIENT
    } else {
        &URL_SAFE_LENIENT
    };
    engine.decode(text).ok()
}

/// Decodes base64url without padding and nothing else, as JWS demands (RFC 7515 section 2).
pub(crate) fn decode_strict(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_STRICT.decode(text).ok()
}
