//! `Retry-After`: eight octets of clock, then the header.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use tidings_webpush::parse_retry_after;

const LONGEST: Duration = Duration::from_hours(28 * 24);

fuzz_target!(|input: &[u8]| {
    let Some((clock, header)) = input.split_first_chunk() else {
        return;
    };
    let since_epoch = Duration::from_secs(u64::from_be_bytes(*clock));
    let (Some(now), Ok(header)) = (
        UNIX_EPOCH.checked_add(since_epoch),
        HeaderValue::from_bytes(header),
    ) else {
        return;
    };
    if let Some(wait) = parse_retry_after(&header, now) {
        assert!(!wait.is_zero() && wait <= LONGEST);
    }
});
