use serde_json::Value;
use tidings_webpush::{Topic, TopicError, Ttl, TtlError, Urgency};

use crate::vectors::{cases, load};

fn value(case: &Value) -> Option<&[u8]> {
    case["value"].as_str().map(str::as_bytes)
}

#[test]
fn ttl_headers_are_read_as_a_push_service_must() {
    let vectors = load("request-headers.json");
    for case in cases(&vectors, "ttl") {
        let expected = case["result"].as_u64();
        assert_eq!(case["accept"].as_bool(), Some(expected.is_some()), "{case}");
        let read = Ttl::parse_header(value(case)).map(|ttl| u64::from(ttl.as_secs()));
        assert_eq!(read.ok(), expected, "{case}");
    }
}

#[test]
fn urgency_headers_are_read_as_a_push_service_must() {
    let vectors = load("request-headers.json");
    for case in cases(&vectors, "urgency") {
        let read = Urgency::parse_header(value(case)).map(Urgency::as_str);
        assert_eq!(read.ok(), case["result"].as_str(), "{case}");
    }
}

#[test]
fn topic_headers_are_read_as_a_push_service_must() {
    let vectors = load("request-headers.json");
    for case in cases(&vectors, "topic") {
        let read = Topic::parse_header(value(case));
        assert_eq!(read.is_ok(), case["accept"].as_bool().unwrap(), "{case}");
        let topic = read.ok().flatten();
        assert_eq!(
            topic.as_ref().map(Topic::as_str),
            case["result"].as_str(),
            "{case}"
        );
    }
}

#[test]
fn topics_are_sent_only_if_the_strictest_push_service_takes_them() {
    let vectors = load("request-headers.json");
    let mut refused_for_apple = 0;
    for case in cases(&vectors, "topic") {
        let Some(text) = case["value"].as_str() else {
            continue;
        };
        let accepted_by_all = case["apple"] == true;
        let parsed = Topic::parse(text);
        assert_eq!(parsed.is_ok(), accepted_by_all, "{case}");
        refused_for_apple += u32::from(parsed == Err(TopicError::NotBase64Length));
    }
    assert_eq!(refused_for_apple, 3);
}

#[test]
fn ttl_is_bounded() {
    assert_eq!(Ttl::from_secs(0).map(Ttl::as_secs), Ok(0));
    assert_eq!(Ttl::from_secs(1 << 31), Ok(Ttl::MAX));
    assert_eq!(Ttl::from_secs((1 << 31) + 1), Err(TtlError::TooLarge));
    assert_eq!(Ttl::parse_header(None), Err(TtlError::Missing));
}
