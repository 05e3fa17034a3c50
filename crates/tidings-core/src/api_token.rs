//! API tokens: what back ends and operators show.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_webpush::Randomness;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::application::ApplicationId;
use crate::clock::Timestamp;
use crate::id::ApiTokenId;

/// What every token's text begins with, so that people and secret scanners know one when they see
/// it.
const PREFIX: &str = "tdg_";

const SECRET_BYTES: usize = 32;
const SECRET_CHARACTERS: usize = (SECRET_BYTES * 8).div_ceil(6);

/// Something that a token may be allowed to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// Send messages.
    SendMessages,
    /// Read messages and their counts.
    ReadMessages,
    /// Read subscriptions; never their keys or endpoints.
    ReadSubscriptions,
    /// Register, change and end subscriptions.
    WriteSubscriptions,
    /// Export subscriptions with their keys and endpoints: whoever has those can send.
    ExportSubscriptions,
    /// See how the server as a whole is: metrics and alerts.
    Monitor,
    /// Everything, for every application, API tokens and VAPID keys included.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 7] = [
        Self::SendMessages,
        Self::ReadMessages,
        Self::ReadSubscriptions,
        Self::WriteSubscriptions,
        Self::ExportSubscriptions,
        Self::Monitor,
        Self::Admin,
    ];

    /// The scope's name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendMessages => "messages:send",
            Self::ReadMessages => "messages:read",
            Self::ReadSubscriptions => "subscriptions:read",
            Self::WriteSubscriptions => "subscriptions:write",
            Self::ExportSubscriptions => "subscriptions:export",
            Self::Monitor => "monitoring:read",
            Self::Admin => "admin",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The scopes of a token: at least one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Scopes(u8);

impl Scopes {
    /// These scopes; `None` if there are none. The same one twice is the same as once.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Option<Self> {
        let bits = scopes.into_iter().fold(0, |bits, scope| bits | scope.bit());
        (bits != 0).then_some(Self(bits))
    }

    /// Reads names with a space between each two, as they are kept (RFC 6749 §3.3).
    pub fn parse(text: &str) -> Option<Self> {
        let scopes: Option<Vec<_>> = text.split(' ').map(Scope::parse).collect();
        Self::new(scopes?)
    }

    /// Whether they allow what needs this scope: it is one of them, or [`Scope::Admin`] is.
    pub fn allow(self, needed: Scope) -> bool {
        self.0 & (needed.bit() | Scope::Admin.bit()) != 0
    }

    /// Each of them, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        let has = move |scope: &Scope| self.0 & scope.bit() != 0;
        Scope::ALL.into_iter().filter(has)
    }
}

impl fmt::Display for Scopes {
    /// What [`Self::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&names.join(" "))
    }
}

/// What an operator calls a token, to know it again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiTokenName(String);

impl ApiTokenName {
    /// Reads 1 to 100 characters; none of them a control character, and not only white space.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=100).contains(&text.chars().count())
            && !text.chars().any(char::is_control)
            && !text.trim().is_empty();
        fits.then(|| Self(text.to_owned()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A token's text: `tdg_` and 43 characters of base64url, 256 random bits. Told once, to whoever
/// made the token, and kept nowhere.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ApiTokenSecret(String);

impl ApiTokenSecret {
    /// A new one that nobody can guess.
    pub fn generate(randomness: &dyn Randomness) -> Self {
        let mut octets = [0; SECRET_BYTES];
        randomness.fill(&mut octets);
        let mut text = String::with_capacity(PREFIX.len() + SECRET_CHARACTERS);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(octets, &mut text);
        octets.zeroize();
        Self(text)
    }

    /// Reads what a caller shows. What has another form is the text of no token.
    pub fn parse(text: &str) -> Option<Self> {
        let characters = text.strip_prefix(PREFIX)?;
        let fits = characters.len() == SECRET_CHARACTERS
            && characters
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        fits.then(|| Self(text.to_owned()))
    }

    /// The text, for the answer to whoever made the token.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    ///
    /// One SHA-256 is enough: a slow hash makes guesses dear, and nobody guesses 256 random bits.
    /// It also makes looking a token up safe without a comparison in constant time: how long the
    /// database takes tells about the hash of what was shown, from which no other text follows.
    pub fn hash(&self) -> ApiTokenHash {
        let mut hash = [0; digest::SHA256_OUTPUT_LEN];
        let sum = digest::digest(&digest::SHA256, self.0.as_bytes());
        for (to, from) in hash.iter_mut().zip(sum.as_ref()) {
            *to = *from;
        }
        ApiTokenHash(hash)
    }
}

impl fmt::Debug for ApiTokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiTokenSecret")
    }
}

/// SHA-256 of a token's text: useless to whoever reads it, the text cannot be found from it.
#[derive(Clone, Copy)]
pub struct ApiTokenHash([u8; digest::SHA256_OUTPUT_LEN]);

impl ApiTokenHash {
    /// The octets a store keeps.
    pub fn as_bytes(&self) -> &[u8; digest::SHA256_OUTPUT_LEN] {
        &self.0
    }
}

impl fmt::Debug for ApiTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiTokenHash")
    }
}

/// A token without its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiTokenRecord {
    /// Its identifier.
    pub id: ApiTokenId,
    /// The application it belongs to.
    pub application: ApplicationId,
    /// What its operator calls it.
    pub name: ApiTokenName,
    /// What it allows.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused; `None` if it does not expire.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, as far as that is known: at most a minute late.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl ApiTokenRecord {
    /// Whether it is taken at this instant.
    pub fn state(&self, now: Timestamp) -> ApiTokenState {
        match (self.revoked_at, self.expires_at) {
            (Some(at), _) => ApiTokenState::Revoked { at },
            (None, Some(at)) if at <= now => ApiTokenState::Expired { at },
            (None, _) => ApiTokenState::Active,
        }
    }
}

/// Whether a token is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApiTokenState {
    /// It is.
    Active,
    /// Its time is over.
    Expired {
        /// Since when.
        at: Timestamp,
    },
    /// An operator took it back, be it before or after its time was over.
    Revoked {
        /// When.
        at: Timestamp,
    },
}

impl ApiTokenState {
    /// The state's name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired { .. } => "expired",
            Self::Revoked { .. } => "revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings_webpush::SystemRandomness;

    use super::*;

    #[test]
    fn a_secret_has_its_form_and_is_another_each_time() {
        let secret = ApiTokenSecret::generate(&SystemRandomness);
        let text = secret.expose();
        assert_eq!((text.len(), text.get(..4)), (47, Some("tdg_")));
        let read = ApiTokenSecret::parse(text).unwrap();
        assert_eq!(read.hash().as_bytes(), secret.hash().as_bytes());
        let other = ApiTokenSecret::generate(&SystemRandomness);
        assert_ne!(other.expose(), text);
        assert_ne!(other.hash().as_bytes(), secret.hash().as_bytes());
        assert_eq!(format!("{secret:?}"), "ApiTokenSecret");
        assert_eq!(format!("{:?}", secret.hash()), "ApiTokenHash");
    }

    #[test]
    fn the_hash_is_sha_256_of_the_text() {
        let secret = ApiTokenSecret::parse(&format!("tdg_{}", "A".repeat(43))).unwrap();
        // printf 'tdg_AAA…' | sha256sum
        assert_eq!(
            secret
                .hash()
                .as_bytes()
                .map(|b| format!("{b:02x}"))
                .concat(),
            "e9e43d5350cedb4ea6068f201b67922f7a02ab7c838bd1701563d541d22f55b7"
        );
    }

    #[test]
    fn what_is_no_secret_is_not_looked_up() {
        let whole = format!("tdg_{}", "a".repeat(43));
        assert!(ApiTokenSecret::parse(&whole).is_some());
        for bad in [
            "",
            "tdg_",
            &"a".repeat(47),
            &format!("{whole}a"),
            &format!("tdg_{}", "a".repeat(42)),
            &format!("tdg_{}=", "a".repeat(42)),
            &format!("TDG_{}", "a".repeat(43)),
            &format!(" {whole}"),
        ] {
            assert!(ApiTokenSecret::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for bits in 1..128_u8 {
            let scopes = Scopes(bits);
            assert_eq!(Scopes::parse(&scopes.to_string()), Some(scopes));
            assert_eq!(Scopes::new(scopes.iter()), Some(scopes));
        }
        assert_eq!(Scopes::new([]), None);
        for bad in [
            "",
            " ",
            "admin ",
            "Admin",
            "messages",
            "admin,messages:send",
        ] {
            assert_eq!(Scopes::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_admin_allows_what_it_does_not_name() {
        for has in Scope::ALL {
            for needed in Scope::ALL {
                let expected = has == needed || has == Scope::Admin;
                let scopes = Scopes::new([has]).unwrap();
                assert_eq!(scopes.allow(needed), expected, "{has:?} for {needed:?}");
            }
        }
    }

    #[test]
    fn a_name_can_be_read_by_people() {
        let long = "é".repeat(100);
        for good in ["CI", "shop's back end", &long] {
            assert!(ApiTokenName::parse(good).is_some(), "{good}");
        }
        for bad in ["", " ", "a\nb", "\u{1b}[31m", &"a".repeat(101)] {
            assert!(ApiTokenName::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_token_ends_at_its_instant_and_a_revoked_one_says_so() {
        let record = |expires_at, revoked_at: Option<i64>| ApiTokenRecord {
            id: ApiTokenId::from_bytes([1; 16]),
            application: ApplicationId::DEFAULT,
            name: ApiTokenName::parse("CI").unwrap(),
            scopes: Scopes::new([Scope::Admin]).unwrap(),
            created_at: Timestamp::from_millis(0),
            expires_at: Option::map(expires_at, Timestamp::from_millis),
            last_used_at: None,
            revoked_at: revoked_at.map(Timestamp::from_millis),
        };
        let state = |expires, revoked| {
            let state = record(expires, revoked).state(Timestamp::from_millis(10));
            state.as_str()
        };
        assert_eq!(state(None, None), "active");
        assert_eq!(state(Some(11), None), "active");
        assert_eq!(state(Some(10), None), "expired");
        assert_eq!(state(Some(5), Some(7)), "revoked");
        assert_eq!(state(None, Some(10)), "revoked");
    }
}
