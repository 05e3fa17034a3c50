use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _,
};
use http::HeaderValue;
use serde_json::{Value, json};
use tidings_webpush::verify::{self, VerifyError};
use tidings_webpush::{Contact, PublicKeyError, VapidError, VapidKey, VapidPublicKey};

use crate::vectors::{array, decode, encode, load, number, text};

const AUDIENCE: &str = "https://push.example.net";
const HOUR: Duration = Duration::from_hours(1);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_800_000_000, 0)
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap()
}

/// A header made by hand, for what [`VapidKey::sign`] never writes.
fn forge(jose: &Value, claims: &Value, algorithm: &'static EcdsaSigningAlgorithm) -> HeaderValue {
    let (jose, claims) = (jose.to_string(), claims.to_string());
    forge_octets(jose.as_bytes(), claims.as_bytes(), algorithm)
}

fn forge_octets(
    jose: &[u8],
    claims: &[u8],
    algorithm: &'static EcdsaSigningAlgorithm,
) -> HeaderValue {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let signed = format!("{}.{}", encode(jose), encode(claims));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let key = encode(pair.public_key().as_ref());
    header(&format!(
        "vapid t={signed}.{}, k={key}",
        encode(signature.as_ref())
    ))
}

fn forge_claims(claims: &Value) -> HeaderValue {
    forge(
        &json!({"typ": "JWT", "alg": "ES256"}),
        claims,
        &ECDSA_P256_SHA256_FIXED_SIGNING,
    )
}

fn seconds(instant: SystemTime) -> u64 {
    instant.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn the_token_of_rfc_8292_is_verified() {
    let vector = load("vapid-rfc8292.json");
    let claims = &vector["claims"];
    let authorization = header(text(&vector, "authorization"));
    let expires_at =
        UNIX_EPOCH + Duration::from_secs(u64::try_from(number(claims, "exp")).unwrap());
    let check = |now| verify::authorization(&authorization, text(claims, "aud"), now);

    let verified = check(expires_at - HOUR).unwrap();
    assert_eq!(
        verified.public_key.as_bytes(),
        &array::<65>(&vector, "public_key")
    );
    assert_eq!(verified.expires_at, expires_at);
    assert_eq!(verified.subject.as_deref(), Some(text(claims, "sub")));

    assert!(check(expires_at - Duration::from_secs(1)).is_ok());
    assert_eq!(check(expires_at), Err(VerifyError::Expired));
    assert_eq!(check(expires_at + HOUR), Err(VerifyError::Expired));
    assert!(check(expires_at - 24 * HOUR).is_ok());
    let too_early = expires_at - 24 * HOUR - Duration::from_secs(1);
    assert_eq!(check(too_early), Err(VerifyError::TooLong));
}

#[test]
fn a_signed_token_has_the_form_of_rfc_8292() {
    let vector = load("vapid-rfc8292.json");
    let key = VapidKey::generate().unwrap();
    let contact = Contact::parse("mailto:push@example.com").unwrap();
    let expires_at = UNIX_EPOCH + Duration::from_millis(1_453_523_768_900);
    let token = key.sign(AUDIENCE, Some(&contact), expires_at).unwrap();

    let authorization = token.authorization();
    assert!(authorization.is_sensitive());
    let (jwt, public_key) = authorization
        .to_str()
        .unwrap()
        .strip_prefix("vapid t=")
        .unwrap()
        .split_once(", k=")
        .unwrap();
    assert_eq!(public_key, key.public_key().to_base64url());
    let parts: Vec<_> = jwt.split('.').map(decode).collect();
    assert_eq!(parts[0], text(&vector, "header_json_utf8").as_bytes());
    assert_eq!(parts[1], text(&vector, "claims_json_utf8").as_bytes());
    assert_eq!(parts[2].len(), 64);
    assert_eq!(
        token.expires_at(),
        UNIX_EPOCH + Duration::from_secs(1_453_523_768)
    );
}

#[test]
fn a_signed_token_is_verified() {
    let key = VapidKey::generate().unwrap();
    let contact = Contact::parse("https://example.org/contact").unwrap();
    for (contact, subject) in [
        (Some(&contact), Some("https://example.org/contact")),
        (None, None),
    ] {
        let token = key.sign(AUDIENCE, contact, now() + 12 * HOUR).unwrap();
        let verified = verify::authorization(&token.authorization(), AUDIENCE, now()).unwrap();
        assert_eq!(&verified.public_key, key.public_key());
        assert_eq!(verified.expires_at, now() + 12 * HOUR);
        assert_eq!(verified.subject.as_deref(), subject);
    }
}

#[test]
fn a_token_without_contact_has_no_sub() {
    let token = VapidKey::generate()
        .unwrap()
        .sign(AUDIENCE, None, now())
        .unwrap();
    let authorization = token.authorization();
    let claims = decode(authorization.to_str().unwrap().split('.').nth(1).unwrap());
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims, json!({"aud": AUDIENCE, "exp": seconds(now())}));
}

#[test]
fn a_token_is_for_one_push_service() {
    let token = VapidKey::generate()
        .unwrap()
        .sign(AUDIENCE, None, now() + HOUR)
        .unwrap();
    for other in [
        "https://push.example.net/",
        "http://push.example.net",
        "https://push.example.ne",
    ] {
        assert_eq!(
            verify::authorization(&token.authorization(), other, now()),
            Err(VerifyError::Audience {
                expected: other.into(),
                got: AUDIENCE.into()
            }),
        );
    }
}

#[test]
fn parameters_are_read_in_any_order_and_spacing() {
    let token = VapidKey::generate()
        .unwrap()
        .sign(AUDIENCE, None, now() + HOUR)
        .unwrap();
    let authorization = token.authorization();
    let text = authorization.to_str().unwrap();
    let (t, k) = text
        .strip_prefix("vapid ")
        .unwrap()
        .split_once(", ")
        .unwrap();
    for accepted in [
        format!("vapid {t}, {k}"),
        format!("VAPID {k},{t}"),
        format!("Vapid  {k} , x=y, {t}"),
        format!("vapid {t},\t{k}="),
    ] {
        assert!(
            verify::authorization(&header(&accepted), AUDIENCE, now()).is_ok(),
            "{accepted}"
        );
    }
    let cases = [
        (String::new(), VerifyError::Missing),
        (" ".into(), VerifyError::Missing),
        ("vapid".into(), VerifyError::Scheme),
        (format!("Bearer {t}, {k}"), VerifyError::Scheme),
        (format!("vapid {t}"), VerifyError::Parameters),
        (format!("vapid {k}"), VerifyError::Parameters),
        (format!("vapid {t}, {t}, {k}"), VerifyError::Parameters),
        (format!("vapid {t}, {k}, {k}"), VerifyError::Parameters),
        (format!("vapid {t} {k}"), VerifyError::Parameters),
        (
            format!("vapid {t}, k=AA"),
            VerifyError::PublicKey(PublicKeyError::Length { got: 1 }),
        ),
        (format!("vapid t=a.b, {k}"), VerifyError::TokenForm),
        (format!("vapid t=, {k}"), VerifyError::TokenForm),
        (format!("vapid {t}.x, {k}"), VerifyError::TokenForm),
    ];
    for (refused, expected) in cases {
        let result = verify::authorization(&header(&refused), AUDIENCE, now());
        assert_eq!(result, Err(expected), "{refused:?}");
    }
}

#[test]
fn a_token_changed_or_signed_by_another_key_is_refused() {
    let key = VapidKey::generate().unwrap();
    let token = key.sign(AUDIENCE, None, now() + HOUR).unwrap();
    let authorization = token.authorization();
    let (jwt, _) = authorization
        .to_str()
        .unwrap()
        .strip_prefix("vapid t=")
        .unwrap()
        .split_once(',')
        .unwrap();
    let other = VapidKey::generate().unwrap().public_key().to_base64url();
    let with_other_key = header(&format!("vapid t={jwt}, k={other}"));
    let result = verify::authorization(&with_other_key, AUDIENCE, now());
    assert_eq!(result, Err(VerifyError::Signature));

    let parts: Vec<_> = jwt.split('.').collect();
    let later = encode(
        json!({"aud": AUDIENCE, "exp": seconds(now() + 2 * HOUR)})
            .to_string()
            .as_bytes(),
    );
    let k = key.public_key().to_base64url();
    let changed = header(&format!("vapid t={}.{later}.{}, k={k}", parts[0], parts[2]));
    assert_eq!(
        verify::authorization(&changed, AUDIENCE, now()),
        Err(VerifyError::Signature)
    );
}

#[test]
fn a_signature_in_der_is_refused() {
    let claims = json!({"aud": AUDIENCE, "exp": seconds(now() + HOUR)});
    let jose = json!({"typ": "JWT", "alg": "ES256"});
    let fixed = forge(&jose, &claims, &ECDSA_P256_SHA256_FIXED_SIGNING);
    assert!(verify::authorization(&fixed, AUDIENCE, now()).is_ok());
    let der = forge(&jose, &claims, &ECDSA_P256_SHA256_ASN1_SIGNING);
    assert_eq!(
        verify::authorization(&der, AUDIENCE, now()),
        Err(VerifyError::Signature)
    );
}

#[test]
fn other_algorithms_are_refused() {
    let claims = json!({"aud": AUDIENCE, "exp": seconds(now() + HOUR)});
    for alg in ["none", "HS256", "es256", "ES384"] {
        let forged = forge(
            &json!({"alg": alg}),
            &claims,
            &ECDSA_P256_SHA256_FIXED_SIGNING,
        );
        let result = verify::authorization(&forged, AUDIENCE, now());
        assert_eq!(result, Err(VerifyError::Algorithm), "{alg}");
    }
    let without = forge(
        &json!({"typ": "JWT"}),
        &claims,
        &ECDSA_P256_SHA256_FIXED_SIGNING,
    );
    assert_eq!(
        verify::authorization(&without, AUDIENCE, now()),
        Err(VerifyError::TokenForm)
    );
}

/// RFC 8259 §8.1, also where nobody looks.
#[test]
fn what_is_not_utf_8_is_refused() {
    let claims = json!({"aud": AUDIENCE, "exp": seconds(now() + HOUR)}).to_string();
    let with_octet = |object: &str, octet: u8| {
        let inside = object.strip_suffix('}').unwrap().as_bytes();
        [inside, br#","more":""#, &[octet], br#""}"#].concat()
    };
    let verified = |jose: &[u8], claims: &[u8]| {
        let forged = forge_octets(jose, claims, &ECDSA_P256_SHA256_FIXED_SIGNING);
        verify::authorization(&forged, AUDIENCE, now()).map(drop)
    };
    let jose = r#"{"alg":"ES256"}"#;
    let good = with_octet(&claims, b'x');
    assert_eq!(verified(jose.as_bytes(), &good), Ok(()));
    let refused = verified(jose.as_bytes(), &with_octet(&claims, 0x9c));
    assert_eq!(refused, Err(VerifyError::TokenForm));
    let refused = verified(&with_octet(jose, 0x9c), &good);
    assert_eq!(refused, Err(VerifyError::TokenForm));
}

#[test]
fn claims_of_the_wrong_kind_are_refused() {
    let exp = seconds(now() + HOUR);
    let cases = [
        (json!({"aud": AUDIENCE}), VerifyError::ExpirationType),
        (
            json!({"aud": AUDIENCE, "exp": exp.to_string()}),
            VerifyError::ExpirationType,
        ),
        (
            json!({"aud": AUDIENCE, "exp": null}),
            VerifyError::ExpirationType,
        ),
        (
            json!({"aud": AUDIENCE, "exp": -1}),
            VerifyError::ExpirationType,
        ),
        (
            json!({"aud": AUDIENCE, "exp": 1e300}),
            VerifyError::ExpirationType,
        ),
        (json!({"aud": AUDIENCE, "exp": 0}), VerifyError::Expired),
        (
            json!({"aud": AUDIENCE, "exp": exp * 1000}),
            VerifyError::TooLong,
        ),
        (json!({"exp": exp}), VerifyError::AudienceType),
        (
            json!({"aud": [AUDIENCE], "exp": exp}),
            VerifyError::AudienceType,
        ),
        (
            json!({"aud": AUDIENCE, "exp": exp, "sub": 1}),
            VerifyError::TokenForm,
        ),
        (json!([1]), VerifyError::TokenForm),
    ];
    for (claims, expected) in cases {
        let result = verify::authorization(&forge_claims(&claims), AUDIENCE, now());
        assert_eq!(result, Err(expected), "{claims}");
    }
    let fraction = json!({"aud": AUDIENCE, "exp": 1_800_003_600.5, "more": {"x": 1}});
    let verified = verify::authorization(&forge_claims(&fraction), AUDIENCE, now()).unwrap();
    assert_eq!(
        verified.expires_at,
        now() + HOUR + Duration::from_millis(500)
    );
}

#[test]
fn an_expiry_before_1970_is_refused() {
    let key = VapidKey::generate().unwrap();
    let result = key.sign(AUDIENCE, None, UNIX_EPOCH - HOUR);
    assert_eq!(result.unwrap_err(), VapidError::Expiry);
}

#[test]
fn debug_output_keeps_the_token() {
    let token = VapidKey::generate()
        .unwrap()
        .sign(AUDIENCE, None, now())
        .unwrap();
    assert_eq!(format!("{token:?}"), "VapidToken");
    assert!(!format!("{:?}", token.authorization()).contains("eyJ"));
}

#[test]
fn public_keys_are_printed_as_they_are_parsed() {
    let key = VapidKey::generate().unwrap();
    let text = key.public_key().to_base64url();
    assert_eq!(text.len(), 87);
    assert_eq!(&VapidPublicKey::parse(&text).unwrap(), key.public_key());
    assert_eq!(
        &VapidPublicKey::from_bytes(key.public_key().as_bytes()).unwrap(),
        key.public_key()
    );
}

#[test]
fn a_token_that_demands_extensions_is_refused() {
    let claims = json!({"aud": AUDIENCE, "exp": seconds(now() + HOUR)});
    let jose = json!({"typ": "JWT", "alg": "ES256", "crit": ["exp"]});
    let forged = forge(&jose, &claims, &ECDSA_P256_SHA256_FIXED_SIGNING);
    assert_eq!(
        verify::authorization(&forged, AUDIENCE, now()),
        Err(VerifyError::CriticalExtension)
    );
}
