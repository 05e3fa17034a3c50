//! Durations, as callers write them.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Which durations a member takes.
pub(crate) trait DurationLimits {
    /// What the member is, for whoever sent something else.
    const EXPECTED: &'static str;
    /// The shortest one taken.
    const MIN: Duration;
    /// The longest one taken.
    const MAX: Duration;
}

/// Whole seconds, or text like `4h`, `1d 12h` or `PT4H`.
pub(crate) struct DurationMember<L> {
    pub(crate) duration: Duration,
    limits: PhantomData<L>,
}

impl<'de, L: DurationLimits> Deserialize<'de> for DurationMember<L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let duration = deserializer.deserialize_any(DurationVisitor::<L>(PhantomData))?;
        Ok(Self {
            duration,
            limits: PhantomData,
        })
    }
}

struct DurationVisitor<L>(PhantomData<L>);

impl<L: DurationLimits> Visitor<'_> for DurationVisitor<L> {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(L::EXPECTED)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        bounded::<L>(Duration::from_secs(seconds))
            .ok_or_else(|| refuse::<L, E>(&seconds.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        read(text)
            .and_then(bounded::<L>)
            .ok_or_else(|| refuse::<L, E>(&format!("\"{text}\"")))
    }
}

fn refuse<L: DurationLimits, E: Error>(given: &str) -> E {
    E::custom(format_args!("{given} does not fit: give {}", L::EXPECTED))
}

fn read(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    // Nobody means the day on which clocks change: a day is 24 hours here.
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration)
        .ok()
        .filter(|duration| duration.subsec_nanos() == 0)
}

fn bounded<L: DurationLimits>(duration: Duration) -> Option<Duration> {
    (L::MIN..=L::MAX).contains(&duration).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From two seconds to ten years.
    struct Limits;

    impl DurationLimits for Limits {
        const EXPECTED: &'static str = "a duration";
        const MIN: Duration = Duration::from_secs(2);
        const MAX: Duration = Duration::from_hours(3650 * 24);
    }

    #[test]
    fn a_duration_is_seconds_or_friendly_text() {
        for (json, seconds) in [
            ("2", Some(2)),
            ("315360000", Some(315_360_000)),
            ("1", None),
            ("315360001", None),
            ("-1", None),
            ("1.5", None),
            ("null", None),
            ("18446744073709551615", None),
            (r#""4h""#, Some(14_400)),
            (r#""1d 12h""#, Some(129_600)),
            (r#""90d""#, Some(7_776_000)),
            (r#""4w""#, Some(2_419_200)),
            (r#""PT90S""#, Some(90)),
            (r#""3651d""#, None),
            (r#""1 month""#, None),
            (r#""2500ms""#, None),
            (r#""-4h""#, None),
            (r#""60""#, None),
            (r#""soon""#, None),
        ] {
            let read = serde_json::from_str::<DurationMember<Limits>>(json).ok();
            assert_eq!(read.map(|it| it.duration.as_secs()), seconds, "{json}");
        }
    }
}
