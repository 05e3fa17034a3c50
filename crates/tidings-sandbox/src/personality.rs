use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use tidings_webpush::{MAX_BODY_BYTES, PushService};

const DAY_S: u32 = 24 * 60 * 60;

/// The push service that the sandbox plays towards application servers: its limits, and the
/// status, headers and body of its answers.
///
/// Towards user agents it always is Mozilla's, and endpoints look like Mozilla's too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Personality {
    /// Firebase Cloud Messaging: refusals in plain text, 403 for identification.
    Fcm,
    /// Mozilla autopush: refusals in JSON with an error number, 401 for identification.
    #[default]
    Mozilla,
    /// Apple: refusals in JSON with a reason; checks `sub`; no TTL of 0.
    Apple,
    /// Windows Push Notification Services: answers in headers, with empty bodies.
    Wns,
    /// RFC 8030 and RFC 8292 to the letter: an ended subscription is 404, a wrong key 403.
    Plain,
}

impl Personality {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Fcm,
        Self::Mozilla,
        Self::Apple,
        Self::Wns,
        Self::Plain,
    ];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fcm => "fcm",
            Self::Mozilla => "mozilla",
            Self::Apple => "apple",
            Self::Wns => "wns",
            Self::Plain => "plain",
        }
    }

    /// The push service whose answers it gives, for
    /// [`interpret`](tidings_webpush::interpret).
    pub fn push_service(self) -> PushService {
        match self {
            Self::Fcm => PushService::Fcm,
            Self::Mozilla => PushService::Mozilla,
            Self::Apple => PushService::Apple,
            Self::Wns => PushService::Wns,
            Self::Plain => PushService::Other,
        }
    }

    /// The host of the endpoints that the real push service hands out, or one of several.
    pub(crate) fn real_host(self) -> Option<&'static str> {
        match self {
            Self::Fcm => Some("fcm.googleapis.com"),
            Self::Mozilla => Some("updates.push.services.mozilla.com"),
            Self::Apple => Some("web.push.apple.com"),
            Self::Wns => Some("db5p.notify.windows.com"),
            Self::Plain => None,
        }
    }

    /// The longest body that is taken, in octets.
    pub(crate) fn max_body_bytes(self) -> usize {
        match self {
            Self::Wns => 5_000,
            Self::Fcm | Self::Mozilla | Self::Apple | Self::Plain => MAX_BODY_BYTES,
        }
    }

    /// The longest TTL that is granted, in seconds. What WNS makes of long ones is not documented.
    pub(crate) fn max_ttl_s(self) -> u32 {
        match self {
            Self::Fcm => 28 * DAY_S,
            Self::Mozilla | Self::Apple | Self::Wns | Self::Plain => 30 * DAY_S,
        }
    }

    /// Whether even a subscription without key takes messages with VAPID token only: the browsers
    /// of these services make none without.
    pub(crate) fn demands_identification(self) -> bool {
        matches!(self, Self::Fcm | Self::Apple | Self::Wns)
    }

    /// Whether the token's `sub` must be a contact that can be reached.
    pub(crate) fn checks_contact(self) -> bool {
        self == Self::Apple
    }
}

impl fmt::Display for Personality {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Personality {
    type Err = PersonalityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|personality| personality.as_str() == text)
            .ok_or(PersonalityError)
    }
}

/// The text is not the name of a personality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a push service that can be played: use fcm, mozilla, apple, wns or plain")]
pub struct PersonalityError;
