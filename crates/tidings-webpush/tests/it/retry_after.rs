use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use tidings_webpush::parse_retry_after;

/// 2026-10-21 07:28:00 GMT.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_792_567_680, 0)
}

#[test]
fn waits_are_read_in_both_forms_and_bounded() {
    const LONGEST: u64 = 28 * 24 * 3600;
    let cases = [
        ("120", Some(120)),
        (" 120 ", Some(120)),
        ("0120", Some(120)),
        ("1", Some(1)),
        ("0", None),
        ("2419200", Some(LONGEST)),
        ("2419201", Some(LONGEST)),
        ("99999999999999999999999999", Some(LONGEST)),
        ("Wed, 21 Oct 2026 07:30:00 GMT", Some(120)),
        ("Wednesday, 21-Oct-26 07:30:00 GMT", Some(120)),
        ("Wed Oct 21 07:30:00 2026", Some(120)),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("Wed, 21 Oct 2026 07:27:59 GMT", None),
        ("Wed, 21 Oct 2037 07:28:00 GMT", Some(LONGEST)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1, 2", None),
        ("soon", None),
        ("2026-10-21T07:30:00Z", None),
    ];
    for (text, expected) in cases {
        let wait = parse_retry_after(&HeaderValue::from_static(text), now());
        assert_eq!(wait, expected.map(Duration::from_secs), "{text:?}");
    }
}

#[test]
fn a_value_outside_ascii_is_ignored() {
    let value = HeaderValue::from_bytes(b"1\xff").unwrap();
    assert_eq!(parse_retry_after(&value, now()), None);
}
