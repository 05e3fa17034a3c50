//! Sealing keys, their short ids, and the lists in which operators give them.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use tidings_webpush::Randomness;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{FORMAT, SealingError};

pub(super) const KEY_ID_BYTES: usize = 4;

/// Keys that may be given at once. A rotation needs two.
pub const MOST_SEALING_KEYS: usize = 16;

/// A 256-bit key that seals secrets. It is never in the database.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealingKey(pub(super) [u8; 32]);

impl SealingKey {
    /// A new random key.
    pub fn generate(randomness: &dyn Randomness) -> Self {
        let mut bytes = [0; 32];
        randomness.fill(&mut bytes);
        Self(bytes)
    }

    /// Reads base64url (padding tolerated) or 64 hexadecimal digits of exactly 32 octets.
    pub fn parse(text: &str) -> Result<Self, SealingError> {
        let text = text.trim();
        let bytes = Zeroizing::new(decode_key(text).ok_or(SealingError::KeyForm)?);
        let bytes: [u8; 32] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| SealingError::KeyForm)?;
        Ok(Self(bytes))
    }

    /// The key as base64url, for the file that keeps it.
    pub fn expose_base64url(&self) -> Zeroizing<String> {
        use base64::Engine as _;
        Zeroizing::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.0))
    }

    /// The key's short id.
    pub fn id(&self) -> SealingKeyId {
        let digest = digest::digest(&digest::SHA256, &self.0);
        let mut id = [0; KEY_ID_BYTES];
        for (to, from) in id.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        SealingKeyId(id)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

fn decode_key(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return (0..64)
            .step_by(2)
            .map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok())
            .collect();
    }
    let unpadded = text
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(unpadded)
        .ok()
}

/// What a sealed value says of the key it needs: the beginning of the key's SHA-256. No secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SealingKeyId(pub(super) [u8; KEY_ID_BYTES]);

impl SealingKeyId {
    /// How many octets of a sealed value [`Self::of_sealed`] looks at.
    pub const MARK_BYTES: usize = 1 + KEY_ID_BYTES;

    /// The key that a sealed value names. `None` for what is no sealed value.
    pub fn of_sealed(sealed: &[u8]) -> Option<Self> {
        let (format, rest) = sealed.split_first()?;
        let id = rest.first_chunk()?;
        (*format == FORMAT).then_some(Self(*id))
    }

    /// How every value begins that is sealed with this key.
    pub fn mark(self) -> [u8; Self::MARK_BYTES] {
        let mut mark = [FORMAT; Self::MARK_BYTES];
        for (to, from) in mark.iter_mut().skip(1).zip(self.0) {
            *to = from;
        }
        mark
    }
}

impl fmt::Display for SealingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// The keys in use: the first one seals, all of them open. No two have the same id.
#[derive(Clone, Debug)]
pub struct SealingKeys {
    first: SealingKey,
    others: Vec<SealingKey>,
}

impl SealingKeys {
    /// One key, which seals and opens.
    pub fn one(key: SealingKey) -> Self {
        Self {
            first: key,
            others: Vec::new(),
        }
    }

    /// Reads a setting: keys with commas between them.
    ///
    /// # Errors
    /// Says which key is wrong, and never what it is.
    pub fn parse_list(text: &str) -> Result<Self, SealingKeysError> {
        Self::parse_each(text.split(','))
    }

    /// Reads a setting that is a list.
    ///
    /// # Errors
    /// As [`Self::parse_list`].
    pub fn parse_each<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, SealingKeysError> {
        Self::collect(texts.zip(1..).map(|(text, at)| (Spot::Key(at), text)))
    }

    /// Reads a file: one key a line. Lines that begin with `#` are left out.
    ///
    /// # Errors
    /// Says which line is wrong, and never what is in it.
    pub fn parse_lines(text: &str) -> Result<Self, SealingKeysError> {
        let lines = text.trim_end().lines().zip(1..);
        Self::collect(
            lines
                .filter(|(line, _)| !line.trim_start().starts_with('#'))
                .map(|(line, at)| (Spot::Line(at), line)),
        )
    }

    fn collect<'a>(texts: impl Iterator<Item = (Spot, &'a str)>) -> Result<Self, SealingKeysError> {
        let mut known: Vec<(Spot, SealingKey)> = Vec::new();
        for (spot, text) in texts {
            if known.len() == MOST_SEALING_KEYS {
                return Err(SealingKeysError::TooMany);
            }
            if text.trim().is_empty() {
                return Err(SealingKeysError::Empty(spot));
            }
            let key = SealingKey::parse(text).map_err(|_| SealingKeysError::Form(spot))?;
            if let Some((earlier, other)) = known.iter().find(|(_, known)| known.id() == key.id()) {
                let is_same = verify_slices_are_equal(&other.0, &key.0).is_ok();
                return Err(if is_same {
                    SealingKeysError::Twice(spot, *earlier)
                } else {
                    SealingKeysError::SameId(spot, *earlier)
                });
            }
            known.push((spot, key));
        }
        let mut keys = known.into_iter().map(|(_, key)| key);
        Ok(Self {
            first: keys.next().ok_or(SealingKeysError::None)?,
            others: keys.collect(),
        })
    }

    /// These keys behind another one, which seals from then on. `None` if they have its id.
    #[must_use]
    pub fn behind(&self, key: SealingKey) -> Option<Self> {
        if self.ids().any(|id| id == key.id()) {
            return None;
        }
        Some(Self {
            first: key,
            others: self.iter().cloned().collect(),
        })
    }

    /// The key that seals.
    pub fn first(&self) -> &SealingKey {
        &self.first
    }

    /// The keys that only open.
    pub fn others(&self) -> &[SealingKey] {
        &self.others
    }

    /// All keys, the one that seals first.
    pub fn iter(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The ids of all keys, of the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = SealingKeyId> {
        self.iter().map(SealingKey::id)
    }
}

/// Where a key stands, as operators count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spot {
    /// A line of a file.
    Line(usize),
    /// A key of a list.
    Key(usize),
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Key(number) => write!(f, "key {number}"),
        }
    }
}

/// Why a list of sealing keys was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingKeysError {
    /// What stands there is no key.
    #[error(
        "{0} is no sealing key: that is 32 octets as base64url or hexadecimal digits; make one \
         with `openssl rand -base64 32`"
    )]
    Form(Spot),
    /// Nothing stands there.
    #[error("{0} is empty: a sealing key was to be there; take it out, or put the key there")]
    Empty(Spot),
    /// The same key again.
    #[error("{0} is the same sealing key as {1}: give each key once")]
    Twice(Spot, Spot),
    /// Another key with the same short id, by which values name the key that they need.
    #[error(
        "{0} and {1} are different sealing keys with the same short id, and cannot be used \
         together: make another one in place of the newer"
    )]
    SameId(Spot, Spot),
    /// No key at all.
    #[error("there is no sealing key in it; make one with `openssl rand -base64 32`")]
    None,
    /// More than anybody needs.
    #[error(
        "these are more than {MOST_SEALING_KEYS} sealing keys: run `tidings keys reseal`, then \
         take out those that seal nothing any more"
    )]
    TooMany,
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tidings_webpush::SystemRandomness;

    use super::*;

    fn hexadecimal(octet: u8) -> String {
        format!("{octet:02x}").repeat(32)
    }

    #[test]
    fn a_key_is_read_in_both_spellings() {
        let hexadecimal = "00".repeat(31) + "ff";
        let base64 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=";
        let from_hexadecimal = SealingKey::parse(&hexadecimal).unwrap();
        assert_eq!(
            *from_hexadecimal.expose_base64url(),
            *SealingKey::parse(base64).unwrap().expose_base64url()
        );
        assert_eq!(
            SealingKey::parse("short").unwrap_err(),
            SealingError::KeyForm
        );
    }

    #[test]
    fn the_first_of_several_keys_seals() {
        let (one, two) = (hexadecimal(1), hexadecimal(2));
        let file = format!("# made in autumn\r\n{two}\r\n  # older\n {one} \n\n");
        let id = |text: &str| SealingKey::parse(text).unwrap().id();
        for keys in [
            SealingKeys::parse_list(&format!("{two}, {one}")).unwrap(),
            SealingKeys::parse_lines(&file).unwrap(),
        ] {
            assert_eq!(keys.first().id(), id(&two));
            assert_eq!(keys.ids().collect::<Vec<_>>(), [id(&two), id(&one)]);
        }
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said_by_its_place_and_never_shown() {
        use SealingKeysError as E;
        let (one, two) = (hexadecimal(1), hexadecimal(2));
        let line = Spot::Line;
        let cases = [
            (format!("{one}\nsecretsecret\n"), E::Form(line(2))),
            (format!("{one}\n\n{two}\n"), E::Empty(line(2))),
            (format!("\n{one}"), E::Empty(line(1))),
            (format!("{one}\n#\n{one}"), E::Twice(line(3), line(1))),
            ("# nothing\n".to_owned(), E::None),
            (String::new(), E::None),
        ];
        for (text, expected) in cases {
            let error = SealingKeys::parse_lines(&text).unwrap_err();
            assert_eq!(error, expected);
            let said = error.to_string();
            assert!(!said.contains("secretsecret") && !said.contains(&one));
        }
        let error = |text: &str| SealingKeys::parse_list(text).unwrap_err();
        assert_eq!(error(&format!("{one},")), E::Empty(Spot::Key(2)));
        assert_eq!(error(&format!("{one},x,")), E::Form(Spot::Key(2)));
        assert_eq!(
            error(&format!("{one},{one}")),
            E::Twice(Spot::Key(2), Spot::Key(1))
        );
        assert_eq!(error(""), E::Empty(Spot::Key(1)));
        let many: Vec<_> = (0..=16).map(hexadecimal).collect();
        assert!(SealingKeys::parse_list(&many[..16].join(",")).is_ok());
        assert_eq!(error(&many.join(",")), E::TooMany);
    }

    /// Two keys whose ids are the same: ids are short enough that they are soon found.
    fn keys_with_the_same_id() -> (SealingKey, SealingKey) {
        let mut seen = HashMap::new();
        loop {
            let key = SealingKey::generate(&SystemRandomness);
            if let Some(other) = seen.insert(key.id(), key.clone()) {
                return (other, key);
            }
        }
    }

    #[test]
    fn two_keys_with_the_same_id_are_refused() {
        let (one, two) = keys_with_the_same_id();
        let file = format!("{}\n{}", *one.expose_base64url(), *two.expose_base64url());
        assert_eq!(
            SealingKeys::parse_lines(&file).unwrap_err(),
            SealingKeysError::SameId(Spot::Line(2), Spot::Line(1))
        );
        assert!(SealingKeys::one(one).behind(two).is_none());
    }

    #[test]
    fn a_value_names_the_key_it_needs() {
        let id = SealingKey::parse(&hexadecimal(1)).unwrap().id();
        let mut value = id.mark().to_vec();
        assert_eq!(SealingKeyId::of_sealed(&value), Some(id));
        assert_eq!(id.to_string().len(), 8);
        assert_eq!(SealingKeyId::of_sealed(&value[..4]), None);
        value[0] ^= 1;
        assert_eq!(SealingKeyId::of_sealed(&value), None);
    }
}
