use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::draw::Draw;

/// The longest delay of an answer, in milliseconds: an hour.
pub(super) const MAX_DELAY_MS: u64 = 60 * 60 * 1000;

/// How long answers take, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "must be a number of milliseconds, \
    {\"from_ms\":…,\"to_ms\":…} or {\"p50_ms\":…,\"p99_ms\":…}"
)]
pub(super) enum Delay {
    /// Always the same.
    Fixed(u64),
    /// Evenly between the two.
    Uniform { from_ms: u64, to_ms: u64 },
    /// Log-normally, as in the real world: mostly near the median, now and then far above.
    LogNormal { p50_ms: u64, p99_ms: u64 },
}

impl Default for Delay {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

impl Delay {
    pub(super) fn check(self) -> Result<(), String> {
        let (low, high) = match self {
            Self::Fixed(delay) => (1, delay.max(1)),
            Self::Uniform { from_ms, to_ms } => {
                (from_ms.saturating_add(1), to_ms.saturating_add(1))
            }
            Self::LogNormal { p50_ms, p99_ms } => (p50_ms, p99_ms),
        };
        if high > MAX_DELAY_MS {
            return Err(format!(
                "delay_ms is over {MAX_DELAY_MS}: use withhold to wait without end"
            ));
        }
        if low == 0 || low > high {
            return Err(
                "delay_ms: from_ms must be at most to_ms, and p50_ms from 1 to p99_ms".to_owned(),
            );
        }
        Ok(())
    }

    pub(super) fn is_none(self) -> bool {
        matches!(self, Self::Fixed(0))
    }

    pub(super) fn draw(self, draw: Draw) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no number here is over an hour in nanoseconds, nor below 0"
        )]
        let millis = |draw: &dyn Fn(f64, f64) -> f64, low: u64, high: u64| {
            let millis = draw(low as f64, high as f64).min(MAX_DELAY_MS as f64);
            Duration::from_nanos((millis * 1e6) as u64)
        };
        match self {
            Self::Fixed(delay) => Duration::from_millis(delay),
            Self::Uniform { from_ms, to_ms } => millis(
                &|low, high| low + draw.unit() * (high - low),
                from_ms,
                to_ms,
            ),
            Self::LogNormal { p50_ms, p99_ms } => {
                millis(&|p50, p99| draw.log_normal(p50, p99), p50_ms, p99_ms)
            }
        }
    }
}
