//! Vectors below the public functions: records without Diffie-Hellman, messages of which the
//! sender's half is known, and headers with short stand-ins for keys.

use serde_json::Value;

use super::headers::Octets;
use super::open::open;
use super::{DEFAULT_RECORD_SIZE, ParametersError, RecordKeys};
use crate::danger::FixedKeyPair;
use crate::{
    AuthSecret, DecryptError, KeyAgreementSource as _, PublicKeyError, UserAgentPublicKey,
    base64url,
};

const LEGACY: &str = include_str!("../../tests/vectors/legacy-aesgcm.json");
const ECEC: &str = include_str!("../../tests/vectors/ecec-aesgcm.json");
const HEADERS: &str = include_str!("../../tests/vectors/ecec-aesgcm-headers.json");

fn cases(file: &str, list: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(file).unwrap();
    let cases = vectors[list].as_array().unwrap();
    assert!(!cases.is_empty(), "{list} is empty");
    cases.clone()
}

fn text<'a>(case: &'a Value, member: &str) -> &'a str {
    case[member].as_str().unwrap()
}

fn octets(case: &Value, member: &str) -> Vec<u8> {
    base64url::decode_strict(text(case, member)).unwrap()
}

fn record_size(case: &Value) -> u32 {
    case["rs"].as_u64().unwrap().try_into().unwrap()
}

#[test]
fn messages_with_an_explicit_key_are_opened() {
    for case in cases(LEGACY, "explicit_key") {
        let keys = RecordKeys::derive(&octets(&case, "key"), b"", &octets(&case, "salt")).unwrap();
        let opened = open(&keys, record_size(&case), &octets(&case, "ciphertext")).unwrap();
        assert_eq!(
            opened,
            text(&case, "plaintext_utf8").as_bytes(),
            "{}",
            text(&case, "id")
        );
    }
}

/// The receivers' private keys were never published, but both sides derive the same.
#[test]
fn messages_of_other_senders_are_opened_from_the_senders_side() {
    for case in cases(ECEC, "webpush_encrypt") {
        let receiver = UserAgentPublicKey::from_bytes(&octets(&case, "ua_public")).unwrap();
        let scalar = octets(&case, "as_private").try_into().unwrap();
        let agreement = FixedKeyPair::from_private(&scalar)
            .unwrap()
            .agree(&receiver)
            .unwrap();
        let keys = RecordKeys::agreed(
            agreement.shared_secret(),
            &AuthSecret::parse(text(&case, "auth")).unwrap(),
            receiver.as_bytes(),
            agreement.sender_public(),
            &octets(&case, "salt").try_into().unwrap(),
        )
        .unwrap();
        let opened = open(&keys, record_size(&case), &octets(&case, "ciphertext")).unwrap();
        assert_eq!(
            opened,
            text(&case, "plaintext_utf8").as_bytes(),
            "{}",
            text(&case, "desc")
        );
    }
}

#[test]
fn a_message_that_lost_its_last_records_is_noticed() {
    let cases = cases(LEGACY, "explicit_key");
    let case = cases.iter().find(|case| record_size(case) == 10).unwrap();
    let keys = RecordKeys::derive(&octets(case, "key"), b"", &octets(case, "salt")).unwrap();
    let body = octets(case, "ciphertext");
    assert_eq!(
        open(&keys, 10, &body[..26]),
        Err(DecryptError::CutOff { record_size: 10 })
    );
    let swapped = [&body[26..52], &body[..26], &body[52..]].concat();
    assert_eq!(open(&keys, 10, &swapped), Err(DecryptError::Authentication));
}

#[test]
fn header_pairs_are_read() {
    for case in cases(HEADERS, "ok") {
        let headers = &case["headers"];
        let read = Octets::parse(text(headers, "Encryption"), text(headers, "Crypto-Key"));
        let expected = Octets {
            salt: octets(&case, "salt"),
            record_size: record_size(&case),
            sender_key: octets(&case, "dh"),
        };
        assert_eq!(read, Ok(expected), "{headers}");
    }
}

#[test]
fn broken_header_pairs_are_refused_for_what_is_broken() {
    for case in cases(HEADERS, "fail") {
        let headers = &case["headers"];
        let error =
            Octets::parse(text(headers, "Encryption"), text(headers, "Crypto-Key")).unwrap_err();
        let expected: &[ParametersError] = match text(&case, "error") {
            "INVALID_RS" => &[ParametersError::RecordSize],
            "INVALID_SALT" => &[ParametersError::Salt],
            "INVALID_DH" => &[
                ParametersError::NoSenderKey,
                ParametersError::SenderKey(PublicKeyError::Base64),
            ],
            "INVALID_ENCRYPTION_HEADER" => &[ParametersError::Encryption],
            "INVALID_CRYPTO_KEY_HEADER" => &[ParametersError::CryptoKey],
            other => panic!("no expectation for {other}"),
        };
        assert!(
            expected.contains(&error),
            "{}: {error}",
            text(&case, "desc")
        );
    }
}

#[test]
fn record_sizes_are_read_or_refused() {
    let read = |rs: &str| {
        Octets::parse(&format!("salt=AAAA;rs={rs}"), "dh=AAAA").map(|octets| octets.record_size)
    };
    assert_eq!(read("3"), Ok(3));
    assert_eq!(read("4294967295"), Ok(u32::MAX));
    for refused in ["0", "1", "2", "4294967296", "-1", "x", "1_0"] {
        assert_eq!(read(refused), Err(ParametersError::RecordSize), "{refused}");
    }
    let none = Octets::parse("salt=AAAA", "dh=AAAA").unwrap();
    assert_eq!(none.record_size, DEFAULT_RECORD_SIZE);
}
