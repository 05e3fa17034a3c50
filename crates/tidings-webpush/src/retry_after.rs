use std::time::{Duration, SystemTime};

use http::HeaderValue;

/// No push service keeps a message longer, so no longer wait can serve one.
const LONGEST: Duration = Duration::from_hours(28 * 24);

/// Reads `Retry-After`, seconds or an HTTP date, as the time to wait from `now`, at most 28 days.
///
/// `None` for what cannot be read, and for no wait at all (`0`, or a date that is not ahead): the
/// caller's own back-off stands then.
///
/// Spec: RFC 9110 §10.2.3.
pub fn parse_retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = match parse_seconds(text) {
        Some(wait) => wait,
        None => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok()?,
    };
    (!wait.is_zero()).then(|| wait.min(LONGEST))
}

/// Digits only; more than fit count as the longest wait.
pub(crate) fn parse_seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().map_or(LONGEST, Duration::from_secs))
}
