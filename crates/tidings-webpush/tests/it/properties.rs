use std::num::NonZeroU16;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;
use tidings_webpush::{
    Admission, FreshKeyPair, HostPattern, MAX_BODY_BYTES, MAX_PLAINTEXT_BYTES, Padding,
    PushResource, PushService, Randomness, Subscription, SystemRandomness, Topic, Ttl, Urgency,
    UserAgentKeys, UserAgentPublicKey, VapidKey, aesgcm, decrypt, encrypt, interpret,
    parse_retry_after, reason, verify,
};

/// Randomness that a failing case can repeat.
struct Seeded([u8; 32]);

impl Randomness for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for (target, source) in bytes.iter_mut().zip(self.0.iter().cycle()) {
            *target = *source;
        }
    }
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        Just(Padding::None),
        Just(Padding::Full),
        any::<NonZeroU16>().prop_map(Padding::ToMultipleOf),
    ]
}

fn push_service() -> impl Strategy<Value = PushService> {
    proptest::sample::select(PushService::ALL.to_vec())
}

proptest! {
    #[test]
    fn what_is_encrypted_is_decrypted(
        plaintext in proptest::collection::vec(any::<u8>(), 0..=MAX_PLAINTEXT_BYTES),
        padding in padding(),
        seed in any::<[u8; 32]>(),
    ) {
        let keys = UserAgentKeys::generate(&Seeded(seed)).unwrap();
        let body = encrypt(
            keys.public_key(), keys.auth(), &plaintext, padding, &FreshKeyPair, &SystemRandomness,
        ).unwrap();
        prop_assert_eq!(decrypt(&keys, &body), Ok(plaintext));
    }

    #[test]
    fn what_is_encrypted_for_old_browsers_is_decrypted(
        plaintext in proptest::collection::vec(any::<u8>(), 0..=aesgcm::MAX_PLAINTEXT_BYTES),
        padding in padding(),
        seed in any::<[u8; 32]>(),
    ) {
        let keys = UserAgentKeys::generate(&Seeded(seed)).unwrap();
        let payload = aesgcm::encrypt(
            keys.public_key(), keys.auth(), &plaintext, padding, &FreshKeyPair, &SystemRandomness,
        ).unwrap();
        prop_assert!(payload.body().len() <= MAX_BODY_BYTES);
        let parameters =
            aesgcm::Parameters::parse(payload.encryption().unwrap(), payload.crypto_key().unwrap());
        prop_assert_eq!(aesgcm::decrypt(&keys, &parameters.unwrap(), payload.body()), Ok(plaintext));
    }

    #[test]
    fn headers_of_strangers_are_read_or_refused(
        encryption in "[a-z0-9=;, \"-]{0,60}", crypto_key in "[a-z0-9=;, \"-]{0,60}",
    ) {
        // No text of 60 characters holds a key of 65 octets.
        prop_assert!(aesgcm::Parameters::parse(&encryption, &crypto_key).is_err());
    }

    #[test]
    fn padded_bodies_of_one_step_have_few_lengths(
        length in 0..=MAX_PLAINTEXT_BYTES, step in 1..=4096_u16,
    ) {
        let keys = UserAgentKeys::generate(&Seeded([1; 32])).unwrap();
        let padding = Padding::ToMultipleOf(NonZeroU16::new(step).unwrap());
        let body = encrypt(
            keys.public_key(), keys.auth(), &vec![1; length], padding, &FreshKeyPair,
            &SystemRandomness,
        ).unwrap();
        let padded = body.len() - 103;
        let is_multiple = padded.is_multiple_of(usize::from(step));
        prop_assert!(is_multiple || padded == 2641 || padded == MAX_PLAINTEXT_BYTES);
        prop_assert!(padded >= length && padded < length + usize::from(step));
    }

    #[test]
    fn bodies_of_strangers_are_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let keys = UserAgentKeys::generate(&Seeded([1; 32])).unwrap();
        prop_assert!(decrypt(&keys, &body).is_err());
    }

    #[test]
    fn bodies_with_a_valid_header_of_strangers_are_refused(
        salt in any::<[u8; 16]>(), record in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let keys = UserAgentKeys::generate(&Seeded([1; 32])).unwrap();
        let mut body = salt.to_vec();
        body.extend(4096_u32.to_be_bytes());
        body.push(65);
        body.extend(keys.public_key().as_bytes());
        body.extend(record);
        prop_assert!(decrypt(&keys, &body).is_err());
    }

    #[test]
    fn topics_print_what_they_were_parsed_from(text in "[A-Za-z0-9_-]{1,32}") {
        let read = Topic::parse_header(Some(text.as_bytes())).unwrap().unwrap();
        prop_assert_eq!(read.as_str(), &text);
        prop_assert_eq!(Topic::parse(&text).is_ok(), text.len() % 4 != 1);
    }

    #[test]
    fn ttls_print_what_they_were_parsed_from(seconds in 0..=(1_u32 << 31)) {
        let ttl = Ttl::from_secs(seconds).unwrap();
        prop_assert_eq!(Ttl::parse_header(Some(ttl.as_secs().to_string().as_bytes())), Ok(ttl));
    }

    #[test]
    fn option_headers_of_strangers_are_read_or_refused(
        value in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        if let Ok(ttl) = Ttl::parse_header(Some(&value)) {
            prop_assert!(ttl <= Ttl::MAX && value.iter().all(u8::is_ascii_digit));
        }
        if let Ok(Some(topic)) = Topic::parse_header(Some(&value)) {
            prop_assert_eq!(topic.as_str().as_bytes(), &value);
        }
        if let Ok(urgency) = Urgency::parse_header(Some(&value)) {
            prop_assert_eq!(Ok(urgency), urgency.as_str().parse());
        }
    }

    #[test]
    fn keys_print_what_they_were_parsed_from(seed in any::<[u8; 32]>()) {
        let keys = UserAgentKeys::generate(&Seeded(seed)).unwrap();
        let key = keys.public_key();
        prop_assert_eq!(&UserAgentPublicKey::parse(&key.to_base64url()).unwrap(), key);
        if let Ok(key) = VapidKey::from_raw(&seed) {
            for file in [key.to_raw_base64url(), key.to_sec1_pem(), key.to_pkcs8_pem()] {
                let again = VapidKey::from_key_file(file.as_bytes()).unwrap();
                prop_assert_eq!(again.public_key(), key.public_key());
            }
        }
    }

    #[test]
    fn push_resources_print_what_they_were_parsed_from(
        scheme in "https?", host in "[a-zA-Z][a-z0-9-]{0,9}[a-z0-9](\\.[a-z]{2,5}){1,2}",
        port in proptest::option::of(1..=u16::MAX),
        path in "(/[A-Za-z0-9_:=%2F~!$&'()*+,;@-]{0,20}){1,3}",
        query in proptest::option::of("[A-Za-z0-9_:=/?~-]{0,20}"),
    ) {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let text = format!("{scheme}://{host}{port}{path}{query}");
        let resource = PushResource::parse(&text).unwrap();
        prop_assert_eq!(resource.path_and_query(), format!("{path}{query}"));
        prop_assert!(resource.expose().starts_with(resource.origin()));
        prop_assert_eq!(&PushResource::parse(resource.expose()).unwrap(), &resource);
        let pattern = HostPattern::parse(&format!("{host}:{}", resource.port())).unwrap();
        let admission = Admission::new().with_hosts([pattern.clone()]);
        prop_assert_eq!(admission.admit(&resource).is_ok(), resource.scheme_is_https());
        prop_assert_eq!(HostPattern::parse(&pattern.to_string()).unwrap(), pattern);
    }

    #[test]
    fn push_resources_of_strangers_can_always_be_requested(
        text in "https://[ -~]{0,20}/[ -~]{0,20}",
    ) {
        if let Ok(resource) = PushResource::parse(&text) {
            prop_assert_eq!(http::Uri::try_from(resource.expose()).unwrap(), resource.expose());
            prop_assert!(!resource.origin().contains('@'));
            let path_and_query = resource.path_and_query();
            prop_assert!(text.ends_with(path_and_query.strip_prefix('/').unwrap()));
        }
    }

    #[test]
    fn waits_are_bounded(text in "[ -~]{0,30}", now in 0..=4_000_000_000_u64) {
        let now = UNIX_EPOCH + Duration::from_secs(now);
        let wait = parse_retry_after(&HeaderValue::from_str(&text).unwrap(), now);
        prop_assert!(wait.is_none_or(|wait| !wait.is_zero() && wait <= Duration::from_hours(28 * 24)));
    }

    #[test]
    fn longer_waits_are_not_read_as_shorter(first in any::<u64>(), second in any::<u64>()) {
        let read = |seconds: u64| {
            let value = HeaderValue::from_str(&seconds.to_string()).unwrap();
            parse_retry_after(&value, UNIX_EPOCH)
        };
        prop_assert_eq!(first < second, read(first) < read(second) || (first < second && read(first) == read(second)));
        prop_assert_eq!(read(first), (first > 0).then(|| Duration::from_secs(first.min(2_419_200))));
    }

    #[test]
    fn reasons_are_short_and_printable(
        service in push_service(), status in 100..=999_u16, body in any::<Vec<u8>>(),
    ) {
        let status = StatusCode::from_u16(status).unwrap();
        let reason = reason(service, status, &HeaderMap::new(), &body);
        prop_assert!(reason.chars().count() <= 200);
        prop_assert!(!reason.chars().any(char::is_control));
        interpret(service, status, &HeaderMap::new(), &body, UNIX_EPOCH);
    }

    #[test]
    fn files_of_strangers_hold_no_key(file in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(VapidKey::from_key_file(&file).is_err());
    }

    #[test]
    fn headers_and_json_of_strangers_are_refused(text in "[ -~]{0,100}") {
        let header = HeaderValue::from_str(&format!("vapid {text}")).unwrap();
        prop_assert!(verify::authorization(&header, "https://a.example", UNIX_EPOCH).is_err());
        prop_assert!(Subscription::from_json(text.as_bytes()).is_err());
    }
}
