use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::error::Unspecified;
use http::HeaderValue;
use serde::Serialize;
use thiserror::Error;

use crate::{Contact, VapidKey, VapidPublicKey, base64url};

/// `{"typ":"JWT","alg":"ES256"}` in base64url: the header of every token (RFC 8292 §2).
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9";

const LEGACY_SCHEME: &str = "WebPush ";

/// A signed VAPID token.
///
/// A secret: until it expires, whoever has it can send to every subscription of that key and push
/// service whose push resource he knows (RFC 8292 §5).
#[derive(Clone)]
pub struct VapidToken {
    authorization: HeaderValue,
    legacy_authorization: HeaderValue,
    expires_at: SystemTime,
}

impl VapidToken {
    /// The token's text, a JWT, to be kept where secrets are.
    pub fn expose(&self) -> &str {
        let header = self.legacy_authorization.to_str().unwrap_or_default();
        header.strip_prefix(LEGACY_SCHEME).unwrap_or_default()
    }

    /// The token with the text that [`expose`](Self::expose) gave. The text is not checked:
    /// [`TokenCache::restore`](crate::TokenCache::restore) does that.
    pub fn from_exposed(jwt: &str, key: &VapidPublicKey, expires_at: SystemTime) -> Option<Self> {
        Self::new(jwt, key, expires_at).ok()
    }

    fn new(jwt: &str, key: &VapidPublicKey, expires_at: SystemTime) -> Result<Self, VapidError> {
        let public_key = key.to_base64url();
        Ok(Self {
            authorization: sensitive(format!("vapid t={jwt}, k={public_key}"))?,
            legacy_authorization: sensitive(format!("{LEGACY_SCHEME}{jwt}"))?,
            expires_at,
        })
    }

    /// When the token expires, to the second.
    ///
    /// Spec: RFC 8292 §2.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// The `Authorization` header: `vapid t=…, k=…`, marked as sensitive. Cheap to call.
    ///
    /// Spec: RFC 8292 §3.
    pub fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    /// The `Authorization` header of the draft before the RFC, `WebPush …`, marked as sensitive.
    /// Cheap to call.
    ///
    /// It does not carry the public key:
    /// [`EncryptedPayload::with_vapid_key`](crate::EncryptedPayload::with_vapid_key) does. Needed
    /// only beside `aesgcm`, for push services that never learnt the scheme `vapid`.
    ///
    /// Spec: draft-ietf-webpush-vapid-01 §3 and §4.
    pub fn legacy_authorization(&self) -> HeaderValue {
        self.legacy_authorization.clone()
    }
}

impl fmt::Debug for VapidToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("VapidToken")
    }
}

/// Claims in the order of the example in RFC 8292 §2.4.
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
}

pub(crate) fn sign(
    key: &VapidKey,
    audience_origin: &str,
    contact: Option<&Contact>,
    expires_at: SystemTime,
) -> Result<VapidToken, VapidError> {
    let exp = expires_at
        .duration_since(UNIX_EPOCH)
        .map_err(|_| VapidError::Expiry)?
        .as_secs();
    let claims = Claims {
        aud: audience_origin,
        exp,
        sub: contact.map(Contact::as_str),
    };
    // Strings and one number: this cannot fail, but the error is at hand.
    let claims = serde_json::to_vec(&claims).map_err(|_| VapidError::Sign)?;

    let mut jwt = format!("{HEADER}.");
    base64url::encode_into(&claims, &mut jwt);
    let signature = key
        .sign_octets(jwt.as_bytes())
        .map_err(|Unspecified| VapidError::Sign)?;
    jwt.push('.');
    base64url::encode_into(signature.as_ref(), &mut jwt);

    let expires_at = UNIX_EPOCH + Duration::from_secs(exp);
    VapidToken::new(&jwt, key.public_key(), expires_at)
}

fn sensitive(text: String) -> Result<HeaderValue, VapidError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| VapidError::Sign)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Why no VAPID key or token was made.
///
/// Spec: RFC 8292 §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VapidError {
    /// No key pair could be made.
    #[error("no key pair could be generated; this is a fault of the system")]
    Generate,
    /// The expiry lies before 1970, or beyond what the system's clock can express.
    #[error("the token's expiry is out of range: set the system's clock")]
    Expiry,
    /// The signature could not be made.
    #[error("the token could not be signed; this is a fault of the system")]
    Sign,
}
