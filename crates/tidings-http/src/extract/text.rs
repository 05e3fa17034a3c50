//! Members whose text becomes a domain type while the JSON is read, so that whatever is wrong
//! with it is told with its place.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use tidings_core::api_token::{ApiTokenName, Scope};
use tidings_core::application::ApplicationName;
use tidings_core::clock::Timestamp;
use tidings_core::id::{MessageId, SubscriptionId, VapidKeyId};
use tidings_core::receipt::{MAX_ACTION_BYTES, ReceiptEvent};
use tidings_core::subscription::UserId;
use tidings_core::user_token::UserToken;
use tidings_core::vapid_key::VapidKeyName;
use tidings_webpush::{
    AuthSecret, ContentEncoding, PushResource, PushService, Topic, Urgency, UserAgentPublicKey,
};

/// A domain type that JSON writes as text.
pub(crate) trait FromText: Sized {
    /// What the text is, for whoever sent something else.
    const EXPECTED: &'static str;

    /// Reads the text, or says what is wrong with it and what would be right.
    fn from_text(text: &str) -> Result<Self, Cow<'static, str>>;
}

/// A member that was text.
pub(crate) struct Text<T>(pub(crate) T);

impl<'de, T: FromText> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(TextVisitor(PhantomData))
            .map(Self)
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromText> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }
}

/// Implements [`FromText`] by an expression over the text, whose errors can be displayed.
macro_rules! from_text {
    ($type:ty, $expected:literal, |$text:ident| $read:expr) => {
        impl FromText for $type {
            const EXPECTED: &'static str = $expected;

            fn from_text($text: &str) -> Result<Self, Cow<'static, str>> {
                $read
            }
        }
    };
}

from_text!(MessageId, "a message's id", |text| text
    .parse()
    .map_err(say));
from_text!(SubscriptionId, "a subscription's id", |text| text
    .parse()
    .map_err(say));
from_text!(VapidKeyId, "a VAPID key's id", |text| text
    .parse()
    .map_err(say));
from_text!(VapidKeyName, "a VAPID key", |text| {
    Self::parse(text).ok_or("neither a VAPID key's id nor a public key in base64url".into())
});
from_text!(ContentEncoding, "a content encoding", |text| text
    .parse()
    .map_err(say));
from_text!(PushService, "a push service", |text| {
    let named = |service: &Self| service.as_str() == text;
    Self::ALL
        .into_iter()
        .find(named)
        .ok_or("not a push service: use fcm, mozilla, apple, wns or other".into())
});
from_text!(Topic, "a topic", |text| Self::parse(text).map_err(say));
from_text!(Urgency, "an urgency", |text| text.parse().map_err(say));
from_text!(PushResource, "the endpoint's URL", |text| Self::parse(text)
    .map_err(say));
from_text!(UserAgentPublicKey, "a key in base64url", |text| {
    Self::parse(text).map_err(say)
});
from_text!(AuthSecret, "a secret in base64url", |text| Self::parse(
    text
)
.map_err(say));
from_text!(UserId, "the application's own id of a person", |text| {
    Self::parse(text).ok_or("a user has 1 to 128 octets and no control characters".into())
});
from_text!(UserToken, "a user token", |text| {
    Self::parse(text).ok_or("a user token has at most 4096 octets".into())
});
from_text!(Timestamp, "an instant", |text| {
    Self::parse(text).ok_or("not an instant of RFC 3339, as 2026-11-23T13:28:00Z".into())
});
from_text!(Scope, "a scope", |text| {
    Self::parse(text).ok_or_else(|| {
        let all = Scope::ALL.map(Scope::as_str);
        format!("not a scope: use {}", all.join(", ")).into()
    })
});
from_text!(ApiTokenName, "the token's name", |text| {
    Self::parse(text).ok_or("a name has 1 to 100 characters and no control characters".into())
});
from_text!(ApplicationName, "an application's name", |text| {
    Self::parse(text).ok_or("a name has 1 to 64 characters of a-z, 0-9, _ and -".into())
});
from_text!(ReceiptEvent, "an event", |text| {
    Self::parse(text).ok_or("not an event: use shown, clicked or dismissed".into())
});

/// The name of an action that was clicked.
pub(crate) struct ActionName(pub(crate) String);

from_text!(ActionName, "an action's name", |text| {
    let fits = text.len() <= MAX_ACTION_BYTES;
    fits.then(|| Self(text.to_owned()))
        .ok_or("an action has at most 64 octets".into())
});

fn say(error: impl fmt::Display) -> Cow<'static, str> {
    error.to_string().into()
}
