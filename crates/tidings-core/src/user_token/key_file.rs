//! Files with the public keys of user tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tidings_webpush::{KeyFileError, VapidKey};

use crate::user_token::{MAX_KEYS, MIN_SECRET_BYTES, UserTokenKey, name};

/// Why something is no key for user tokens, and what to do about it. No message repeats the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserTokenKeyError {
    /// A secret that could be guessed.
    #[error(
        "a user token secret has at least {MIN_SECRET_BYTES} octets and this one has {got}: make \
         one with openssl rand -base64 48"
    )]
    SecretTooShort {
        /// Octets found.
        got: usize,
    },
    /// A key file as secret; of a public key everybody has the text.
    #[error(
        "this is a key file, not a secret: name a file with the public key in `user_token_keys`"
    )]
    SecretIsKeyFile,
    /// A private key, which the back end alone should have.
    #[error(
        "this is a private key: it belongs to the back end that signs user tokens, and nowhere \
         else. Give its public half (openssl pkey -in private.pem -pubout)"
    )]
    PrivateKey,
    /// A certificate.
    #[error(
        "this is a certificate: give its public key (openssl x509 -in cert.pem -noout -pubkey)"
    )]
    Certificate,
    /// A shared secret in a JWK.
    #[error("this JWK is a shared secret (kty \"oct\"): set `user_token_secret` instead")]
    SharedSecret,
    /// A key of another kind.
    #[error(
        "this is not a public key on P-256 (for ES256) or of Ed25519 (for EdDSA); no others are \
         taken"
    )]
    Unsupported,
    /// A JWK of another kind.
    #[error(
        "this JWK is not a key on P-256 (for ES256) or of Ed25519 (for EdDSA); no others are taken"
    )]
    OtherKind,
    /// A JWK that is for something else.
    #[error(
        "this JWK is not for signatures with ES256 or EdDSA: its `use` or `alg` says otherwise"
    )]
    OtherUse,
    /// The armour is damaged.
    #[error("the PEM text is damaged: copy the file again")]
    Pem,
    /// JSON that is no JWK.
    #[error("the JSON is neither a JWK (with \"kty\") nor a JWK set (with \"keys\")")]
    Json,
    /// A set without a key: no token could be checked.
    #[error(
        "this JWK set has no key for ES256 or EdDSA: give one with the public key that tokens are \
         checked with"
    )]
    NoKeys,
    /// No form that is known.
    #[error("this is no file with public keys: give PEM (BEGIN PUBLIC KEY), a JWK or a JWK set")]
    Unrecognised,
    /// More than are tried for a token.
    #[error(
        "{got} keys are too many, at most {MAX_KEYS} are taken: remove those that nothing is \
         signed with any more"
    )]
    TooMany {
        /// Keys found.
        got: usize,
    },
}

/// Finds out what form `file` has, and reads the keys in it.
pub(super) fn read(file: &[u8]) -> Result<Vec<UserTokenKey>, UserTokenKeyError> {
    let text = str::from_utf8(file).map_err(|_| UserTokenKeyError::Unrecognised)?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        read_json(text)
    } else if text.contains("-----BEGIN") {
        read_pem(text)
    } else {
        Err(UserTokenKeyError::Unrecognised)
    }
}

fn read_pem(text: &str) -> Result<Vec<UserTokenKey>, UserTokenKeyError> {
    if holds_private_key(text) {
        return Err(UserTokenKeyError::PrivateKey);
    }
    let blocks = pem::parse_many(text).map_err(|_| UserTokenKeyError::Pem)?;
    if blocks.is_empty() {
        return Err(UserTokenKeyError::Pem);
    }
    let keys = blocks.iter().map(|block| match block.tag() {
        "CERTIFICATE" => Err(UserTokenKeyError::Certificate),
        _ => UserTokenKey::from_public_key(block.contents(), None)
            .ok_or(UserTokenKeyError::Unsupported),
    });
    keys.collect()
}

/// By label, and by structure: labels lie.
fn holds_private_key(pem: &str) -> bool {
    let by_structure = || {
        matches!(
            VapidKey::from_key_file(pem.as_bytes()),
            Ok(_)
                | Err(KeyFileError::Encrypted
                    | KeyFileError::SeveralKeys
                    | KeyFileError::Curve { .. }
                    | KeyFileError::NotEllipticCurve
                    | KeyFileError::Damaged)
        )
    };
    pem.contains("PRIVATE KEY-----") || by_structure()
}

/// A JWK set, or a JWK (RFC 7517 §4 and §5).
#[derive(Deserialize)]
struct JwkFile {
    keys: Option<Vec<Jwk>>,
    #[serde(flatten)]
    single: Jwk,
}

#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private half. Never kept.
    d: Option<IgnoredAny>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
}

fn read_json(text: &str) -> Result<Vec<UserTokenKey>, UserTokenKeyError> {
    let file: JwkFile = serde_json::from_str(text).map_err(|_| UserTokenKeyError::Json)?;
    let Some(set) = file.keys else {
        return read_jwk(file.single).map(|key| vec![key]);
    };
    // Sets hold keys for other things too, which are passed over (RFC 7517 §5).
    let is_for_others = |key: &Result<_, _>| {
        matches!(
            key,
            Err(UserTokenKeyError::OtherKind | UserTokenKeyError::OtherUse)
        )
    };
    let keys = set.into_iter().map(read_jwk);
    let keys: Vec<_> = keys.filter(|key| !is_for_others(key)).collect();
    if keys.is_empty() {
        return Err(UserTokenKeyError::NoKeys);
    }
    keys.into_iter().collect()
}

fn read_jwk(jwk: Jwk) -> Result<UserTokenKey, UserTokenKeyError> {
    let kty = jwk.kty.as_deref().ok_or(UserTokenKeyError::Json)?;
    if kty == "oct" {
        return Err(UserTokenKeyError::SharedSecret);
    }
    if jwk.d.is_some() {
        return Err(UserTokenKeyError::PrivateKey);
    }
    let key = match (kty, jwk.crv.as_deref()) {
        ("EC", Some("P-256")) => {
            let (x, y) = (coordinate(jwk.x)?, coordinate(jwk.y)?);
            UserTokenKey::from_public_key(&[&[0x04], &x[..], &y[..]].concat(), jwk.kid)
        }
        ("OKP", Some("Ed25519")) => UserTokenKey::from_public_key(&coordinate(jwk.x)?, jwk.kid),
        _ => return Err(UserTokenKeyError::OtherKind),
    };
    let key = key.ok_or(UserTokenKeyError::Unsupported)?;
    let is_for_this = jwk.usage.is_none_or(|usage| usage == "sig")
        && jwk.alg.is_none_or(|alg| alg == name(key.algorithm));
    is_for_this
        .then_some(key)
        .ok_or(UserTokenKeyError::OtherUse)
}

fn coordinate(text: Option<String>) -> Result<[u8; 32], UserTokenKeyError> {
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .and_then(|octets| octets.try_into().ok())
        .ok_or(UserTokenKeyError::Unsupported)
}
