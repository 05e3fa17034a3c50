//! Cursors: where the next part of a list begins, as text that callers hand back and do not read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_core::batch::Seq;
use tidings_core::id::{ApiTokenId, MessageId};

/// A key that a list goes on after.
pub(crate) trait CursorKey: Sized {
    /// The list's mark: a cursor of another list is refused.
    const MARK: u8;

    fn to_octets(&self) -> Vec<u8>;

    fn from_octets(octets: &[u8]) -> Option<Self>;
}

impl CursorKey for MessageId {
    const MARK: u8 = b'm';

    fn to_octets(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self::from_bytes)
    }
}

impl CursorKey for ApiTokenId {
    const MARK: u8 = b't';

    fn to_octets(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self::from_bytes)
    }
}

impl CursorKey for Seq {
    const MARK: u8 = b's';

    fn to_octets(&self) -> Vec<u8> {
        self.as_i64().to_be_bytes().to_vec()
    }

    fn from_octets(octets: &[u8]) -> Option<Self> {
        octets
            .try_into()
            .ok()
            .map(|octets| Self::from_i64(i64::from_be_bytes(octets)))
    }
}

/// Writes a cursor.
pub(crate) fn write<K: CursorKey>(key: &K) -> String {
    let mut octets = vec![K::MARK];
    octets.extend(key.to_octets());
    URL_SAFE_NO_PAD.encode(octets)
}

/// Reads [`write()`].
pub(crate) fn read<K: CursorKey>(text: &str) -> Option<K> {
    let octets = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (mark, key) = octets.split_first()?;
    if *mark == K::MARK {
        K::from_octets(key)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_by_its_own_list_only() {
        let seq = Seq::from_i64(4097);
        let text = write(&seq);
        assert_eq!(read(&text), Some(seq));
        assert_eq!(read::<MessageId>(&text), None);
        let message = MessageId::from_bytes([7; 16]);
        assert_eq!(read(&write(&message)), Some(message));
        for bad in ["", "!", "cw", "c2FiYw"] {
            assert_eq!(read::<Seq>(bad), None, "{bad}");
        }
    }
}
