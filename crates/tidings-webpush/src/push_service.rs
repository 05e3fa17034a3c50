use std::fmt;

use url::Host;

/// The push services that differ in what they take or answer.
///
/// Always told from the parsed host, never by searching in the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PushService {
    /// Firebase Cloud Messaging: Chrome and most browsers built from Chromium.
    Fcm,
    /// Mozilla autopush: Firefox.
    Mozilla,
    /// Apple: Safari, and home screen web apps.
    Apple,
    /// Windows Push Notification Services: Edge on Windows.
    Wns,
    /// Any other service that speaks RFC 8030.
    Other,
}

impl PushService {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Fcm,
        Self::Mozilla,
        Self::Apple,
        Self::Wns,
        Self::Other,
    ];

    /// Short name for metrics, logs and columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fcm => "fcm",
            Self::Mozilla => "mozilla",
            Self::Apple => "apple",
            Self::Wns => "wns",
            Self::Other => "other",
        }
    }

    /// Whether `TTL: 0` is refused: Apple answers `BadTtl`, WNS wants another header beside it
    /// (both reported in public issue threads, not in the vendors' documents).
    pub(crate) fn refuses_ttl_zero(self) -> bool {
        matches!(self, Self::Apple | Self::Wns)
    }

    pub(crate) fn of(host: &Host<&str>) -> Self {
        let Host::Domain(name) = host else {
            return Self::Other;
        };
        if *name == "fcm.googleapis.com" {
            Self::Fcm
        } else if is_below(name, "push.services.mozilla.com") {
            Self::Mozilla
        } else if is_below(name, "push.apple.com") {
            Self::Apple
        } else if is_below(name, "notify.windows.com") {
            Self::Wns
        } else {
            Self::Other
        }
    }
}

impl fmt::Display for PushService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Whether `name` has at least one label in front of `domain`.
pub(crate) fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}
