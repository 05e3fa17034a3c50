//! User tokens: what an application's back end signs so that its page can prove who uses it.
//!
//! A JWT (RFC 7519) in compact form. The keys say which algorithm a token has, never its header,
//! so a token that names `none`, or HS256 with a public key's text as secret, fits no key.

mod claims;
mod key_file;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny};
use zeroize::Zeroizing;

use crate::application::ApplicationName;
use crate::clock::Timestamp;
use crate::subscription::UserId;
use crate::user_token::claims::Claims;
pub use crate::user_token::key_file::UserTokenKeyError;

/// The longest token that is looked at, in octets.
pub const MAX_USER_TOKEN_BYTES: usize = 4096;

/// The fewest octets of a shared secret: as many as HMAC-SHA-256 gives out (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;

/// How many keys an application may have: a token without `kid` is tried with each that fits.
const MAX_KEYS: usize = 16;

/// Names of algorithms that an error may repeat: a header says anything.
const KNOWN_ALGORITHMS: [&str; 15] = [
    "none", "HS256", "HS384", "HS512", "ES256", "ES384", "ES512", "ES256K", "RS256", "RS384",
    "RS512", "PS256", "EdDSA", "Ed25519", "Ed448",
];

/// A token as it came, not checked yet. Whoever has it may be its user until it expires.
pub struct UserToken(Zeroizing<String>);

impl UserToken {
    /// Takes at most [`MAX_USER_TOKEN_BYTES`].
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() <= MAX_USER_TOKEN_BYTES).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The token's text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserToken")
    }
}

/// A key that user tokens are checked with.
#[derive(Clone)]
pub struct UserTokenKey {
    algorithm: Algorithm,
    kid: Option<String>,
    key: DecodingKey,
}

impl UserTokenKey {
    /// A secret shared with the back end, for HS256: the octets of `text` in UTF-8, as they are.
    ///
    /// Spec: RFC 7518 §3.2.
    pub fn from_secret(text: &str) -> Result<Self, UserTokenKeyError> {
        if text.contains("-----BEGIN") {
            return Err(UserTokenKeyError::SecretIsKeyFile);
        }
        if text.len() < MIN_SECRET_BYTES {
            return Err(UserTokenKeyError::SecretTooShort { got: text.len() });
        }
        Ok(Self {
            algorithm: Algorithm::HS256,
            kid: None,
            key: DecodingKey::from_secret(text.as_bytes()),
        })
    }

    /// The public keys in a file: PEM, a JWK or a JWK set; P-256 for ES256, Ed25519 for
    /// `EdDSA`.
    ///
    /// Spec: RFC 7468 §13, RFC 7517, RFC 8037.
    pub fn from_key_file(file: &[u8]) -> Result<Vec<Self>, UserTokenKeyError> {
        key_file::read(file)
    }

    /// Takes `SubjectPublicKeyInfo` in DER, or the bare key (65 or 32 octets).
    fn from_public_key(octets: &[u8], kid: Option<String>) -> Option<Self> {
        let (algorithm, key) = if ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, octets).is_ok() {
            (Algorithm::ES256, DecodingKey::from_ec_der(octets))
        } else if ParsedPublicKey::new(&ED25519, octets).is_ok() {
            (Algorithm::EdDSA, DecodingKey::from_ed_der(octets))
        } else {
            return None;
        };
        Some(Self {
            algorithm,
            kid,
            key,
        })
    }

    /// Whether a token with this header may be signed with it. A key without a name of its own
    /// fits every `kid`.
    fn fits(&self, header: &Header) -> bool {
        let named = match (&self.kid, &header.kid) {
            (Some(own), Some(asked)) => own == asked,
            (None, _) | (_, None) => true,
        };
        named && header.alg == name(self.algorithm)
    }

    /// Whether the signature was made with it. Constant time where the key is a secret.
    fn signed(&self, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, self.algorithm)
            .unwrap_or_default()
    }
}

impl fmt::Debug for UserTokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserTokenKey({})", name(self.algorithm))
    }
}

/// The keys that an application's user tokens are checked with. Several public keys at once let
/// a back end change to a new one.
#[derive(Clone, Debug, Default)]
pub struct UserTokenKeys(Vec<UserTokenKey>);

impl UserTokenKeys {
    /// At most 16 of them.
    pub fn new(keys: impl IntoIterator<Item = UserTokenKey>) -> Result<Self, UserTokenKeyError> {
        let keys: Vec<_> = keys.into_iter().collect();
        if keys.len() > MAX_KEYS {
            return Err(UserTokenKeyError::TooMany { got: keys.len() });
        }
        Ok(Self(keys))
    }

    /// Whether there are none, so that no token can be checked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whom the application's back end says the bearer of `token` is.
    ///
    /// Spec: RFC 7519 §7.2, RFC 8725.
    pub fn verify(
        &self,
        token: &UserToken,
        application: &ApplicationName,
        now: Timestamp,
    ) -> Result<UserId, UserTokenError> {
        let Parts {
            header,
            message,
            claims,
            signature,
        } = Parts::of(token.expose())?;
        if !self.0.iter().any(|key| name(key.algorithm) == header.alg) {
            return Err(self.other_algorithm(&header));
        }
        let mut fitting = self.0.iter().filter(|key| key.fits(&header)).peekable();
        if fitting.peek().is_none() {
            return Err(UserTokenError::UnknownKey);
        }
        // Nothing of the claims is read before the signature is known to be good. The library's
        // own `decode` would judge them by the ambient clock.
        if !fitting.any(|key| key.signed(message, signature)) {
            return Err(UserTokenError::Signature);
        }
        let claims: Claims = read_object(claims).ok_or(UserTokenError::Claims)?;
        claims.check(&audience(application), now)
    }

    fn other_algorithm(&self, header: &Header) -> UserTokenError {
        let said = KNOWN_ALGORITHMS
            .into_iter()
            .find(|name| *name == header.alg);
        let mut taken: Vec<_> = self.0.iter().map(|key| name(key.algorithm)).collect();
        taken.sort_unstable();
        taken.dedup();
        UserTokenError::Algorithm {
            said: said.unwrap_or("something unknown"),
            taken: taken.join(" or "),
        }
    }
}

/// What `aud` names: a token for one application is none for another.
fn audience(application: &ApplicationName) -> String {
    format!("tidings:{application}")
}

/// The name of an algorithm in a header.
const fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        // No other key can be made.
        _ => "HS256",
    }
}

/// A token in compact form (RFC 7515 §7.1).
struct Parts<'a> {
    header: Header,
    /// What is signed: header and claims with their dot.
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, UserTokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(UserTokenError::Form)?;
        let (header, claims) = message.split_once('.').ok_or(UserTokenError::Form)?;
        if ![header, claims, signature].into_iter().all(is_base64url) {
            return Err(UserTokenError::Form);
        }
        let header: Header = read_object(header).ok_or(UserTokenError::Header)?;
        if header.crit.is_some() {
            return Err(UserTokenError::Critical);
        }
        Ok(Self {
            header,
            message,
            claims,
            signature,
        })
    }
}

/// What of a JOSE header matters (RFC 7515 §4.1).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<()>,
}

/// A member that is there, even as `null`.
fn present<'de, D: Deserializer<'de>>(member: D) -> Result<Option<()>, D::Error> {
    IgnoredAny::deserialize(member).map(|_| Some(()))
}

fn is_base64url(part: &str) -> bool {
    part.bytes()
        .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
}

/// Reads a part that is a JSON object in UTF-8. What serde derives also takes lists, and whatever
/// octets are in the members that it skips.
fn read_object<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    let is_object = json.trim_ascii_start().starts_with('{');
    is_object
        .then(|| serde_json::from_str(&json).ok())
        .flatten()
}

/// Why a user token was refused, and what its maker must change. No message repeats the token.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserTokenError {
    /// It is not three parts of base64url.
    #[error(
        "it is not a JWT in compact form: header, claims and signature in base64url without \
         padding, with dots between them"
    )]
    Form,
    /// Its first part cannot be read.
    #[error("its header is not a JSON object with `alg` as a text, or a member is there twice")]
    Header,
    /// Its header wants something that nobody here knows (RFC 7515 §4.1.11).
    #[error("its header has `crit`, and no extension is known here: leave that out")]
    Critical,
    /// The application has no key of that kind.
    #[error("its header says `alg` = {said}, and the application's keys take {taken}")]
    Algorithm {
        /// What the header says.
        said: &'static str,
        /// What would be right.
        taken: String,
    },
    /// It names a key that the application does not have.
    #[error(
        "its header names a key (`kid`) that this application does not have: add its public half to \
         `user_token_keys`, or sign with a key that is there"
    )]
    UnknownKey,
    /// No key made its signature.
    #[error(
        "it is not signed with a key of this application: compare `user_token_secret` and \
         `user_token_keys` with what the back end signs with"
    )]
    Signature,
    /// Its claims cannot be read.
    #[error("its claims are not a JSON object, or a claim is there twice")]
    Claims,
    /// A claim is missing or has a wrong type.
    #[error("its claim `{name}` {what}")]
    Claim {
        /// The claim.
        name: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It is for somebody else.
    #[error("it is not made for this application: its `aud` must be, or contain, `{wanted}`")]
    Audience {
        /// What would be right.
        wanted: String,
    },
    /// It was good once.
    #[error(
        "it expired {seconds} s ago: make a new one when the page asks for it, and see that the \
         back end's clock is right"
    )]
    Expired {
        /// How long ago.
        seconds: u64,
    },
    /// It would be good for too long.
    #[error(
        "its `exp` is {seconds} s ahead, and may be 3600 s (one hour) ahead at most: minutes are \
         enough"
    )]
    TooLong {
        /// How far ahead.
        seconds: u64,
    },
    /// It is not good yet.
    #[error("its `{name}` is {seconds} s ahead: see that the back end's clock is right")]
    NotYet {
        /// `nbf` or `iat`.
        name: &'static str,
        /// How far ahead.
        seconds: u64,
    },
}
