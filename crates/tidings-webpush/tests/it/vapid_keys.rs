use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tidings_webpush::{KeyFileError, PrivateKeyError, VapidKey, VapidPublicKey};

use crate::vectors::{array, cases, decode, load, octets, text};

fn set(id: &str) -> Value {
    let vectors = load("vapid-keys.json");
    cases(&vectors, "sets")
        .iter()
        .find(|set| text(set, "id") == id)
        .unwrap()
        .clone()
}

fn read(file: impl AsRef<[u8]>) -> Result<VapidKey, KeyFileError> {
    VapidKey::from_key_file(file.as_ref())
}

fn refusal(file: impl AsRef<[u8]>) -> KeyFileError {
    read(file).unwrap_err()
}

/// Every spelling of one set, by name.
fn forms(set: &Value) -> Vec<(String, Vec<u8>)> {
    let mut forms = Vec::new();
    let mut add = |name: &str, file: Vec<u8>| forms.push((name.to_owned(), file));
    for name in [
        "private_raw",
        "sec1_pem",
        "sec1_pem_with_parameters",
        "sec1_pem_crlf",
        "pkcs8_pem",
        "mislabelled_pem",
        "sec1_der_base64",
        "pkcs8_der_base64",
    ] {
        add(name, text(set, name).into());
    }
    for name in ["sec1_der_base64", "pkcs8_der_base64"] {
        let der = BASE64_STANDARD.decode(text(set, name)).unwrap();
        add(&format!("{name}, binary"), der.clone());
        let url_safe = crate::vectors::encode(&der);
        add(
            &format!("{name}, URL-safe, in lines"),
            format!("{}\n{}\n", &url_safe[..64], &url_safe[64..]).into(),
        );
    }
    let raw = octets(set, "private_raw");
    add(
        "private_raw, padded, line end",
        format!("{}=\n", text(set, "private_raw")).into(),
    );
    add(
        "private_raw, standard alphabet",
        BASE64_STANDARD.encode(&raw).into(),
    );
    if set["private_stripped"].is_string() {
        add("private_stripped", text(set, "private_stripped").into());
    }
    add("jwk", set["jwk"].to_string().into());
    let without_public = json!({"kty": "EC", "crv": "P-256", "d": set["jwk"]["d"]});
    add("jwk without public key", without_public.to_string().into());
    let pair = json!({"publicKey": set["public_raw"], "privateKey": set["private_raw"]});
    add("json pair", pair.to_string().into());
    let both = format!("{}{}", text(set, "public_spki_pem"), text(set, "pkcs8_pem"));
    add("public and private key in one file", both.into());
    add(
        "byte order mark",
        format!("\u{feff}{}", text(set, "pkcs8_pem")).into(),
    );
    forms
}

#[test]
fn every_form_of_a_key_is_read_as_the_same_key() {
    let vectors = load("vapid-keys.json");
    for set in cases(&vectors, "sets") {
        let public = VapidPublicKey::parse(text(set, "public_raw")).unwrap();
        for (form, file) in forms(set) {
            let name = format!("{}: {form}", text(set, "id"));
            let key = read(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(key.public_key(), &public, "{name}");
            assert_eq!(*key.to_raw_base64url(), text(set, "private_raw"), "{name}");
        }
    }
}

#[test]
fn keys_are_written_as_openssl_writes_them() {
    let vectors = load("vapid-keys.json");
    for set in cases(&vectors, "sets") {
        let key = VapidKey::from_raw(&array(set, "private_raw")).unwrap();
        assert_eq!(
            *key.to_sec1_pem(),
            text(set, "sec1_pem"),
            "{}",
            text(set, "id")
        );
        assert_eq!(
            *key.to_pkcs8_pem(),
            text(set, "pkcs8_pem"),
            "{}",
            text(set, "id")
        );
        assert_eq!(
            BASE64_STANDARD.encode(&*key.to_sec1_der()),
            text(set, "sec1_der_base64")
        );
        assert_eq!(
            BASE64_STANDARD.encode(&*key.to_pkcs8_der()),
            text(set, "pkcs8_der_base64")
        );
        assert_eq!(*key.to_raw_base64url(), text(set, "private_raw"));

        let public = key.public_key();
        assert_eq!(public.to_base64url(), text(set, "public_raw"));
        assert_eq!(public.to_spki_pem(), text(set, "public_spki_pem"));
        assert_eq!(
            BASE64_STANDARD.encode(public.to_spki_der()),
            text(set, "public_spki_der_base64")
        );
    }
}

#[test]
fn keys_are_written_as_json_web_keys() {
    let vectors = load("vapid-keys.json");
    for set in cases(&vectors, "sets") {
        let key = VapidKey::from_raw(&array(set, "private_raw")).unwrap();
        let jwk: Value = serde_json::from_str(&key.to_jwk()).unwrap();
        assert_eq!(jwk, set["jwk"], "{}", text(set, "id"));

        let mut expected = set["jwk"].clone();
        expected.as_object_mut().unwrap().remove("d");
        let jwk: Value = serde_json::from_str(&key.public_key().to_jwk()).unwrap();
        assert_eq!(jwk, expected, "{}", text(set, "id"));
        assert_eq!(refusal(jwk.to_string()), KeyFileError::PublicKey);
    }
}

/// Growth would leave copies of the key behind that nothing zeroizes.
#[test]
fn a_key_is_written_without_growing() {
    let key = VapidKey::generate().unwrap();
    assert_eq!(key.to_jwk().capacity(), 192);
    assert_eq!(key.to_pkcs8_der().capacity(), 138);
    assert_eq!(key.to_sec1_der().capacity(), 138);
    assert_eq!(key.to_pkcs8_pem().capacity(), 2 * 138 + 128);
    assert_eq!(key.to_sec1_pem().capacity(), 2 * 121 + 128);
}

#[test]
fn a_generated_key_survives_writing_and_reading() {
    let key = VapidKey::generate().unwrap();
    for file in [
        key.to_sec1_pem(),
        key.to_pkcs8_pem(),
        key.to_raw_base64url(),
        key.to_jwk(),
    ] {
        let again = read(&*file).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        assert_eq!(again.to_raw_base64url(), key.to_raw_base64url());
    }
    for file in [key.to_sec1_der(), key.to_pkcs8_der()] {
        assert_eq!(read(&*file).unwrap().public_key(), key.public_key());
    }
    assert_ne!(VapidKey::generate().unwrap().public_key(), key.public_key());
}

#[test]
fn files_without_a_usable_key_are_refused_with_what_to_do() {
    let vectors = load("vapid-keys.json");
    for case in cases(&vectors, "reject") {
        let id = text(case, "id");
        let (expected, hint) = match id {
            "p384-sec1-pem" | "p384-pkcs8-pem" => (
                KeyFileError::Curve { got: "P-384" },
                "VAPID needs P-256: make a new one",
            ),
            "secp256k1-pkcs8-pem" => (
                KeyFileError::Curve { got: "secp256k1" },
                "VAPID needs P-256: make a new one",
            ),
            "encrypted-pkcs8-pem" => (KeyFileError::Encrypted, "decrypt it first"),
            "public-pem-as-private" | "raw-public-as-private" => {
                (KeyFileError::PublicKey, "give the private key")
            }
            "parameters-only" => (KeyFileError::ParametersOnly, "-genkey"),
            "raw-zero" | "raw-order" => (
                KeyFileError::PrivateKey(PrivateKeyError),
                "not a private key of P-256",
            ),
            "raw-too-long" => (KeyFileError::Length { got: 33 }, "43 characters"),
            other => panic!("no expectation for {other}"),
        };
        let error = refusal(text(case, "value"));
        assert_eq!(error, expected, "{id}");
        assert!(error.to_string().contains(hint), "{id}: {error}");
    }
}

#[test]
fn halves_of_different_keys_are_refused() {
    let vectors = load("vapid-keys.json");
    for case in cases(&vectors, "reject_pairs") {
        let id = text(case, "id");
        let public = VapidPublicKey::parse(text(case, "public_raw")).unwrap();
        let pair = VapidKey::from_raw_pair(&array(case, "private_raw"), &public);
        assert_eq!(pair.unwrap_err(), KeyFileError::MismatchedPair, "{id}");

        let point = octets(case, "public_raw");
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "d": case["private_raw"],
            "x": crate::vectors::encode(&point[1..33]),
            "y": crate::vectors::encode(&point[33..]),
        });
        assert_eq!(
            refusal(jwk.to_string()),
            KeyFileError::MismatchedPair,
            "{id} as JWK"
        );
        let json = json!({"privateKey": case["private_raw"], "publicKey": case["public_raw"]});
        assert_eq!(
            refusal(json.to_string()),
            KeyFileError::MismatchedPair,
            "{id} as JSON"
        );

        for member in ["sec1_der_base64", "pkcs8_der_base64"] {
            let mut der = BASE64_STANDARD
                .decode(text(&set("py-vapid"), member))
                .unwrap();
            let start = der.len() - point.len();
            der[start..].copy_from_slice(&point);
            assert_eq!(refusal(der), KeyFileError::Damaged, "{id} in {member}");
        }
    }
}

#[test]
fn other_files_are_refused_with_what_they_are() {
    let set = set("interaso");
    let pem = text(&set, "pkcs8_pem");
    let raw = octets(&set, "private_raw");
    let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    let ed25519 = pem::encode(&pem::Pem::new("PRIVATE KEY", ed25519.as_ref()));
    let legacy_encrypted = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
        DEK-Info: AES-128-CBC,6CF9B5A9A1B4F4D5\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
    let jwk = |change: Value| {
        let mut jwk = set["jwk"].clone();
        for (member, value) in change.as_object().unwrap() {
            jwk[member] = value.clone();
        }
        jwk.to_string()
    };
    let cases: Vec<(&str, String, KeyFileError)> = vec![
        ("empty", String::new(), KeyFileError::Empty),
        ("white space", "\u{feff} \r\n".into(), KeyFileError::Empty),
        ("prose", "my key".into(), KeyFileError::Unrecognised),
        ("no end", pem[..100].into(), KeyFileError::Pem),
        (
            "broken base64",
            pem.replacen("MIGH", "M!GH", 1),
            KeyFileError::Pem,
        ),
        (
            "cut base64",
            pem.replacen("MIGH", "", 1),
            KeyFileError::Unrecognised,
        ),
        // Three empty members: what is signed, the algorithm, the signature.
        (
            "certificate",
            "-----BEGIN CERTIFICATE-----\nMAcwADAAAwEA\n-----END CERTIFICATE-----".into(),
            KeyFileError::PublicKey,
        ),
        (
            "two keys",
            format!("{pem}{}", text(&set, "sec1_pem")),
            KeyFileError::SeveralKeys,
        ),
        ("Ed25519", ed25519, KeyFileError::NotEllipticCurve),
        (
            "RSA JWK",
            jwk(json!({"kty": "RSA"})),
            KeyFileError::NotEllipticCurve,
        ),
        (
            "P-384 JWK",
            jwk(json!({"crv": "P-384"})),
            KeyFileError::Curve { got: "P-384" },
        ),
        (
            "public JWK",
            jwk(json!({"d": null})),
            KeyFileError::PublicKey,
        ),
        (
            "JWK without kty",
            jwk(json!({"kty": null})),
            KeyFileError::Json,
        ),
        ("JSON of something else", "{}".into(), KeyFileError::Json),
        ("broken JSON", "{\"kty\":".into(), KeyFileError::Json),
        (
            "legacy encryption",
            legacy_encrypted.into(),
            KeyFileError::Encrypted,
        ),
        (
            "auth secret",
            crate::vectors::encode(&raw[..16]),
            KeyFileError::Length { got: 16 },
        ),
        (
            "public DER",
            text(&set, "public_spki_der_base64").into(),
            KeyFileError::PublicKey,
        ),
    ];
    for (name, file, expected) in cases {
        assert_eq!(refusal(file), expected, "{name}");
    }
}

#[test]
fn der_with_anything_behind_it_is_refused() {
    let set = set("interaso");
    for member in ["sec1_der_base64", "pkcs8_der_base64"] {
        let mut der = BASE64_STANDARD.decode(text(&set, member)).unwrap();
        der.push(0);
        assert_eq!(refusal(&der), KeyFileError::Unrecognised, "{member}");
        der.truncate(der.len() - 2);
        assert_eq!(refusal(&der), KeyFileError::Unrecognised, "{member}, cut");
    }
}

/// Older tools wrote the scalar into SEC1 without its leading zeros.
#[test]
fn a_structure_with_a_shortened_scalar_is_read() {
    let set = set("leading-zero");
    let mut der = vec![0x30, 0x30, 2, 1, 1, 4, 31];
    der.extend(octets(&set, "private_stripped"));
    der.extend(decode("oAoGCCqGSM49AwEH"));
    assert_eq!(usize::from(der[1]), der.len() - 2);
    assert_eq!(
        *read(der).unwrap().to_raw_base64url(),
        text(&set, "private_raw")
    );
}

#[test]
fn errors_do_not_repeat_the_file() {
    for file in [
        "c2VjcmV0LXNlY3JldA",
        "{\"d\":\"secret-secret\"}",
        "secret-secret!",
    ] {
        let shown = format!("{0} {0:?}", refusal(file));
        assert!(
            !shown.contains("secret") && !shown.contains("c2Vj"),
            "{shown}"
        );
    }
}

#[test]
fn debug_output_of_a_key_is_its_type() {
    let set = set("py-vapid");
    let key = read(text(&set, "private_raw")).unwrap();
    assert_eq!(format!("{key:?} {:?}", key.clone()), "VapidKey VapidKey");
}

#[test]
fn a_raw_key_may_look_like_the_beginning_of_a_pem_file() {
    let raw = format!("-----BEGIN{}", "A".repeat(33));
    let key = VapidKey::from_key_file(raw.as_bytes()).unwrap();
    assert_eq!(*key.to_raw_base64url(), raw);
}
