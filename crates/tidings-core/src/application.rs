//! Applications: who owns keys, subscriptions and messages.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use url::{Origin, Url};

use crate::user_token::UserTokenKeys;

/// How many active subscriptions a person may have if the application does not say otherwise: more
/// browsers than anybody uses, and few enough for one message to reach them all at once.
pub const DEFAULT_MAX_SUBSCRIPTIONS_PER_USER: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

/// A store's own number of an application.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ApplicationId(i64);

impl ApplicationId {
    /// The application of a fresh data directory.
    pub const DEFAULT: Self = Self(1);

    /// From the number a store keeps.
    pub const fn from_i64(number: i64) -> Self {
        Self(number)
    }

    /// The number a store keeps.
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

/// An application's name in URLs: `default`, or `app_…`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ApplicationName(String);

impl ApplicationName {
    /// The name of the application of a fresh data directory.
    pub const DEFAULT: &'static str = "default";

    /// Reads 1 to 64 characters of `a-z`, `0-9`, `_` and `-`.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.to_owned()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApplicationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a page alone may say whom a subscription belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PageUsers {
    /// Only with a token that the application's back end signed.
    #[default]
    Proved,
    /// The page is believed.
    Trusted,
}

/// An application and its settings.
#[derive(Clone, Debug)]
pub struct Application {
    /// The store's number of it.
    pub id: ApplicationId,
    /// Its name in URLs.
    pub name: ApplicationName,
    /// Page origins that may call the public endpoints, besides the server's own.
    pub cors_origins: Vec<PageOrigin>,
    /// Whether a page alone is believed about `user`.
    pub page_users: PageUsers,
    /// What the tokens are checked with by which a page proves its `user`.
    pub user_token_keys: UserTokenKeys,
    /// How many active subscriptions a person may have.
    pub max_subscriptions_per_user: NonZeroU32,
    /// What a missing or relative `navigate` resolves against.
    pub site_url: Url,
}

/// The origin of a web page, as browsers write it into the `Origin` header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageOrigin {
    origin: Origin,
    text: String,
}

impl PageOrigin {
    /// Reads `https://example.org` or `http://localhost:8080`; a path is refused.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let bare = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        bare.then(|| Self::of(&url))
    }

    /// The origin of a URL.
    pub fn of(url: &Url) -> Self {
        let origin = url.origin();
        let text = origin.ascii_serialization();
        Self { origin, text }
    }

    /// The serialisation of RFC 6454 §6.2.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The origin as a URL with the path `/`.
    pub fn to_url(&self) -> Option<Url> {
        Url::parse(&self.text).ok()
    }
}

/// The applications of this server. There are few, so all of them are in memory.
#[derive(Clone, Debug)]
pub struct Applications {
    by_name: HashMap<ApplicationName, Arc<Application>>,
    by_id: HashMap<ApplicationId, Arc<Application>>,
}

impl Applications {
    /// These applications.
    pub fn new(applications: impl IntoIterator<Item = Application>) -> Self {
        let all: Vec<_> = applications.into_iter().map(Arc::new).collect();
        Self {
            by_name: all
                .iter()
                .map(|app| (app.name.clone(), Arc::clone(app)))
                .collect(),
            by_id: all.iter().map(|app| (app.id, Arc::clone(app))).collect(),
        }
    }

    /// The application with this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Application>> {
        self.by_name.get(&ApplicationName::parse(name)?)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Application> {
        self.by_id.values().map(Arc::as_ref)
    }

    /// The application with this number.
    pub fn by_id(&self, id: ApplicationId) -> Option<&Arc<Application>> {
        self.by_id.get(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_without_a_path() {
        assert_eq!(
            PageOrigin::parse("https://Example.org:443")
                .unwrap()
                .as_str(),
            "https://example.org"
        );
        assert_eq!(
            PageOrigin::parse("http://localhost:8080/")
                .unwrap()
                .as_str(),
            "http://localhost:8080"
        );
        for bad in [
            "example.org",
            "https://example.org/app",
            "ftp://example.org",
            "https://u@example.org",
            "null",
            "*",
        ] {
            assert!(PageOrigin::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_short_and_plain() {
        assert!(ApplicationName::parse("default").is_some());
        for bad in ["", "Default", "a b", "é", &"a".repeat(65)] {
            assert!(ApplicationName::parse(bad).is_none(), "{bad}");
        }
    }
}
