//! How long a message is worth delivering, as callers write it.

use std::fmt;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use tidings_core::message::MAX_TTL;

const EXPECTED: &str = "whole seconds, or a duration like \"4h\"; at most 28 days";

/// Seconds, or text like `4h`, `1d 12h` or `PT4H`.
pub(super) struct TtlMember(pub(super) Duration);

impl<'de> Deserialize<'de> for TtlMember {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TtlVisitor).map(Self)
    }
}

struct TtlVisitor;

impl Visitor<'_> for TtlVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        bounded(Duration::from_secs(seconds)).ok_or_else(|| refuse(&seconds.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        read(text)
            .and_then(bounded)
            .ok_or_else(|| refuse(&format!("\"{text}\"")))
    }
}

fn refuse<E: Error>(given: &str) -> E {
    E::custom(format_args!("{given} does not fit: give {EXPECTED}"))
}

fn read(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    // Nobody means the day on which clocks change: a day is 24 hours here.
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration)
        .ok()
        .filter(|duration| duration.subsec_nanos() == 0)
}

fn bounded(duration: Duration) -> Option<Duration> {
    (duration <= MAX_TTL).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_seconds_or_a_friendly_duration() {
        for (json, seconds) in [
            ("0", Some(0)),
            ("60", Some(60)),
            ("2419200", Some(2_419_200)),
            ("2419201", None),
            ("-1", None),
            ("1.5", None),
            ("null", None),
            (r#""4h""#, Some(14_400)),
            (r#""1d 12h""#, Some(129_600)),
            (r#""28d""#, Some(2_419_200)),
            (r#""4w""#, Some(2_419_200)),
            (r#""PT90S""#, Some(90)),
            (r#""29d""#, None),
            (r#""1 month""#, None),
            (r#""1500ms""#, None),
            (r#""-4h""#, None),
            (r#""60""#, None),
            (r#""soon""#, None),
        ] {
            let read = serde_json::from_str::<TtlMember>(json).ok();
            assert_eq!(read.map(|TtlMember(ttl)| ttl.as_secs()), seconds, "{json}");
        }
    }
}
