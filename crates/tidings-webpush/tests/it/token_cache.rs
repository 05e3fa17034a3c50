use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use tidings_webpush::{Contact, PushResource, TokenCache, VapidKey, VapidToken, verify};

const HOUR: Duration = Duration::from_hours(1);
const SECOND: Duration = Duration::from_secs(1);

fn start() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_800_000_000, 0)
}

struct Sender {
    cache: TokenCache,
    key: VapidKey,
    resource: PushResource,
}

impl Sender {
    fn new() -> Self {
        Self {
            cache: TokenCache::new(Some(Contact::parse("mailto:push@example.org").unwrap())),
            key: VapidKey::generate().unwrap(),
            resource: PushResource::parse("https://push.example.net/x").unwrap(),
        }
    }

    fn at(&self, now: SystemTime) -> HeaderValue {
        self.cache
            .authorization(&self.key, &self.resource, now)
            .unwrap()
    }

    fn forget(&self) {
        self.cache
            .forget(self.key.public_key(), self.resource.origin());
    }
}

// ECDSA signatures differ each time, so equal headers mean one signature.

#[test]
fn a_token_lives_twelve_hours_and_carries_the_contact() {
    let sender = Sender::new();
    let verified =
        verify::authorization(&sender.at(start()), "https://push.example.net", start()).unwrap();
    assert_eq!(verified.expires_at, start() + 12 * HOUR);
    assert_eq!(verified.subject.as_deref(), Some("mailto:push@example.org"));
    assert_eq!(&verified.public_key, sender.key.public_key());
}

#[test]
fn a_token_is_reused_until_six_hours_are_left() {
    let sender = Sender::new();
    let first = sender.at(start());
    assert_eq!(sender.at(start() + SECOND), first);
    assert_eq!(sender.at(start() + 6 * HOUR), first);
    let second = sender.at(start() + 6 * HOUR + SECOND);
    assert_ne!(second, first);
    assert_eq!(sender.at(start() + 12 * HOUR), second);
}

#[test]
fn a_token_that_a_clock_set_back_makes_too_long_is_renewed() {
    let sender = Sender::new();
    let first = sender.at(start());
    // 24 hours left: still accepted everywhere.
    assert_eq!(sender.at(start() - 12 * HOUR), first);
    let second = sender.at(start() - 12 * HOUR - SECOND);
    assert_ne!(second, first);
    let now = start() - 12 * HOUR - SECOND;
    assert!(verify::authorization(&second, "https://push.example.net", now).is_ok());
}

#[test]
fn a_token_is_shared_within_an_origin_and_a_key_only() {
    let sender = Sender::new();
    let first = sender.at(start());
    let of = |key: &VapidKey, url: &str| {
        let resource = PushResource::parse(url).unwrap();
        sender.cache.authorization(key, &resource, start()).unwrap()
    };
    assert_eq!(
        of(&sender.key, "https://PUSH.example.net:443/another"),
        first
    );
    assert_ne!(of(&sender.key, "https://push.example.net:8443/x"), first);
    assert_ne!(of(&sender.key, "http://push.example.net/x"), first);
    assert_ne!(
        of(&VapidKey::generate().unwrap(), "https://push.example.net/x"),
        first
    );
    let same_key = VapidKey::from_key_file(sender.key.to_pkcs8_pem().as_bytes()).unwrap();
    assert_eq!(of(&same_key, "https://push.example.net/x"), first);
}

#[test]
fn a_refused_token_is_renewed_at_most_hourly() {
    let sender = Sender::new();
    let first = sender.at(start());
    sender.forget();
    assert_eq!(sender.at(start() + HOUR - SECOND), first);
    let second = sender.at(start() + HOUR);
    assert_ne!(second, first);
    // The refusal was about the first one.
    assert_eq!(sender.at(start() + 3 * HOUR), second);
    sender.forget();
    assert_ne!(sender.at(start() + 3 * HOUR), second);
}

#[test]
fn a_refused_token_is_renewed_at_once_if_the_clock_went_back() {
    let sender = Sender::new();
    let first = sender.at(start());
    assert_eq!(sender.at(start() - HOUR), first);
    sender.forget();
    assert_ne!(sender.at(start() - HOUR), first);
}

#[test]
fn the_cache_is_bounded_and_lets_the_oldest_go() {
    let sender = Sender::new();
    let first = sender.at(start());
    let of = |number: u32| {
        let resource = PushResource::parse(&format!("https://p{number}.example/x")).unwrap();
        let now = start() + Duration::from_millis(u64::from(number));
        sender
            .cache
            .authorization(&sender.key, &resource, now)
            .unwrap()
    };
    // With the first one this fills the 4096 places.
    let second = of(1);
    for number in 2..4096 {
        of(number);
    }
    assert_eq!(sender.at(start()), first, "still there");
    of(4096);
    assert_eq!(of(1), second, "only the oldest one went");
    assert_ne!(sender.at(start()), first, "made room");
}

/// The same sender after a restart, with the token that was kept.
fn restarted(
    sender: &Sender,
    contact: &str,
    signed_at: SystemTime,
    now: SystemTime,
) -> (Sender, bool) {
    let token = sender.cache.token(&sender.key, &sender.resource, signed_at);
    let token = token.unwrap();
    let public_key = sender.key.public_key();
    let (text, expires_at) = (token.expose(), token.expires_at());
    let token = VapidToken::from_exposed(text, public_key, expires_at).unwrap();
    let after = Sender {
        cache: TokenCache::new(Some(Contact::parse(contact).unwrap())),
        key: VapidKey::from_key_file(sender.key.to_pkcs8_pem().as_bytes()).unwrap(),
        resource: sender.resource.clone(),
    };
    let origin = after.resource.origin();
    let restored = after
        .cache
        .restore(public_key, origin, token, signed_at, now);
    (after, restored)
}

const CONTACT: &str = "mailto:push@example.org";

#[test]
fn only_a_token_signed_just_now_is_told() {
    let sender = Sender::new();
    for (hours, is_new) in [(0, true), (1, false), (7, true), (8, false)] {
        let now = start() + hours * HOUR;
        let given = sender.cache.authorize(&sender.key, &sender.resource, now);
        let given = given.unwrap();
        assert_eq!(given.signed.is_some(), is_new, "after {hours} hours");
        assert_eq!(given.authorization, sender.at(now), "after {hours} hours");
        if let Some(signed) = given.signed {
            assert_eq!(signed.authorization(), given.authorization);
        }
    }
}

#[test]
fn a_restored_token_is_used_to_its_end() {
    let sender = Sender::new();
    let first = sender.at(start());
    let (after, restored) = restarted(&sender, CONTACT, start(), start() + 2 * HOUR);
    assert!(restored);
    assert_eq!(after.at(start() + 6 * HOUR), first);
    assert_ne!(after.at(start() + 6 * HOUR + SECOND), first);
}

#[test]
fn a_restored_token_is_renewed_as_seldom_as_without_the_restart() {
    let sender = Sender::new();
    let first = sender.at(start());
    let (after, _) = restarted(&sender, CONTACT, start(), start() + SECOND);
    after.forget();
    assert_eq!(after.at(start() + HOUR - SECOND), first);
    assert_ne!(after.at(start() + HOUR), first);
}

#[test]
fn a_token_for_another_contact_is_not_restored() {
    let sender = Sender::new();
    let first = sender.at(start());
    let (after, restored) = restarted(&sender, "mailto:new@example.org", start(), start());
    assert!(!restored);
    assert_ne!(after.at(start()), first);
}

#[test]
fn a_token_that_is_not_good_is_not_restored() {
    let sender = Sender::new();
    let good = sender.cache.token(&sender.key, &sender.resource, start());
    let good = good.unwrap();
    let own = sender.key.public_key();
    let other = VapidKey::generate().unwrap();
    let forged = |text: &str, key| VapidToken::from_exposed(text, key, good.expires_at()).unwrap();
    let text = good.expose();
    let origin = sender.resource.origin();
    let later = good.expires_at() + HOUR;
    let lasting = VapidToken::from_exposed(text, own, later).unwrap();
    let cut = forged(&text[..text.len() - 2], own);
    let cases = [
        (
            "for another push service",
            own,
            "https://other.example",
            good.clone(),
            start(),
        ),
        (
            "of another key",
            other.public_key(),
            origin,
            good.clone(),
            start(),
        ),
        (
            "signed by another key",
            other.public_key(),
            origin,
            forged(text, other.public_key()),
            start(),
        ),
        ("cut", own, origin, cut, start()),
        ("said to last longer", own, origin, lasting, start()),
        (
            "expired",
            own,
            origin,
            good.clone(),
            start() + 12 * HOUR + SECOND,
        ),
    ];
    for (name, key, origin, token, now) in cases {
        let cache = TokenCache::new(Some(Contact::parse(CONTACT).unwrap()));
        assert!(!cache.restore(key, origin, token, start(), now), "{name}");
    }
}

#[test]
fn a_restored_token_replaces_no_newer_one() {
    let sender = Sender::new();
    let old = sender.cache.token(&sender.key, &sender.resource, start());
    let old = old.unwrap();
    let newer = sender.at(start() + 7 * HOUR);
    let now = start() + 7 * HOUR;
    let (key, origin) = (sender.key.public_key(), sender.resource.origin());
    assert!(!sender.cache.restore(key, origin, old, start(), now));
    assert_eq!(sender.at(now), newer);
}
