//! The headers `Encryption` and `Crypto-Key`: a list of elements, each of them parameters.
//!
//! Spec: draft-ietf-httpbis-encryption-encoding-03 §3 and §4. Stricter than its grammar: names and
//! values consist of letters, digits, `-` and `_`, a quoted value may have base64 padding, and
//! nothing is empty. No sender needs more, and what the old receivers made of the rest differs.

use http::HeaderMap;
use http::header::AsHeaderName;

/// One element of the list: names and values, in order.
pub(crate) struct Element<'a> {
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Element<'a> {
    /// The last value under `name`, which is written in any case.
    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        self.parameters
            .iter()
            .rfind(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Whether a name is there twice.
    pub(crate) fn has_repetition(&self) -> bool {
        self.parameters
            .iter()
            .enumerate()
            .any(|(index, (name, _))| {
                let mut before = self.parameters.iter().take(index);
                before.any(|(other, _)| other.eq_ignore_ascii_case(name))
            })
    }
}

/// All values of a list header as one text (RFC 9110 §5.3); `None` if there is none, or if one of
/// them is not text.
pub(crate) fn joined(headers: &HeaderMap, name: impl AsHeaderName) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().ok())
        .collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.join(","))
}

/// Splits a header; `None` if any part of it is malformed.
pub(crate) fn elements(header: &str) -> Option<Vec<Element<'_>>> {
    header.split(',').map(element).collect()
}

fn element(text: &str) -> Option<Element<'_>> {
    let parameters = text.split(';').map(parameter).collect::<Option<_>>()?;
    Some(Element { parameters })
}

fn parameter(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (without_space(name), without_space(value));
    let (value, unpadded) = match value.strip_prefix('"') {
        Some(quoted) => {
            let value = quoted.strip_suffix('"')?;
            (value, value.trim_end_matches('='))
        }
        None => (value, value),
    };
    (is_word(name) && is_word(unpadded)).then_some((name, value))
}

fn is_word(text: &str) -> bool {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// Optional white space of RFC 9110 §5.6.3.
fn without_space(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
