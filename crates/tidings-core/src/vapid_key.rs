//! VAPID keys as Tidings keeps them: several are live at once, so that a rotation loses nobody.

use std::fmt;

use tidings_webpush::VapidPublicKey;

use crate::application::ApplicationId;
use crate::clock::Timestamp;
use crate::id::VapidKeyId;

/// What a public key comes to in base64url without padding.
const PUBLIC_KEY_CHARACTERS: usize = 87;

/// A VAPID key without its private half.
#[derive(Clone, Debug)]
pub struct VapidKeyRecord {
    /// Its identifier.
    pub id: VapidKeyId,
    /// Whose it is.
    pub application: ApplicationId,
    /// What pages subscribe with.
    pub public_key: VapidPublicKey,
    /// Whether it is handed out and signed with.
    pub state: VapidKeyState,
    /// When it was made or imported.
    pub created_at: Timestamp,
}

/// The states of a VAPID key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VapidKeyState {
    /// Handed out to pages, and signed with. One an application.
    Active,
    /// Signed with for the subscriptions made with it.
    Live,
    /// Not used any more.
    Retired,
}

impl VapidKeyState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Active, Self::Live, Self::Retired];

    /// The state's name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Live => "live",
            Self::Retired => "retired",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// How a subscription that comes from elsewhere names the VAPID key it was made with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VapidKeyName {
    /// By its identifier on this server.
    Id(VapidKeyId),
    /// By the public key, in base64url without padding: the same on every server.
    PublicKey(String),
}

impl VapidKeyName {
    /// Reads an identifier, or 65 octets in base64url; standard base64 and padding are tolerated.
    /// Whether such a key exists is seen when it is looked for.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse() {
            return Some(Self::Id(id));
        }
        let plain = text
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_");
        let is_base64url =
            |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        let fits = plain.len() == PUBLIC_KEY_CHARACTERS && plain.bytes().all(is_base64url);
        fits.then_some(Self::PublicKey(plain))
    }
}

impl fmt::Display for VapidKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::PublicKey(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_id_or_by_its_public_half() {
        let id = VapidKeyId::from_bytes([7; 16]);
        assert_eq!(
            VapidKeyName::parse(&id.to_string()),
            Some(VapidKeyName::Id(id))
        );
        let key = format!("B{}", "-_aZ09".repeat(15));
        let plain = &key[..87];
        let named = Some(VapidKeyName::PublicKey(plain.to_owned()));
        assert_eq!(VapidKeyName::parse(plain), named);
        let standard = format!("{}=", plain.replace('-', "+").replace('_', "/"));
        assert_eq!(VapidKeyName::parse(&standard), named);
        for bad in ["", "key_1", &key[..86], &key, &"!".repeat(87)] {
            assert_eq!(VapidKeyName::parse(bad), None, "{bad}");
        }
    }
}
