//! Members whose absence means something.

use serde::{Deserialize, Deserializer};

/// A member of a change. Left out, it changes nothing (`#[serde(default)]`); `null` clears.
#[derive(Default)]
pub(crate) enum Patch<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    /// As the store wants it: `None` keeps, `Some(None)` clears.
    #[expect(clippy::option_option, reason = "what `SubscriptionChange` is made of")]
    pub(crate) fn into_change<U>(self, read: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(read(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|given| given.map_or(Self::Clear, Self::Set))
    }
}

/// For `#[serde(default, deserialize_with)]`: `None` if left out; `null` is a value like others.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}
