use serde_json::json;
use tidings_webpush::{
    AuthSecret, AuthSecretError, PublicKeyError, PushResourceError, Subscription,
    SubscriptionError, UserAgentPublicKey, VapidPublicKey,
};

use crate::vectors::{cases, load, octets, text};

const ENDPOINT: &str = "https://fcm.googleapis.com/fcm/send/secret-token";

#[test]
fn keys_are_read_in_every_spelling() {
    let vectors = load("subscription-keys.json");
    let canonical = &vectors["canonical"];
    for case in cases(&vectors, "accept").iter().chain([canonical]) {
        let id = case["id"].as_str().unwrap_or("canonical");
        let p256dh = UserAgentPublicKey::parse(text(case, "p256dh")).expect(id);
        assert_eq!(
            p256dh.as_bytes().as_slice(),
            octets(canonical, "p256dh"),
            "{id}"
        );
        assert_eq!(p256dh.to_base64url(), text(canonical, "p256dh"), "{id}");
        let auth = AuthSecret::parse(text(case, "auth")).expect(id);
        assert_eq!(auth.expose().as_slice(), octets(canonical, "auth"), "{id}");
    }
}

#[test]
fn broken_public_keys_are_refused_with_their_fault() {
    let vectors = load("subscription-keys.json");
    for case in cases(&vectors, "reject_p256dh") {
        let id = text(case, "id");
        let expected = match id {
            "off-curve" | "all-zero" | "x-too-big" => PublicKeyError::NotOnCurve,
            "infinity" => PublicKeyError::Length { got: 1 },
            "compressed" => PublicKeyError::Length { got: 33 },
            "hybrid" => PublicKeyError::Form,
            "raw-xy" | "short" => PublicKeyError::Length { got: 64 },
            "long" => PublicKeyError::Length { got: 66 },
            "empty" => PublicKeyError::Length { got: 0 },
            "not-base64" => PublicKeyError::Base64,
            "spki" => PublicKeyError::Length { got: 91 },
            other => panic!("no expectation for {other}"),
        };
        let key = text(case, "p256dh");
        assert_eq!(
            UserAgentPublicKey::parse(key).unwrap_err(),
            expected,
            "{id}"
        );
        assert_eq!(
            VapidPublicKey::parse(key).unwrap_err(),
            expected,
            "{id} as VAPID key"
        );
    }
}

#[test]
fn broken_secrets_are_refused_with_their_fault() {
    let vectors = load("subscription-keys.json");
    for case in cases(&vectors, "reject_auth") {
        let id = text(case, "id");
        let expected = match id {
            "short" => AuthSecretError::Length { got: 15 },
            "long" => AuthSecretError::Length { got: 17 },
            "empty" => AuthSecretError::Length { got: 0 },
            "not-base64" => AuthSecretError::Base64,
            other => panic!("no expectation for {other}"),
        };
        assert_eq!(
            AuthSecret::parse(text(case, "auth")).unwrap_err(),
            expected,
            "{id}"
        );
    }
}

#[test]
fn a_text_that_mixes_alphabets_is_refused() {
    let canonical = load("subscription-keys.json")["canonical"].clone();
    let mixed = text(&canonical, "p256dh").replacen('-', "+", 1);
    assert!(mixed.contains('-') && mixed.contains('+'));
    assert_eq!(
        UserAgentPublicKey::parse(&mixed).unwrap_err(),
        PublicKeyError::Base64
    );
}

#[test]
fn what_a_browser_hands_over_is_read() {
    let canonical = load("subscription-keys.json")["canonical"].clone();
    let json = json!({
        "endpoint": ENDPOINT,
        "expirationTime": null,
        "keys": canonical,
        "somethingNew": [1, 2, 3],
    });
    let subscription = Subscription::from_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(subscription.push_resource.expose(), ENDPOINT);
    assert_eq!(
        subscription.p256dh.as_bytes().as_slice(),
        octets(&canonical, "p256dh")
    );
    assert_eq!(
        subscription.auth.expose().as_slice(),
        octets(&canonical, "auth")
    );
}

#[test]
fn errors_name_the_member_at_fault() {
    let canonical = load("subscription-keys.json")["canonical"].clone();
    let (p256dh, auth) = (text(&canonical, "p256dh"), text(&canonical, "auth"));
    let missing = |member| SubscriptionError::Missing { member };
    let not_a_string = |member| SubscriptionError::NotAString { member };
    let cases = [
        (json!([]), "", SubscriptionError::NotAnObject { member: "" }),
        (json!({"keys": canonical}), "endpoint", missing("endpoint")),
        (
            json!({"endpoint": 7, "keys": canonical}),
            "endpoint",
            not_a_string("endpoint"),
        ),
        (
            json!({"endpoint": "/wp/x", "keys": canonical}),
            "endpoint",
            SubscriptionError::PushResource(PushResourceError::NotAbsolute),
        ),
        (json!({"endpoint": ENDPOINT}), "keys", missing("keys")),
        (
            json!({"endpoint": ENDPOINT, "keys": "x"}),
            "keys",
            SubscriptionError::NotAnObject { member: "keys" },
        ),
        (
            json!({"endpoint": ENDPOINT, "keys": {"auth": auth}}),
            "keys.p256dh",
            missing("keys.p256dh"),
        ),
        (
            json!({"endpoint": ENDPOINT, "keys": {"auth": auth, "p256dh": "AA"}}),
            "keys.p256dh",
            SubscriptionError::PublicKey(PublicKeyError::Length { got: 1 }),
        ),
        (
            json!({"endpoint": ENDPOINT, "keys": {"p256dh": p256dh, "auth": null}}),
            "keys.auth",
            not_a_string("keys.auth"),
        ),
        (
            json!({"endpoint": ENDPOINT, "keys": {"p256dh": p256dh, "auth": "AA"}}),
            "keys.auth",
            SubscriptionError::AuthSecret(AuthSecretError::Length { got: 1 }),
        ),
    ];
    for (json, member, expected) in cases {
        let error = Subscription::from_json(json.to_string().as_bytes()).unwrap_err();
        assert_eq!(error, expected, "{json}");
        assert_eq!(error.member(), member, "{json}");
        assert!(error.to_string().starts_with(member), "{json}: {error}");
    }
}

#[test]
fn text_that_is_not_json_is_refused() {
    for text in ["", "{", "{\"endpoint\": \"x\" \"y\"}", "\u{feff}{}"] {
        let error = Subscription::from_json(text.as_bytes()).unwrap_err();
        assert!(
            matches!(error, SubscriptionError::Json { .. }),
            "{text:?}: {error:?}"
        );
    }
}

#[test]
fn debug_output_and_errors_keep_secrets() {
    let canonical = load("subscription-keys.json")["canonical"].clone();
    let json = json!({"endpoint": ENDPOINT, "keys": canonical}).to_string();
    let subscription = Subscription::from_json(json.as_bytes()).unwrap();
    let shown = format!("{subscription:?}");
    assert!(shown.contains("https://fcm.googleapis.com"), "{shown}");
    assert!(shown.contains("AuthSecret"), "{shown}");
    assert!(!shown.contains("secret-token"), "{shown}");
    assert!(!shown.contains(text(&canonical, "auth")), "{shown}");
    assert!(!shown.contains("[5, 48, 89"), "{shown}");
}

#[test]
fn secrets_are_compared_by_their_octets() {
    let secret = AuthSecret::from_bytes(&[1; 16]).unwrap();
    let mut other = [1; 16];
    assert!(secret.ct_eq(&AuthSecret::from_bytes(&other).unwrap()));
    other[15] = 0;
    assert!(!secret.ct_eq(&AuthSecret::from_bytes(&other).unwrap()));
}
