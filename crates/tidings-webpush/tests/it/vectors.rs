//! Reading of `tests/vectors/*.json`.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use tidings_webpush::{AuthSecret, UserAgentKeys, UserAgentPublicKey};

/// The whole file.
pub(crate) fn load(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A list of cases, which must not be empty: a misspelt name would pass every test.
pub(crate) fn cases<'a>(vectors: &'a Value, list: &str) -> &'a [Value] {
    let cases = vectors[list]
        .as_array()
        .unwrap_or_else(|| panic!("no list {list}"));
    assert!(!cases.is_empty(), "{list} is empty");
    cases
}

pub(crate) fn text<'a>(case: &'a Value, member: &str) -> &'a str {
    case[member]
        .as_str()
        .unwrap_or_else(|| panic!("{member} is not a string in {case}"))
}

pub(crate) fn octets(case: &Value, member: &str) -> Vec<u8> {
    decode(text(case, member))
}

pub(crate) fn number(case: &Value, member: &str) -> usize {
    let number = case[member]
        .as_u64()
        .unwrap_or_else(|| panic!("{member} is no number in {case}"));
    usize::try_from(number).unwrap()
}

pub(crate) fn array<const N: usize>(case: &Value, member: &str) -> [u8; N] {
    octets(case, member)
        .try_into()
        .unwrap_or_else(|_| panic!("{member} has another length"))
}

pub(crate) fn user_agent(case: &Value) -> UserAgentKeys {
    UserAgentKeys::from_parts(&array(case, "ua_private"), auth(case)).unwrap()
}

pub(crate) fn user_agent_public(case: &Value) -> UserAgentPublicKey {
    UserAgentPublicKey::parse(text(case, "ua_public")).unwrap()
}

pub(crate) fn auth(case: &Value) -> AuthSecret {
    AuthSecret::parse(text(case, "auth")).unwrap()
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

pub(crate) fn encode(octets: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(octets)
}
