//! The Web Push protocol, without input and output.
//!
//! What this crate refuses to do:
//!
//! - **Send.** It has no sockets, no HTTP client, no async. Bytes and [`http`] types go in, the
//!   same come out.
//! - **Read the clock.** Every instant is an argument.
//! - **Choose salts in secret.** [`Randomness`] is passed in; the key agreement has a source of
//!   its own, [`KeyAgreementSource`].
//! - **Write cryptographic primitives.** All of them are aws-lc's, by way of `aws-lc-rs`.
//! - **Show secrets.** `Debug` prints type names, there is no `Display` and no `Serialize`; what
//!   leaves does so through `expose()`.
//! - **Weaken a guarantee quietly.** What makes messages reproducible is in [`danger`].
//!
//! What it does is three verbs. **Encrypt**: [`Subscription::encrypt`] turns a plaintext into a
//! body and its headers, by [`encrypt`] or, for old browsers, [`aesgcm::encrypt`].
//! **Authorize**: [`VapidKey::sign`] and [`TokenCache`] make the `Authorization` header.
//! **Interpret**: [`interpret`] says what a response means. [`PushMessage`] puts the request
//! together in between. The inverses, [`decrypt`], [`aesgcm::decrypt`] and [`verify::request`], are
//! there for sandboxes and tests.
//!
//! Endpoints come from strangers: [`Admission`] says which of them may be used, and which
//! addresses may be connected to.
//!
//! # Example
//!
//! ```
//! use std::time::{Duration, UNIX_EPOCH};
//! use tidings_webpush::{
//!     Contact, ContentEncoding, FreshKeyPair, Padding, PushMessage, Subscription,
//!     SystemRandomness, TokenCache, Ttl, Urgency, VapidKey,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let subscription = Subscription::from_json(br#"{
//!     "endpoint": "https://fcm.googleapis.com/fcm/send/example",
//!     "keys": {
//!         "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
//!         "auth": "BTBZMqHH6r4Tts7J_aSIgg"
//!     }
//! }"#)?;
//! let payload = subscription.encrypt(
//!     ContentEncoding::Aes128gcm,
//!     b"Your parcel is here",
//!     Padding::default(),
//!     &FreshKeyPair,
//!     &SystemRandomness,
//! )?;
//!
//! let key = VapidKey::generate()?;
//! let tokens = TokenCache::new(Some(Contact::parse("mailto:push@example.org")?));
//! let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
//! let request = PushMessage {
//!     resource: &subscription.push_resource,
//!     payload: Some(payload),
//!     ttl: Ttl::from_secs(3600)?,
//!     urgency: Urgency::Normal,
//!     topic: None,
//!     authorization: tokens.authorization(&key, &subscription.push_resource, now)?,
//! }
//! .into_request()?;
//! assert_eq!(request.headers()["content-encoding"], "aes128gcm");
//! # Ok(())
//! # }
//! ```
//!
//! Spec: RFC 8030, RFC 8188, RFC 8291, RFC 8292.

mod admission;
mod aes128gcm;
pub mod aesgcm;
mod answer;
mod base64url;
mod content_encoding;
pub mod danger;
mod encrypted_payload;
mod header_parameters;
mod key_agreement;
mod key_derivation;
mod options;
mod padding;
mod public_key;
mod push_resource;
mod push_service;
mod randomness;
mod request;
mod retry_after;
mod subscription;
mod user_agent_keys;
mod vapid;

pub use admission::host_pattern::{HostPattern, HostPatternError};
pub use admission::{Admission, AdmissionError};
pub use aes128gcm::decrypt::{DecryptError, DecryptStage, decrypt};
pub use aes128gcm::encrypt::{EncryptError, encrypt};
pub use aes128gcm::{MAX_BODY_BYTES, MAX_PLAINTEXT_BYTES};
pub use answer::reason::reason;
pub use answer::{Answer, interpret};
pub use content_encoding::{ContentEncoding, ContentEncodingError};
pub use encrypted_payload::EncryptedPayload;
pub use key_agreement::{FreshKeyPair, KeyAgreement, KeyAgreementSource, PrivateKeyError};
pub use options::topic::{Topic, TopicError};
pub use options::ttl::{Ttl, TtlError};
pub use options::urgency::{Urgency, UrgencyError};
pub use padding::Padding;
pub use public_key::PublicKeyError;
pub use push_resource::{PushResource, PushResourceError};
pub use push_service::PushService;
pub use randomness::{Randomness, SystemRandomness};
pub use request::PushMessage;
pub use retry_after::parse_retry_after;
pub use subscription::{
    AuthSecret, AuthSecretError, Subscription, SubscriptionError, UserAgentPublicKey,
};
pub use user_agent_keys::UserAgentKeys;
pub use vapid::cache::{Authorized, TokenCache};
pub use vapid::contact::{Contact, ContactError};
pub use vapid::key::VapidKey;
pub use vapid::key_file::KeyFileError;
pub use vapid::public_key::VapidPublicKey;
pub use vapid::token::{VapidError, VapidToken};
pub use vapid::verify;
