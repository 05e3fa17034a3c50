//! Every refusal, and that nothing else than a well-made token is taken.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use jsonwebtoken::EncodingKey;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod key_files;

const NOW_S: i64 = 1_764_000_000;
const NOW: Timestamp = Timestamp::from_millis(NOW_S * 1000);
const SECRET: &str = "a secret of at least thirty-two octets";

fn app() -> ApplicationName {
    ApplicationName::parse("default").unwrap()
}

fn hs256() -> UserTokenKeys {
    UserTokenKeys::new([UserTokenKey::from_secret(SECRET).unwrap()]).unwrap()
}

fn claims() -> Value {
    json!({"sub": "alice", "aud": "tidings:default", "exp": NOW_S + 300})
}

/// Signs whatever texts header and claims are.
fn signed(
    header: impl AsRef<[u8]>,
    claims: impl AsRef<[u8]>,
    key: &EncodingKey,
    algorithm: Algorithm,
) -> UserToken {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    UserToken::parse(&format!("{message}.{signature}")).unwrap()
}

fn with_secret(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> UserToken {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    signed(header, claims, &key, Algorithm::HS256)
}

fn verify_claims(claims: impl AsRef<[u8]>) -> Result<UserId, UserTokenError> {
    hs256().verify(&with_secret(r#"{"alg":"HS256"}"#, claims), &app(), NOW)
}

/// A key pair of a back end: what signs, and the file that Tidings gets.
struct BackEnd {
    key: EncodingKey,
    algorithm: Algorithm,
    jwk: Value,
    spki: Vec<u8>,
}

impl BackEnd {
    fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        Self {
            key: EncodingKey::from_ec_der(pkcs8.as_ref()),
            algorithm: Algorithm::ES256,
            jwk: json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)}),
            spki: pair.public_key().as_der().unwrap().as_ref().to_vec(),
        }
    }

    fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let x = base64url(pair.public_key().as_ref());
        Self {
            key: EncodingKey::from_ed_der(pkcs8.as_ref()),
            algorithm: Algorithm::EdDSA,
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": x}),
            spki: pair.public_key().as_der().unwrap().as_ref().to_vec(),
        }
    }

    fn token(&self, kid: Option<&str>) -> UserToken {
        let mut header = json!({"alg": name(self.algorithm)});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        let (header, claims) = (header.to_string(), claims().to_string());
        signed(&header, &claims, &self.key, self.algorithm)
    }

    fn pem(&self) -> String {
        armoured("PUBLIC KEY", &self.spki)
    }

    fn jwk_named(&self, kid: &str) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = json!(kid);
        jwk
    }
}

fn armoured(label: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, der))
}

fn base64url(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn keys_of(file: &str) -> UserTokenKeys {
    UserTokenKeys::new(UserTokenKey::from_key_file(file.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_token_of_each_algorithm_proves_its_user() {
    let alice = UserId::parse("alice").unwrap();
    let token = with_secret(r#"{"alg":"HS256","typ":"JWT"}"#, claims().to_string());
    assert_eq!(hs256().verify(&token, &app(), NOW), Ok(alice.clone()));
    for back_end in [BackEnd::p256(), BackEnd::ed25519()] {
        let set = json!({"keys": [back_end.jwk]}).to_string();
        for file in [back_end.pem(), back_end.jwk.to_string(), set] {
            let verified = keys_of(&file).verify(&back_end.token(None), &app(), NOW);
            assert_eq!(verified.as_ref(), Ok(&alice), "{file}");
        }
    }
}

#[test]
fn a_token_of_another_key_is_refused() {
    let (ours, other) = (BackEnd::p256(), BackEnd::p256());
    let refused = keys_of(&ours.pem()).verify(&other.token(None), &app(), NOW);
    assert_eq!(refused, Err(UserTokenError::Signature));
    let key = EncodingKey::from_secret(b"another secret of at least 32 octets");
    let (header, claims) = (r#"{"alg":"HS256"}"#, claims().to_string());
    let forged = signed(header, &claims, &key, Algorithm::HS256);
    let refused = hs256().verify(&forged, &app(), NOW);
    assert_eq!(refused, Err(UserTokenError::Signature));
}

#[test]
fn the_key_says_the_algorithm_and_not_the_header() {
    let back_end = BackEnd::p256();
    let public = keys_of(&back_end.pem());
    let both = UserTokenKeys::new(
        UserTokenKey::from_key_file(back_end.pem().as_bytes())
            .unwrap()
            .into_iter()
            .chain([UserTokenKey::from_secret(SECRET).unwrap()]),
    )
    .unwrap();
    // What everybody knows of the key, as if it were a secret.
    let octets = [
        back_end.pem().into_bytes(),
        back_end.pem().trim().as_bytes().to_vec(),
        back_end.spki.clone(),
        back_end.spki[26..].to_vec(),
    ];
    for octets in octets {
        let key = EncodingKey::from_secret(&octets);
        for alg in ["HS256", "ES256"] {
            let header = json!({"alg": alg}).to_string();
            let token = signed(&header, claims().to_string(), &key, Algorithm::HS256);
            for keys in [&public, &both] {
                let refused = keys.verify(&token, &app(), NOW).unwrap_err();
                assert!(
                    matches!(
                        refused,
                        UserTokenError::Algorithm { said: "HS256", .. } | UserTokenError::Signature
                    ),
                    "{alg}: {refused:?}"
                );
            }
        }
    }
    for alg in ["none", "None", "NONE", "HS384", "RS256", "", "hs256"] {
        let header = json!({"alg": alg}).to_string();
        let unsigned = format!(
            "{}.{}.",
            base64url(header.as_bytes()),
            base64url(claims().to_string().as_bytes())
        );
        for token in [
            UserToken::parse(&unsigned).unwrap(),
            with_secret(&header, claims().to_string()),
        ] {
            let refused = both.verify(&token, &app(), NOW).unwrap_err();
            assert!(
                matches!(refused, UserTokenError::Algorithm { .. }),
                "{alg}: {refused:?}"
            );
            assert!(
                refused.to_string().ends_with("take ES256 or HS256"),
                "{refused}"
            );
        }
    }
}

#[test]
fn an_unsigned_token_with_a_fitting_header_is_refused() {
    let whole = with_secret(r#"{"alg":"HS256"}"#, claims().to_string());
    let (message, _) = whole.expose().rsplit_once('.').unwrap();
    let unsigned = UserToken::parse(&format!("{message}.")).unwrap();
    let refused = hs256().verify(&unsigned, &app(), NOW);
    assert_eq!(refused, Err(UserTokenError::Signature));
}

#[test]
fn a_kid_chooses_among_keys_that_have_one() {
    let (old, new) = (BackEnd::p256(), BackEnd::p256());
    let set = json!({"keys": [old.jwk_named("old"), new.jwk_named("new")]}).to_string();
    let keys = keys_of(&set);
    let verify =
        |keys: &UserTokenKeys, token: &UserToken| keys.verify(token, &app(), NOW).map(drop);
    assert_eq!(verify(&keys, &old.token(Some("old"))), Ok(()));
    assert_eq!(verify(&keys, &new.token(Some("new"))), Ok(()));
    assert_eq!(verify(&keys, &new.token(None)), Ok(()));
    assert_eq!(
        verify(&keys, &new.token(Some("old"))),
        Err(UserTokenError::Signature)
    );
    assert_eq!(
        verify(&keys, &new.token(Some("next"))),
        Err(UserTokenError::UnknownKey)
    );
    // A key from a PEM file has no name, and is tried for every one.
    let both = [new.pem(), old.pem()].concat();
    assert_eq!(verify(&keys_of(&both), &old.token(Some("any"))), Ok(()));
}

#[test]
fn every_wrong_form_is_told_apart() {
    let claims = claims().to_string();
    let (whole, hs) = (
        with_secret(r#"{"alg":"HS256"}"#, &claims),
        base64url(br#"{"alg":"HS256"}"#),
    );
    let payload = base64url(claims.as_bytes());
    let cases: [(&str, String, UserTokenError); 13] = [
        ("nothing", String::new(), UserTokenError::Form),
        ("two parts", format!("{hs}.{payload}"), UserTokenError::Form),
        ("five parts", format!("{hs}.a.b.c.d"), UserTokenError::Form),
        (
            "padding",
            format!("{}=", whole.expose()),
            UserTokenError::Form,
        ),
        (
            "no base64url",
            format!("{hs}!.{payload}.AAAA"),
            UserTokenError::Form,
        ),
        (
            "white space",
            format!(" {}", whole.expose()),
            UserTokenError::Form,
        ),
        (
            "header no JSON",
            format!("AAAA.{payload}.AAAA"),
            UserTokenError::Header,
        ),
        (
            "header a list",
            with_secret(r#"["HS256"]"#, &claims).expose().to_owned(),
            UserTokenError::Header,
        ),
        (
            "alg a number",
            with_secret(r#"{"alg":256}"#, &claims).expose().to_owned(),
            UserTokenError::Header,
        ),
        (
            "alg twice",
            with_secret(r#"{"alg":"none","alg":"HS256"}"#, &claims)
                .expose()
                .to_owned(),
            UserTokenError::Header,
        ),
        (
            "kid a number",
            with_secret(r#"{"alg":"HS256","kid":1}"#, &claims)
                .expose()
                .to_owned(),
            UserTokenError::Header,
        ),
        (
            "crit",
            with_secret(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, &claims)
                .expose()
                .to_owned(),
            UserTokenError::Critical,
        ),
        (
            "claims no JSON",
            with_secret(r#"{"alg":"HS256"}"#, "{").expose().to_owned(),
            UserTokenError::Claims,
        ),
    ];
    for (what, text, expected) in cases {
        let token = UserToken::parse(&text).unwrap();
        assert_eq!(hs256().verify(&token, &app(), NOW), Err(expected), "{what}");
    }
    assert!(UserToken::parse(&"a".repeat(MAX_USER_TOKEN_BYTES)).is_some());
    assert!(UserToken::parse(&"a".repeat(MAX_USER_TOKEN_BYTES + 1)).is_none());
}

/// RFC 8259 §8.1, also where nobody looks.
#[test]
fn what_is_not_utf_8_is_refused() {
    let claims = claims().to_string();
    let with_octet = |object: &str, octet: u8| {
        let inside = object.strip_suffix('}').unwrap().as_bytes();
        [inside, br#","more":""#, &[octet], br#""}"#].concat()
    };
    assert!(verify_claims(with_octet(&claims, b'x')).is_ok());
    let refused = verify_claims(with_octet(&claims, 0x9c));
    assert_eq!(refused, Err(UserTokenError::Claims));
    let token = with_secret(with_octet(r#"{"alg":"HS256"}"#, 0x9c), &claims);
    let refused = hs256().verify(&token, &app(), NOW);
    assert_eq!(refused, Err(UserTokenError::Header));
}

#[test]
fn a_claim_of_a_wrong_type_or_a_second_one_is_refused() {
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims.to_string()
    };
    for (name, value) in [
        ("sub", json!(null)),
        ("sub", json!(42)),
        ("sub", json!("")),
        ("sub", json!("a\nb")),
        ("sub", json!("a".repeat(129))),
        ("aud", json!(null)),
        ("aud", json!(1)),
        ("aud", json!({"tidings:default": true})),
        ("aud", json!(["tidings:default", 1])),
        ("exp", json!(null)),
        ("exp", json!((NOW_S + 300).to_string())),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!([NOW_S + 300])),
        ("nbf", json!("now")),
        ("iat", json!(true)),
    ] {
        let refused = verify_claims(with(name, value.clone())).unwrap_err();
        let is_about_it =
            matches!(refused, UserTokenError::Claim { name: told, .. } if told == name);
        assert!(is_about_it, "{name} = {value}: {refused:?}");
    }
    for name in ["sub", "aud", "exp", "nbf", "iat"] {
        let good = claims()[name].clone();
        let good = if good.is_null() { json!(NOW_S) } else { good };
        let twice = with(name, good.clone()).replacen('{', &format!("{{\"{name}\":{good},"), 1);
        assert_eq!(
            verify_claims(&twice),
            Err(UserTokenError::Claims),
            "{twice}"
        );
    }
    for claims in ["[]", "null", "\"alice\"", "{} {}", "{\"sub\":\"\\ud800\"}"] {
        assert_eq!(
            verify_claims(claims),
            Err(UserTokenError::Claims),
            "{claims}"
        );
    }
}

#[test]
fn the_audience_is_one_application() {
    let wanted = || {
        Err(UserTokenError::Audience {
            wanted: "tidings:default".to_owned(),
        })
    };
    for (aud, expected) in [
        (json!("tidings:default"), Ok(())),
        (json!(["https://example.org", "tidings:default"]), Ok(())),
        (json!("default"), wanted()),
        (json!("tidings:"), wanted()),
        (json!("tidings:default2"), wanted()),
        (json!("TIDINGS:default"), wanted()),
        (json!([]), wanted()),
        (json!(["tidings:other"]), wanted()),
    ] {
        let mut claims = claims();
        claims["aud"] = aud.clone();
        assert_eq!(
            verify_claims(claims.to_string()).map(drop),
            expected,
            "{aud}"
        );
    }
}

#[test]
fn time_is_heeded_to_the_second() {
    const HOUR: i64 = 3_600;
    let expired = |seconds| Err(UserTokenError::Expired { seconds });
    let too_long = |seconds| Err(UserTokenError::TooLong { seconds });
    let not_yet = |name, seconds| Err(UserTokenError::NotYet { name, seconds });
    for (name, offset, expected) in [
        ("exp", -59, Ok(())),
        ("exp", -60, expired(60)),
        ("exp", -3600, expired(3600)),
        ("exp", HOUR + 60, Ok(())),
        ("exp", HOUR + 61, too_long(3_661)),
        ("nbf", 60, Ok(())),
        ("nbf", 61, not_yet("nbf", 61)),
        ("nbf", -72 * HOUR, Ok(())),
        ("iat", 60, Ok(())),
        ("iat", 61, not_yet("iat", 61)),
        ("iat", -72 * HOUR, Ok(())),
    ] {
        let mut claims = claims();
        claims[name] = json!(NOW_S + offset);
        let verified = verify_claims(claims.to_string()).map(drop);
        assert_eq!(verified, expected, "{name} = now + {offset} s");
    }
    let mut fraction = claims();
    fraction["exp"] = json!(1_763_999_940.5_f64);
    assert_eq!(verify_claims(fraction.to_string()).map(drop), Ok(()));
    fraction["exp"] = json!(1e15);
    assert!(matches!(
        verify_claims(fraction.to_string()),
        Err(UserTokenError::TooLong { .. })
    ));
}

#[test]
fn a_secret_is_long_enough_and_no_key_file() {
    let got = |text: &str| UserTokenKey::from_secret(text).map(drop);
    assert_eq!(
        got(&"a".repeat(31)),
        Err(UserTokenKeyError::SecretTooShort { got: 31 })
    );
    assert_eq!(got(&"ü".repeat(16)), Ok(()));
    assert_eq!(
        got(&BackEnd::p256().pem()),
        Err(UserTokenKeyError::SecretIsKeyFile)
    );
}

#[test]
fn there_are_sixteen_keys_at_most() {
    let key = UserTokenKey::from_secret(SECRET).unwrap();
    assert!(UserTokenKeys::new(vec![key.clone(); 16]).is_ok());
    let error = UserTokenKeys::new(vec![key; 17]).unwrap_err();
    assert_eq!(error, UserTokenKeyError::TooMany { got: 17 });
}

#[test]
fn nothing_is_shown_of_secrets() {
    let token = with_secret(r#"{"alg":"HS256"}"#, claims().to_string());
    assert_eq!(format!("{token:?}"), "UserToken");
    assert_eq!(
        format!("{:?}", hs256()),
        "UserTokenKeys([UserTokenKey(HS256)])"
    );
}

proptest! {
    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,200}") {
        if let Some(token) = UserToken::parse(&text) {
            prop_assert!(hs256().verify(&token, &app(), NOW).is_err());
        }
        let _ = UserTokenKey::from_key_file(text.as_bytes());
    }

    #[test]
    fn any_signed_text_is_refused_without_a_panic(
        header in r#"\{"alg":"(HS256|none|ES256)"(,"[a-z]{3}":("x"|1|null|\[\]))?\}"#,
        claims in r#"\{("(sub|aud|exp|nbf|iat)":("x"|-?[0-9]{1,20}(\.[0-9])?|null|\[\]|\{\}),?){0,6}\}"#,
    ) {
        let refused = hs256().verify(&with_secret(&header, &claims), &app(), NOW);
        prop_assert!(refused.is_err());
    }

    #[test]
    fn a_changed_token_is_refused(position in 0..200_usize, to in "[A-Za-z0-9_.-]") {
        let token = with_secret(r#"{"alg":"HS256"}"#, claims().to_string());
        let mut changed = token.expose().to_owned();
        let position = position % changed.len();
        changed.replace_range(position..=position, &to);
        let verified = hs256().verify(&UserToken::parse(&changed).unwrap(), &app(), NOW);
        prop_assert_eq!(verified.is_ok(), changed == token.expose());
    }
}
