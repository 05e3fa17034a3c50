//! Instants that two processes on one machine agree on.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// The wall clock, to the microsecond: what push service and server tell is of the same one.
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement, and `Clock` knows milliseconds only"
)]
pub(super) fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or_default()
}

/// From one instant to a later one; nothing, where the clock was put back.
pub(super) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// Milliseconds with a fraction.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
