//! Subscriptions as Tidings keeps them.

use std::borrow::Cow;
use std::fmt;

use jiff::tz::TimeZone;
use tidings_webpush::{ContentEncoding, PushResource, PushService, Subscription};

use crate::application::ApplicationId;
use crate::attributes::Attributes;
use crate::batch::Seq;
use crate::clock::Timestamp;
use crate::id::{SubscriptionId, VapidKeyId};

/// A subscription with everything Tidings knows about it. Holds secrets.
#[derive(Clone, Debug)]
pub struct SubscriptionRecord {
    /// Its identifier on the wire.
    pub id: SubscriptionId,
    /// Whose it is.
    pub application: ApplicationId,
    /// Its number in the application, in the order of registration.
    pub seq: Seq,
    /// Whether it can be sent to.
    pub state: SubscriptionState,
    /// Where and for whom to encrypt.
    pub subscription: Subscription,
    /// What was said about it.
    pub details: SubscriptionDetails,
    /// When it was registered first.
    pub created_at: Timestamp,
    /// When the browser or the back end showed it last.
    pub last_seen_at: Timestamp,
}

/// What a page or back end says about a subscription besides the browser's own part.
#[derive(Clone, Debug)]
pub struct SubscriptionDetails {
    /// The VAPID key it was made with.
    pub vapid_key: VapidKeyId,
    /// How to encrypt for it.
    pub encoding: ContentEncoding,
    /// The application's own id of the person.
    pub user: Option<UserId>,
    /// The application's attributes.
    pub attributes: Attributes,
    /// The user agent's language.
    pub locale: Option<Locale>,
    /// The user agent's time zone.
    pub timezone: Option<TimeZoneName>,
}

/// The states of a subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscriptionState {
    /// Can be sent to.
    Active,
    /// The push service said that it is gone.
    Gone,
    /// The push service said so during a wave; an operator or time confirms it.
    Suspect,
    /// Unsubscribed.
    Ended,
}

impl SubscriptionState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Active, Self::Gone, Self::Suspect, Self::Ended];

    /// The state's name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Gone => "gone",
            Self::Suspect => "suspect",
            Self::Ended => "ended",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// The application's own id of a person: 1 to 128 octets without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UserId(String);

impl UserId {
    /// Checks the length and the characters.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A language tag in its canonical spelling (BCP 47).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Locale(String);

impl Locale {
    /// Reads a tag; `None` for what is not one (`de_AT`, `i-klingon`): a subscription is not
    /// refused for the way a browser spells its language.
    pub fn parse(text: &str) -> Option<Self> {
        let tag = (text.len() <= 64).then_some(text)?;
        tag.parse::<icu_locale_core::Locale>()
            .ok()
            .map(|locale| Self(locale.to_string()))
    }

    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A time zone's name (IANA). An unknown one is kept and treated as UTC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeZoneName(String);

impl TimeZoneName {
    /// Keeps the canonical spelling of a known name and other text of at most 64 plain characters.
    pub fn parse(text: &str) -> Option<Self> {
        let known = TimeZone::get(text)
            .ok()
            .and_then(|zone| zone.iana_name().map(str::to_owned));
        let plain = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        known.or_else(|| plain.then(|| text.to_owned())).map(Self)
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which batches and which clock a push resource belongs to: a known push service by name, all
/// others together, so that strangers cannot create groups without end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PushServiceGroup(Cow<'static, str>);

impl PushServiceGroup {
    /// The group of a push resource.
    pub fn of(resource: &PushResource) -> Self {
        Self::of_service(resource.push_service())
    }

    /// The group of a known push service, or of all others.
    pub fn of_service(service: PushService) -> Self {
        Self(Cow::Borrowed(service.as_str()))
    }

    /// From the text a store keeps.
    pub fn from_stored(text: &str) -> Self {
        known(text).map_or_else(|| Self(Cow::Owned(text.to_owned())), Self::of_service)
    }

    /// The group's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The push service that the group is of. What a later version kept is one of the others.
    pub fn service(&self) -> PushService {
        known(&self.0).unwrap_or(PushService::Other)
    }
}

fn known(group: &str) -> Option<PushService> {
    let mut all = PushService::ALL.into_iter();
    all.find(|service| service.as_str() == group)
}

impl fmt::Display for PushServiceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_is_made_canonical_or_left_out() {
        assert_eq!(Locale::parse("DE-at").unwrap().as_str(), "de-AT");
        assert_eq!(Locale::parse("zh-hant-TW").unwrap().as_str(), "zh-Hant-TW");
        for bad in ["de_AT", "", "i-klingon", "x", "not a locale"] {
            assert!(Locale::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_time_zone_is_kept_and_rubbish_is_not() {
        assert_eq!(
            TimeZoneName::parse("europe/vienna").unwrap().as_str(),
            "Europe/Vienna"
        );
        assert_eq!(
            TimeZoneName::parse("Mars/Olympus").unwrap().as_str(),
            "Mars/Olympus"
        );
        assert!(TimeZoneName::parse("").is_none());
        assert!(TimeZoneName::parse("a b").is_none());
    }

    #[test]
    fn a_user_has_no_control_characters() {
        assert!(UserId::parse("42").is_some());
        assert!(UserId::parse("müller@example.org").is_some());
        assert!(UserId::parse("").is_none());
        assert!(UserId::parse("a\nb").is_none());
        assert!(UserId::parse(&"a".repeat(129)).is_none());
    }
}
