//! Files with public keys.

use super::*;

#[test]
fn keys_for_others_in_a_set_are_passed_over() {
    let back_end = BackEnd::p256();
    let mut for_encryption = BackEnd::p256().jwk;
    for_encryption["use"] = json!("enc");
    let set = json!({"keys": [{"kty": "RSA", "n": "AQAB"}, for_encryption, back_end.jwk]});
    let read = UserTokenKey::from_key_file(set.to_string().as_bytes()).unwrap();
    assert_eq!(read.len(), 1);
    let verified = keys_of(&set.to_string()).verify(&back_end.token(None), &app(), NOW);
    assert_eq!(verified.map(drop), Ok(()));
}

#[test]
fn a_file_without_fitting_public_keys_says_what_to_do() {
    let jwk = |member: &str, value: &str| {
        let mut jwk = BackEnd::p256().jwk;
        jwk[member] = json!(value);
        jwk.to_string()
    };
    let cut = |text: String| text[..text.len() - 40].to_owned();
    let refused: [(&str, String, UserTokenKeyError); 17] = [
        ("nothing", String::new(), UserTokenKeyError::Unrecognised),
        ("text", "secret".to_owned(), UserTokenKeyError::Unrecognised),
        (
            "a shared secret",
            json!({"kty": "oct", "k": "AAAA"}).to_string(),
            UserTokenKeyError::SharedSecret,
        ),
        (
            "a certificate",
            armoured("CERTIFICATE", b"\x30\x00"),
            UserTokenKeyError::Certificate,
        ),
        (
            "another key",
            armoured("PUBLIC KEY", b"\x30\x00"),
            UserTokenKeyError::Unsupported,
        ),
        (
            "RSA",
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}).to_string(),
            UserTokenKeyError::OtherKind,
        ),
        (
            "another curve",
            jwk("crv", "P-384"),
            UserTokenKeyError::OtherKind,
        ),
        (
            "off the curve",
            jwk("x", &"A".repeat(43)),
            UserTokenKeyError::Unsupported,
        ),
        (
            "for encryption",
            jwk("use", "enc"),
            UserTokenKeyError::OtherUse,
        ),
        (
            "for another algorithm",
            jwk("alg", "HS256"),
            UserTokenKeyError::OtherUse,
        ),
        (
            "cut off",
            cut(BackEnd::p256().pem()),
            UserTokenKeyError::Pem,
        ),
        ("other JSON", "{}".to_owned(), UserTokenKeyError::Json),
        (
            "a set of none",
            json!({"keys": []}).to_string(),
            UserTokenKeyError::NoKeys,
        ),
        (
            "cut off JSON",
            cut(BackEnd::p256().jwk.to_string()),
            UserTokenKeyError::Json,
        ),
        (
            "a set for others",
            json!({"keys": [{"kty": "RSA"}]}).to_string(),
            UserTokenKeyError::NoKeys,
        ),
        (
            "a damaged one of a set",
            json!({"keys": [BackEnd::p256().jwk, {"kty": "EC", "crv": "P-256", "x": "AA"}]})
                .to_string(),
            UserTokenKeyError::Unsupported,
        ),
        (
            "a secret in a set",
            json!({"keys": [BackEnd::p256().jwk, {"kty": "oct", "k": "AA"}]}).to_string(),
            UserTokenKeyError::SharedSecret,
        ),
    ];
    for (what, file, expected) in refused {
        let error = UserTokenKey::from_key_file(file.as_bytes()).unwrap_err();
        assert_eq!(error, expected, "{what}");
    }
    let binary = UserTokenKey::from_key_file(&[0x30, 0xff]).unwrap_err();
    assert_eq!(binary, UserTokenKeyError::Unrecognised);
}

#[test]
fn a_private_key_is_refused_whatever_its_label() {
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p256 = p256.to_pkcs8v1().unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    let public = BackEnd::p256();
    let mut jwk = public.jwk.clone();
    jwk["d"] = json!("AAAA");
    for file in [
        armoured("PRIVATE KEY", p256.as_ref()),
        armoured("PRIVATE KEY", ed25519.as_ref()),
        armoured("PUBLIC KEY", p256.as_ref()),
        armoured("PUBLIC KEY", ed25519.as_ref()),
        public.pem() + &armoured("PRIVATE KEY", ed25519.as_ref()),
        public.pem() + &armoured("PUBLIC KEY", p256.as_ref()),
        jwk.to_string(),
        json!({"keys": [public.jwk, jwk]}).to_string(),
    ] {
        let error = UserTokenKey::from_key_file(file.as_bytes()).unwrap_err();
        assert_eq!(error, UserTokenKeyError::PrivateKey);
    }
}
