//! Secrets at rest: sealed with an AEAD, bound to the place where they lie.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use tidings_webpush::Randomness;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_LEN;

/// A 256-bit key that seals secrets. It is never in the database.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealingKey([u8; 32]);

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
    id: [u8; KEY_ID_BYTES],
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
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.primary.id);
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
        let (header, ciphertext) = sealed
            .split_at_checked(HEADER_BYTES)
            .ok_or(SealingError::Damaged(place.table))?;
        let (format_and_id, nonce) = header
            .split_at_checked(1 + KEY_ID_BYTES)
            .ok_or(SealingError::Damaged(place.table))?;
        let (format, id) = format_and_id
            .split_first()
            .ok_or(SealingError::Damaged(place.table))?;
        if *format != FORMAT {
            return Err(SealingError::Damaged(place.table));
        }
        let key = std::iter::once(&self.primary)
            .chain(&self.others)
            .find(|key| key.id == id)
            .ok_or(SealingError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce)
            .map_err(|_| SealingError::Damaged(place.table))?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let length = key
            .key
            .open_in_place(nonce, Aad::from(place.associated_data()), &mut plaintext)
            .map_err(|_| SealingError::Damaged(place.table))?
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
        let digest = digest::digest(&digest::SHA256, &key.0);
        let mut id = [0; KEY_ID_BYTES];
        for (to, from) in id.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        let unbound = UnboundKey::new(&AES_256_GCM, &key.0).map_err(|_| SealingError::Failed)?;
        Ok(Self {
            id,
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
         was made with (setting `sealing_key`, or the file `sealing-key` in the data directory)"
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
}
