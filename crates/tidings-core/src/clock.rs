//! Instants, and the clock they are read from.

use std::fmt;
use std::time::{Duration, SystemTime};

/// An instant in UTC with millisecond precision, so that every store returns what it was given.
///
/// *Unit*: milliseconds since 1970-01-01T00:00:00Z, negative before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `milliseconds` after the epoch.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 text with a zone; fractions of a millisecond are cut off.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .map(|instant| Self(instant.as_millisecond()))
    }

    /// This instant, `duration` later; the end of time stays where it is.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(milliseconds))
    }

    /// This instant, `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(milliseconds))
    }

    /// How long after `earlier` this instant is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same instant for the protocol crate, which speaks the standard library's type.
    pub fn to_system_time(self) -> SystemTime {
        let distance = Duration::from_millis(self.0.unsigned_abs());
        let moved = if self.0 < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        };
        moved.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self(0).plus(after),
            Err(before) => Self(0).minus(before.duration()),
        }
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-11-23T13:28:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// Where the present comes from. Only the binary chooses one.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the ambient clock"
        )]
        let now = SystemTime::now();
        now.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_rfc_3339_with_milliseconds() {
        let instant = Timestamp::from_millis(1_764_000_000_123);
        assert_eq!(instant.to_string(), "2025-11-24T16:00:00.123Z");
        assert_eq!(Timestamp::parse(&instant.to_string()), Some(instant));
        assert_eq!(
            Timestamp::parse("2025-11-24T17:00:00.1239+01:00"),
            Some(instant)
        );
        assert_eq!(Timestamp::parse("2025-11-24 17:00"), None);
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(Timestamp::from_millis(5).since(end), Duration::ZERO);
    }

    #[test]
    fn survives_the_way_through_the_standard_library() {
        for milliseconds in [-1, 0, 1, 1_764_000_000_123] {
            let instant = Timestamp::from_millis(milliseconds);
            assert_eq!(Timestamp::from(instant.to_system_time()), instant);
        }
    }
}
