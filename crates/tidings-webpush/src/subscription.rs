use std::fmt;
use std::hash::{Hash, Hasher};

use aws_lc_rs::agreement::ParsedPublicKey;
use aws_lc_rs::constant_time;
use serde_json::{Map, Value};
use thiserror::Error;
use zeroize::Zeroize;

use crate::public_key;
use crate::{PublicKeyError, PushResource, PushResourceError, base64url};

/// What a user agent hands over so that it can be sent push messages.
///
/// It is a capability: whoever holds all three parts can send (RFC 8030 §8.3).
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Where push messages go.
    pub push_resource: PushResource,
    /// The user agent's public key.
    pub p256dh: UserAgentPublicKey,
    /// The secret shared with the user agent.
    pub auth: AuthSecret,
}

impl Subscription {
    /// Reads what `PushSubscription.toJSON()` gives in the browser.
    ///
    /// Members that are not known are ignored, `expirationTime` among them: no browser sets it.
    ///
    /// Spec: Push API, `PushSubscription.toJSON()`.
    pub fn from_json(json: &[u8]) -> Result<Self, SubscriptionError> {
        let value: Value =
            serde_json::from_slice(json).map_err(|source| SubscriptionError::Json {
                detail: source.to_string(),
            })?;
        let subscription = value
            .as_object()
            .ok_or(SubscriptionError::NotAnObject { member: "" })?;
        let keys = member(subscription, "keys", "keys")?
            .as_object()
            .ok_or(SubscriptionError::NotAnObject { member: "keys" })?;
        Ok(Self {
            push_resource: PushResource::parse(text(subscription, "endpoint", "endpoint")?)
                .map_err(SubscriptionError::PushResource)?,
            p256dh: UserAgentPublicKey::parse(text(keys, "p256dh", "keys.p256dh")?)
                .map_err(SubscriptionError::PublicKey)?,
            auth: AuthSecret::parse(text(keys, "auth", "keys.auth")?)
                .map_err(SubscriptionError::AuthSecret)?,
        })
    }
}

fn member<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    path: &'static str,
) -> Result<&'a Value, SubscriptionError> {
    object
        .get(name)
        .ok_or(SubscriptionError::Missing { member: path })
}

fn text<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    path: &'static str,
) -> Result<&'a str, SubscriptionError> {
    member(object, name, path)?
        .as_str()
        .ok_or(SubscriptionError::NotAString { member: path })
}

/// The user agent's P-256 public key, `keys.p256dh`: a point that was checked.
///
/// Spec: RFC 8291 §2.1 and §7.
#[derive(Clone)]
pub struct UserAgentPublicKey {
    octets: [u8; 65],
    // Kept so that neither loading and sending nor sending twice parses the point again.
    point: ParsedPublicKey,
}

impl UserAgentPublicKey {
    /// Reads base64url; standard base64 and padding are tolerated.
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        let (point, octets) = public_key::parse(text)?;
        Ok(Self { octets, point })
    }

    /// Checks the uncompressed point `0x04 || X || Y`, 65 octets.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        let (point, octets) = public_key::check(bytes)?;
        Ok(Self { octets, point })
    }

    /// The uncompressed point.
    pub fn as_bytes(&self) -> &[u8; 65] {
        &self.octets
    }

    /// The point as a browser writes it: base64url without padding, 87 characters.
    pub fn to_base64url(&self) -> String {
        base64url::encode(&self.octets)
    }

    pub(crate) fn point(&self) -> ParsedPublicKey {
        self.point.clone()
    }
}

impl fmt::Debug for UserAgentPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Public, but it names one person's browser, and logs need not.
        formatter.write_str("UserAgentPublicKey")
    }
}

impl PartialEq for UserAgentPublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for UserAgentPublicKey {}

impl Hash for UserAgentPublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.octets.hash(state);
    }
}

/// The authentication secret of a subscription, `keys.auth`: 16 octets.
///
/// Spec: RFC 8291 §3.2.
#[derive(Clone)]
pub struct AuthSecret([u8; 16]);

impl AuthSecret {
    /// Reads base64url; standard base64 and padding are tolerated.
    pub fn parse(text: &str) -> Result<Self, AuthSecretError> {
        let mut octets = base64url::decode_lenient(text).ok_or(AuthSecretError::Base64)?;
        let secret = Self::from_bytes(&octets);
        octets.zeroize();
        secret
    }

    /// Takes exactly 16 octets.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AuthSecretError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| AuthSecretError::Length { got: bytes.len() })
    }

    /// The secret octets.
    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    /// Compares in constant time.
    pub fn ct_eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl From<[u8; 16]> for AuthSecret {
    fn from(octets: [u8; 16]) -> Self {
        Self(octets)
    }
}

impl Drop for AuthSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for AuthSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AuthSecret")
    }
}

/// Why an authentication secret was refused.
///
/// Spec: RFC 8291 §3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthSecretError {
    /// The text is not base64url (nor standard base64).
    #[error("not base64url: send the secret as the browser's toJSON() writes it")]
    Base64,
    /// The secret does not have 16 octets.
    #[error("{got} octets instead of 16: send the secret as the browser's toJSON() writes it")]
    Length {
        /// Octets found.
        got: usize,
    },
}

/// Why a subscription was refused. Each message begins with the member at fault.
///
/// Spec: Push API, `PushSubscription.toJSON()`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// The text is not JSON.
    #[error("not JSON: {detail}")]
    Json {
        /// What the JSON parser says.
        detail: String,
    },
    /// A value that must be an object is something else; an empty name means the whole text.
    #[error("{}: must be a JSON object, as toJSON() writes it", name(member))]
    NotAnObject {
        /// Path of the member.
        member: &'static str,
    },
    /// A required member is missing.
    #[error("{member}: is missing; send the whole result of toJSON()")]
    Missing {
        /// Path of the member.
        member: &'static str,
    },
    /// A member that must be a string is something else.
    #[error("{member}: must be a string")]
    NotAString {
        /// Path of the member.
        member: &'static str,
    },
    /// The push resource was refused.
    #[error("endpoint: {0}")]
    PushResource(#[source] PushResourceError),
    /// The public key was refused.
    #[error("keys.p256dh: {0}")]
    PublicKey(#[source] PublicKeyError),
    /// The authentication secret was refused.
    #[error("keys.auth: {0}")]
    AuthSecret(#[source] AuthSecretError),
}

impl SubscriptionError {
    /// Path of the member at fault, such as `keys.auth`; empty for the whole text.
    pub fn member(&self) -> &'static str {
        match self {
            Self::Json { .. } => "",
            Self::NotAnObject { member }
            | Self::Missing { member }
            | Self::NotAString { member } => member,
            Self::PushResource(_) => "endpoint",
            Self::PublicKey(_) => "keys.p256dh",
            Self::AuthSecret(_) => "keys.auth",
        }
    }
}

fn name(member: &str) -> &str {
    if member.is_empty() {
        "subscription"
    } else {
        member
    }
}
