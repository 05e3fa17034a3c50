//! The push service's side of VAPID, for sandboxes and tests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::header_parameters::{elements, joined};
use crate::{PublicKeyError, VapidPublicKey, base64url};

const CRYPTO_KEY: HeaderName = HeaderName::from_static("crypto-key");

/// What the draft called the scheme, and what its first readers did.
const LEGACY_SCHEMES: [&str; 2] = ["WebPush", "Bearer"];

/// Tokens may expire at most this long after the request (RFC 8292 §2).
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// What a valid `Authorization` header says.
///
/// Spec: RFC 8292 §2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The key that signed: the identity of the application server.
    pub public_key: VapidPublicKey,
    /// When the token expires.
    pub expires_at: SystemTime,
    /// Where the application server's operator can be reached, unchecked.
    pub subject: Option<String>,
}

/// Checks how a push message identifies its sender, in every form in use: the scheme `vapid`, and
/// beside `aesgcm` the draft's `WebPush` (also called `Bearer`) with the key in `Crypto-Key`.
///
/// `audience_origin` is the push service's own origin. Restricting a subscription to one key
/// (RFC 8292 §4) is the caller's part: compare [`Verified::public_key`].
///
/// # Errors
///
/// If a push service would refuse the request; the error says what the sender must change.
///
/// # Example
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
///
/// use http::{HeaderMap, header::AUTHORIZATION};
/// use tidings_webpush::{VapidKey, verify};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
/// let key = VapidKey::generate()?;
/// let token = key.sign("https://push.example.net", None, now + Duration::from_hours(12))?;
///
/// let headers = HeaderMap::from_iter([(AUTHORIZATION, token.authorization())]);
/// let verified = verify::request(&headers, "https://push.example.net", now)?;
/// assert_eq!(verified.public_key, *key.public_key());
///
/// // The token is good for one push service, and for no other.
/// assert!(verify::request(&headers, "https://other.example.net", now).is_err());
/// # Ok(())
/// # }
/// ```
///
/// Spec: RFC 8292 §2 and §3, draft-ietf-webpush-vapid-01 §3 and §4.
pub fn request(
    headers: &HeaderMap,
    audience_origin: &str,
    now: SystemTime,
) -> Result<Verified, VerifyError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let header = values.next().ok_or(VerifyError::Missing)?;
    if values.next().is_some() {
        return Err(VerifyError::Repeated);
    }
    let (scheme, token) = credentials(header)?;
    if !LEGACY_SCHEMES
        .iter()
        .any(|legacy| scheme.eq_ignore_ascii_case(legacy))
    {
        return authorization(header, audience_origin, now);
    }
    let crypto_key = joined(headers, CRYPTO_KEY).ok_or(VerifyError::CryptoKey)?;
    let elements = elements(&crypto_key).ok_or(VerifyError::CryptoKey)?;
    let key = elements
        .iter()
        .find_map(|element| element.value("p256ecdsa"))
        .ok_or(VerifyError::CryptoKey)?;
    check(token, key, audience_origin, now)
}

/// Checks an `Authorization` header of the scheme `vapid`, as a push service does.
///
/// [`request`] also takes the older schemes.
///
/// Spec: RFC 8292 §2 and §3.
pub fn authorization(
    header: &HeaderValue,
    audience_origin: &str,
    now: SystemTime,
) -> Result<Verified, VerifyError> {
    let (token, key) = parameters(header)?;
    check(token, key, audience_origin, now)
}

fn check(
    token: &str,
    key: &str,
    audience_origin: &str,
    now: SystemTime,
) -> Result<Verified, VerifyError> {
    let public_key = VapidPublicKey::parse(key).map_err(VerifyError::PublicKey)?;
    let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::TokenForm)?;
    let (header, claims) = signed.split_once('.').ok_or(VerifyError::TokenForm)?;

    let header: JoseHeader = json(header)?;
    if header.alg != "ES256" {
        return Err(VerifyError::Algorithm);
    }
    if header.crit.is_some() {
        return Err(VerifyError::CriticalExtension);
    }
    let signature = base64url::decode_strict(signature).ok_or(VerifyError::TokenForm)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key.as_bytes())
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| VerifyError::Signature)?;

    let claims: Claims = json(claims)?;
    let expires_at = check_expiry(&claims.exp, now)?;
    match claims.aud {
        Value::String(audience) if audience == audience_origin => {}
        Value::String(audience) => {
            return Err(VerifyError::Audience {
                expected: audience_origin.to_owned(),
                got: audience,
            });
        }
        _ => return Err(VerifyError::AudienceType),
    }
    Ok(Verified {
        public_key,
        expires_at,
        subject: claims.sub,
    })
}

#[derive(Deserialize)]
struct JoseHeader {
    alg: String,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    exp: Value,
    sub: Option<String>,
}

/// Scheme, and what follows it (RFC 9110 §11.4).
fn credentials(header: &HeaderValue) -> Result<(&str, &str), VerifyError> {
    let text = header.to_str().map_err(|_| VerifyError::Scheme)?.trim();
    if text.is_empty() {
        return Err(VerifyError::Missing);
    }
    let (scheme, rest) = text.split_once(' ').ok_or(VerifyError::Scheme)?;
    Ok((scheme, rest.trim_start()))
}

/// The parameters `t` and `k`, in any order, among others that are ignored.
fn parameters(header: &HeaderValue) -> Result<(&str, &str), VerifyError> {
    let (scheme, rest) = credentials(header)?;
    if !scheme.eq_ignore_ascii_case("vapid") {
        return Err(VerifyError::Scheme);
    }
    let (mut token, mut key) = (None, None);
    for parameter in rest.split(',') {
        let (name, value) = parameter.split_once('=').ok_or(VerifyError::Parameters)?;
        let slot = match name.trim() {
            "t" => &mut token,
            "k" => &mut key,
            _ => continue,
        };
        if slot.replace(value.trim()).is_some() {
            return Err(VerifyError::Parameters);
        }
    }
    token.zip(key).ok_or(VerifyError::Parameters)
}

/// Reads JSON in UTF-8. From octets, serde would take any in the members that it skips.
fn json<T: DeserializeOwned>(part: &str) -> Result<T, VerifyError> {
    let octets = base64url::decode_strict(part).ok_or(VerifyError::TokenForm)?;
    let text = str::from_utf8(&octets).map_err(|_| VerifyError::TokenForm)?;
    serde_json::from_str(text).map_err(|_| VerifyError::TokenForm)
}

/// Reads `exp`, seconds since 1970 as a JSON number, and compares it with the clock.
fn check_expiry(exp: &Value, now: SystemTime) -> Result<SystemTime, VerifyError> {
    let seconds = match exp {
        Value::Number(number) => number.as_f64().ok_or(VerifyError::ExpirationType)?,
        _ => return Err(VerifyError::ExpirationType),
    };
    let expires_at = Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|since_epoch| UNIX_EPOCH.checked_add(since_epoch))
        .ok_or(VerifyError::ExpirationType)?;
    match expires_at.duration_since(now) {
        Ok(left) if left.is_zero() => Err(VerifyError::Expired),
        Ok(left) if left > LONGEST_LIFE => Err(VerifyError::TooLong),
        Ok(_) => Ok(expires_at),
        Err(_) => Err(VerifyError::Expired),
    }
}

/// Why an `Authorization` header was refused.
///
/// Spec: RFC 8292 §2, §3 and §4.2.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no header, or it is empty.
    #[error("no VAPID token: send Authorization: vapid t=…, k=…")]
    Missing,
    /// More than one `Authorization` header.
    #[error("several Authorization headers: send one")]
    Repeated,
    /// The scheme is none that identifies an application server.
    #[error("the authorization scheme is not vapid: send Authorization: vapid t=…, k=…")]
    Scheme,
    /// `t` or `k` is missing or there twice.
    #[error("the parameters t and k must be there once each, separated by a comma")]
    Parameters,
    /// Beside a token of the scheme `WebPush` there is no key.
    #[error(
        "the scheme WebPush needs Crypto-Key: p256ecdsa=…; better, send Authorization: vapid t=…, k=…"
    )]
    CryptoKey,
    /// `k`, or `p256ecdsa` of `Crypto-Key`, is not a public key.
    #[error("the public key (k, or p256ecdsa of Crypto-Key): {0}")]
    PublicKey(#[source] PublicKeyError),
    /// The token is not three parts of base64url, the first two of them JSON objects.
    #[error("the token is not a JWT in compact form")]
    TokenForm,
    /// `alg` is not `ES256`.
    #[error("the token's alg is not ES256")]
    Algorithm,
    /// The token's header demands extensions by `crit` (RFC 7515 §4.1.11).
    #[error("the token's header has crit, and VAPID has no extensions: leave it out")]
    CriticalExtension,
    /// The signature does not fit.
    #[error(
        "the signature does not fit: sign with the private half of the public key sent, and write r and s as 64 octets, not as DER"
    )]
    Signature,
    /// `aud` names another push service.
    #[error("the token's aud is {got:?}, this push service is {expected:?}")]
    Audience {
        /// Origin of the push service.
        expected: String,
        /// What the token says.
        got: String,
    },
    /// `aud` is missing or not a string.
    #[error("the token's aud must be a string: the origin of the push resource")]
    AudienceType,
    /// `exp` is missing, not a number, or not a date.
    #[error("the token's exp must be a number: seconds since 1970")]
    ExpirationType,
    /// `exp` lies in the past.
    #[error("the token has expired: sign a new one, and check the clock")]
    Expired,
    /// `exp` lies more than 24 hours ahead.
    #[error("the token's exp is more than 24 hours ahead: shorten it, and check the clock")]
    TooLong,
}
