//! Secrets at rest: sealed with an AEAD, bound to the place where they lie.

mod keys;

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tidings_webpush::Randomness;
use zeroize::Zeroizing;

pub use self::keys::{
    MOST_SEALING_KEYS, SealingKey, SealingKeyId, SealingKeys, SealingKeysError, Spot,
};

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = SealingKeyId::MARK_BYTES + NONCE_LEN;

/// Where a sealed value lies. A value moved to another place does not open.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Table, in the plural form of the schema.
    pub table: &'static str,
    /// Column.
    pub column: &'static str,
    /// The row's identity, as octets.
    pub row: &'a [u8],
}

impl Place<'_> {
    fn associated_data(&self) -> Vec<u8> {
        // Lengths in front: no two places share their associated data.
        let mut data =
            Vec::with_capacity(3 + self.table.len() + self.column.len() + self.row.len());
        for part in [self.table.as_bytes(), self.column.as_bytes(), self.row] {
            data.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            data.extend_from_slice(part);
        }
        data
    }
}

/// Seals with the first key it was given and opens with any of them.
pub struct Sealer {
    primary: KeyInUse,
    others: Vec<KeyInUse>,
}

struct KeyInUse {
    id: SealingKeyId,
    key: LessSafeKey,
}

impl Sealer {
    /// A sealer that seals with `primary` and also opens what `others` sealed.
    pub fn new(primary: &SealingKey, others: &[SealingKey]) -> Result<Self, SealingError> {
        Ok(Self {
            primary: KeyInUse::new(primary)?,
            others: others.iter().map(KeyInUse::new).collect::<Result<_, _>>()?,
        })
    }

    /// A sealer with the keys that an operator gave.
    pub fn with_keys(keys: &SealingKeys) -> Result<Self, SealingError> {
        Self::new(keys.first(), keys.others())
    }

    /// The key that seals.
    pub fn primary(&self) -> SealingKeyId {
        self.primary.id
    }

    /// Seals `plaintext` for `place`: format, key id, nonce, ciphertext, tag.
    pub fn seal(
        &self,
        place: Place<'_>,
        plaintext: &[u8],
        randomness: &dyn Randomness,
    ) -> Result<Vec<u8>, SealingError> {
        let mut nonce = [0; NONCE_LEN];
        randomness.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(HEADER_BYTES + plaintext.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&self.primary.id.mark());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let in_place = sealed.get_mut(HEADER_BYTES..).ok_or(SealingError::Failed)?;
        let tag = self
            .primary
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.associated_data()),
                in_place,
            )
            .map_err(|_| SealingError::Failed)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed for the same `place`.
    pub fn open(
        &self,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let damaged = || SealingError::Damaged(place.table);
        let (header, ciphertext) = sealed.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
        let id = SealingKeyId::of_sealed(header).ok_or_else(damaged)?;
        let nonce = header.get(SealingKeyId::MARK_BYTES..).unwrap_or_default();
        let key = std::iter::once(&self.primary)
            .chain(&self.others)
            .find(|key| key.id == id)
            .ok_or(SealingError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let length = key
            .key
            .open_in_place(nonce, Aad::from(place.associated_data()), &mut plaintext)
            .map_err(|_| damaged())?
            .len();
        plaintext.truncate(length);
        Ok(plaintext)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl KeyInUse {
    fn new(key: &SealingKey) -> Result<Self, SealingError> {
        let unbound = UnboundKey::new(&AES_256_GCM, &key.0).map_err(|_| SealingError::Failed)?;
        Ok(Self {
            id: key.id(),
            key: LessSafeKey::new(unbound),
        })
    }
}

/// Why a value could not be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// The text is not a key.
    #[error(
        "a sealing key is 32 octets as base64url or hexadecimal digits; \
         make one with `openssl rand -base64 32`"
    )]
    KeyForm,
    /// Sealed with a key that was not given.
    #[error(
        "the database was sealed with another sealing key: start with the key this data directory \
         was made with (setting `sealing_key`, or the file `sealing-key` in the data directory); \
         `tidings keys list` shows which keys it needs"
    )]
    UnknownKey,
    /// The value was changed, cut, or moved from another row.
    #[error("a sealed value in table `{0}` is damaged or was moved")]
    Damaged(&'static str),
    /// The cryptographic library refused.
    #[error("sealing failed")]
    Failed,
}

#[cfg(test)]
mod tests {
    use tidings_webpush::SystemRandomness;

    use super::*;

    const PLACE: Place<'static> = Place {
        table: "t",
        column: "c",
        row: b"1",
    };

    fn key() -> SealingKey {
        SealingKey::generate(&SystemRandomness)
    }

    #[test]
    fn opens_what_it_sealed_in_the_same_place_only() {
        let sealer = Sealer::new(&key(), &[]).unwrap();
        let sealed = sealer.seal(PLACE, b"secret", &SystemRandomness).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(sealer.open(PLACE, &sealed).unwrap().as_slice(), b"secret");
        for elsewhere in [
            Place {
                table: "u",
                ..PLACE
            },
            Place {
                column: "d",
                ..PLACE
            },
            Place { row: b"2", ..PLACE },
        ] {
            assert_eq!(
                sealer.open(elsewhere, &sealed),
                Err(SealingError::Damaged(elsewhere.table))
            );
        }
    }

    #[test]
    fn every_changed_octet_is_noticed() {
        let sealer = Sealer::new(&key(), &[]).unwrap();
        let sealed = sealer.seal(PLACE, b"secret", &SystemRandomness).unwrap();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(sealer.open(PLACE, &changed).is_err(), "octet {position}");
            assert!(
                sealer.open(PLACE, &sealed[..position]).is_err(),
                "cut at {position}"
            );
        }
    }

    #[test]
    fn an_older_key_still_opens_and_an_unknown_one_is_named() {
        let (old, new) = (key(), key());
        let sealed = Sealer::new(&old, &[])
            .unwrap()
            .seal(PLACE, b"x", &SystemRandomness)
            .unwrap();
        let both = Sealer::new(&new, std::slice::from_ref(&old)).unwrap();
        assert_eq!(both.open(PLACE, &sealed).unwrap().as_slice(), b"x");
        let only_new = Sealer::new(&new, &[]).unwrap();
        assert_eq!(only_new.open(PLACE, &sealed), Err(SealingError::UnknownKey));
    }
}
