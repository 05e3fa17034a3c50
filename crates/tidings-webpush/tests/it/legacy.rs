//! `aesgcm` and the authorization that goes with it.

use std::num::NonZeroU16;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tidings_webpush::aesgcm::{self, Parameters, ParametersError};
use tidings_webpush::danger::{FixedKeyPair, FixedRandomness};
use tidings_webpush::verify::{self, VerifyError};
use tidings_webpush::{
    DecryptError, EncryptError, EncryptedPayload, FreshKeyPair, Padding, PublicKeyError,
    PushMessage, PushResource, SystemRandomness, TokenCache, Ttl, Urgency, UserAgentKeys, VapidKey,
};

use crate::vectors::{
    array, auth, cases, load, number, octets, text, user_agent, user_agent_public,
};

const AUDIENCE: &str = "https://push.example.net";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(500_000)
}

fn parameters(case: &Value) -> Parameters {
    let encryption = format!("salt={};rs={}", text(case, "salt"), number(case, "rs"));
    Parameters::parse(&encryption, &format!("dh={}", text(case, "dh"))).unwrap()
}

fn receiver() -> UserAgentKeys {
    UserAgentKeys::generate(&SystemRandomness).unwrap()
}

fn encrypt(keys: &UserAgentKeys, plaintext: &[u8], padding: Padding) -> EncryptedPayload {
    aesgcm::encrypt(
        keys.public_key(),
        keys.auth(),
        plaintext,
        padding,
        &FreshKeyPair,
        &SystemRandomness,
    )
    .unwrap()
}

fn read(payload: &EncryptedPayload) -> Parameters {
    Parameters::parse(payload.encryption().unwrap(), payload.crypto_key().unwrap()).unwrap()
}

fn multiple(step: u16) -> Padding {
    Padding::ToMultipleOf(NonZeroU16::new(step).unwrap())
}

#[test]
fn the_draft_s_example_is_reproduced_octet_for_octet() {
    let vectors = load("legacy-aesgcm.json");
    let case = &cases(&vectors, "webpush")[0];
    let payload = aesgcm::encrypt(
        &user_agent_public(case),
        &auth(case),
        text(case, "plaintext_utf8").as_bytes(),
        Padding::None,
        &FixedKeyPair::from_private(&array(case, "as_private")).unwrap(),
        &FixedRandomness::new(array(case, "salt")),
    )
    .unwrap();
    assert_eq!(payload.body(), &octets(case, "ciphertext"));
    let headers = &case["headers"];
    assert_eq!(
        payload.content_encoding().as_str(),
        text(headers, "Content-Encoding")
    );
    assert_eq!(payload.encryption(), Some(text(headers, "Encryption")));
    assert_eq!(payload.crypto_key(), Some(text(headers, "Crypto-Key")));
}

#[test]
fn messages_of_other_libraries_are_opened() {
    let (legacy, ecec) = (load("legacy-aesgcm.json"), load("ecec-aesgcm.json"));
    let of_legacy = cases(&legacy, "webpush").iter();
    for case in of_legacy.chain(cases(&ecec, "webpush_decrypt_ok")) {
        let opened = aesgcm::decrypt(
            &user_agent(case),
            &parameters(case),
            &octets(case, "ciphertext"),
        );
        let plaintext = text(case, "plaintext_utf8").as_bytes().to_vec();
        assert_eq!(opened, Ok(plaintext), "{case}");
        assert_eq!(user_agent(case).public_key(), &user_agent_public(case));
    }
}

#[test]
fn headers_of_other_libraries_are_read() {
    let vectors = load("ecec-aesgcm.json");
    for list in ["webpush_decrypt_ok", "webpush_decrypt_fail"] {
        for case in cases(&vectors, list) {
            let headers = &case["headers"];
            let read = Parameters::parse(text(headers, "Encryption"), text(headers, "Crypto-Key"));
            assert_eq!(read, Ok(parameters(case)), "{}", text(case, "desc"));
        }
    }
}

#[test]
fn broken_messages_are_refused_for_what_is_broken() {
    let vectors = load("ecec-aesgcm.json");
    for case in cases(&vectors, "webpush_decrypt_fail") {
        let name = text(case, "desc");
        let result = aesgcm::decrypt(
            &user_agent(case),
            &parameters(case),
            &octets(case, "ciphertext"),
        );
        let error = result.unwrap_err();
        let (fits, stage) = match text(&case["error"], "code") {
            "DECRYPT_TRUNCATED" => (error == DecryptError::CutOff { record_size: 7 }, "decrypt"),
            "SHORT_BLOCK" => (
                error == DecryptError::ShortRecord { got: 16, least: 18 },
                "decrypt",
            ),
            // One octet of content has no room for the length, so it is not even decrypted.
            "DECRYPT_PADDING" if name == "Pad size > last block length" => (
                error == DecryptError::ShortRecord { got: 17, least: 18 },
                "decrypt",
            ),
            "DECRYPT_PADDING" if name == "Non-zero padding" => {
                (error == DecryptError::PaddingContent, "padding")
            }
            "DECRYPT_PADDING" => (
                matches!(error, DecryptError::PaddingLength { got, left } if got > left),
                "padding",
            ),
            other => panic!("{name}: no expectation for {other}"),
        };
        assert!(fits, "{name}: {error:?}");
        assert_eq!(error.stage().as_str(), stage, "{name}");
    }
}

#[test]
fn padding_fills_up_to_the_step_and_stops_at_the_limits() {
    // Plaintext length, padding, length of plaintext and padding together.
    let cases = [
        (0, Padding::None, 0),
        (4077, Padding::None, 4077),
        (1, Padding::default(), 128),
        (128, multiple(128), 128),
        (2600, multiple(128), 2640),
        (2640, multiple(128), 2640),
        (2641, multiple(128), 2688),
        (4070, multiple(128), 4077),
        (5, multiple(u16::MAX), 2640),
        (2641, multiple(u16::MAX), 4077),
        (0, Padding::Full, 4077),
        (4077, Padding::Full, 4077),
    ];
    let keys = receiver();
    for (length, padding, padded) in cases {
        let plaintext = vec![b'x'; length];
        let payload = encrypt(&keys, &plaintext, padding);
        assert_eq!(
            payload.body().len(),
            2 + padded + 16,
            "{length} octets, {padding:?}"
        );
        let opened = aesgcm::decrypt(&keys, &read(&payload), payload.body());
        assert_eq!(opened, Ok(plaintext), "{length} octets, {padding:?}");
    }
}

#[test]
fn a_plaintext_over_the_limit_is_refused_with_how_much_is_too_much() {
    let keys = receiver();
    let error = aesgcm::encrypt(
        keys.public_key(),
        keys.auth(),
        &[0; 4087],
        Padding::None,
        &FreshKeyPair,
        &SystemRandomness,
    )
    .unwrap_err();
    let expected = EncryptError::TooLong {
        got: 4087,
        limit: aesgcm::MAX_PLAINTEXT_BYTES,
    };
    assert_eq!(error, expected);
    let message = error.to_string();
    assert!(message.contains("4087 octets, 10 too many"), "{message}");
}

#[test]
fn a_change_of_any_octet_is_noticed() {
    let keys = receiver();
    let payload = encrypt(&keys, b"hello", Padding::None);
    let parameters = read(&payload);
    for position in 0..payload.body().len() {
        let mut changed = payload.body().to_vec();
        changed[position] ^= 0x80;
        let result = aesgcm::decrypt(&keys, &parameters, &changed);
        assert_eq!(
            result,
            Err(DecryptError::Authentication),
            "octet {position}"
        );
    }
    let nothing = aesgcm::decrypt(&keys, &parameters, b"");
    assert_eq!(
        nothing,
        Err(DecryptError::ShortRecord { got: 0, least: 18 })
    );
}

#[test]
fn each_message_has_a_salt_and_a_sender_key_of_its_own() {
    let keys = receiver();
    let first = encrypt(&keys, b"same", Padding::None);
    let second = encrypt(&keys, b"same", Padding::None);
    assert_ne!(first.encryption(), second.encryption());
    assert_ne!(first.crypto_key(), second.crypto_key());
    assert_ne!(first.body(), second.body());
}

#[test]
fn salts_and_keys_of_another_length_are_refused() {
    let good = encrypt(&receiver(), b"", Padding::None);
    let (salt, key) = (good.encryption().unwrap(), good.crypto_key().unwrap());
    assert!(Parameters::parse(salt, key).is_ok());
    assert_eq!(
        Parameters::parse("salt=AAAA", key),
        Err(ParametersError::SaltLength { got: 3 })
    );
    assert_eq!(
        Parameters::parse(salt, "dh=AAAA"),
        Err(ParametersError::SenderKey(PublicKeyError::Length {
            got: 3
        }))
    );
    assert_eq!(
        Parameters::parse(salt, "p256ecdsa=AAAA"),
        Err(ParametersError::NoSenderKey)
    );
}

#[test]
fn headers_split_over_lines_are_read_as_one() {
    let payload = encrypt(&receiver(), b"", Padding::None);
    let mut headers = HeaderMap::new();
    assert_eq!(
        Parameters::from_headers(&headers),
        Err(ParametersError::Encryption)
    );
    let value = |text: Option<&str>| HeaderValue::from_str(text.unwrap()).unwrap();
    headers.insert("Encryption", value(payload.encryption()));
    assert_eq!(
        Parameters::from_headers(&headers),
        Err(ParametersError::CryptoKey)
    );
    headers.append("Crypto-Key", HeaderValue::from_static("p256ecdsa=AAAA"));
    headers.append("Crypto-Key", value(payload.crypto_key()));
    assert_eq!(Parameters::from_headers(&headers), Ok(read(&payload)));
}

/// A push message as a push service gets it.
fn request(key: &VapidKey, payload: EncryptedPayload) -> http::Request<bytes::Bytes> {
    let resource = PushResource::parse("https://push.example.net/x").unwrap();
    let token = TokenCache::new(None).token(key, &resource, now()).unwrap();
    let request = PushMessage {
        resource: &resource,
        payload: Some(payload.with_vapid_key(key.public_key())),
        ttl: Ttl::from_secs(60).unwrap(),
        urgency: Urgency::Normal,
        topic: None,
        authorization: token.legacy_authorization(),
    };
    request.into_request().unwrap()
}

#[test]
fn a_legacy_message_is_authorized_and_opened_from_its_headers() {
    let (key, keys) = (VapidKey::generate().unwrap(), receiver());
    let payload = encrypt(&keys, b"I am the walrus", Padding::None);
    let dh = payload.crypto_key().unwrap().to_owned();
    let request = request(&key, payload);
    let headers = request.headers();

    assert_eq!(headers["content-encoding"], "aesgcm");
    assert!(headers["authorization"].is_sensitive());
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("WebPush eyJ"), "{authorization}");
    // One list element: a comma would begin another key.
    let public_key = key.public_key().to_base64url();
    assert_eq!(
        headers["crypto-key"],
        format!("{dh};p256ecdsa={public_key}")
    );

    let verified = verify::request(headers, AUDIENCE, now()).unwrap();
    assert_eq!(&verified.public_key, key.public_key());
    assert_eq!(verified.expires_at, now() + Duration::from_hours(12));
    let parameters = Parameters::from_headers(headers).unwrap();
    let opened = aesgcm::decrypt(&keys, &parameters, request.body());
    assert_eq!(opened.as_deref(), Ok(&b"I am the walrus"[..]));
}

#[test]
fn the_draft_s_key_header_may_stand_beside_the_new_encoding() {
    let key = VapidKey::generate().unwrap();
    let request = request(&key, EncryptedPayload::aes128gcm(&b"encrypted"[..]));
    assert!(!request.headers().contains_key("encryption"));
    assert!(verify::request(request.headers(), AUDIENCE, now()).is_ok());
}

#[test]
fn every_scheme_of_a_token_is_verified_and_others_are_refused() {
    let key = VapidKey::generate().unwrap();
    let token = key
        .sign(AUDIENCE, None, now() + Duration::from_hours(1))
        .unwrap();
    let legacy = token.legacy_authorization();
    let jwt = legacy.to_str().unwrap().strip_prefix("WebPush ").unwrap();
    let k = key.public_key().to_base64url();
    let other = VapidKey::generate().unwrap().public_key().to_base64url();
    let check = |authorization: &str, crypto_key: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert(
            "authorization",
            HeaderValue::from_str(authorization).unwrap(),
        );
        if let Some(crypto_key) = crypto_key {
            headers.insert("crypto-key", HeaderValue::from_str(crypto_key).unwrap());
        }
        verify::request(&headers, AUDIENCE, now()).map(|verified| verified.public_key)
    };

    let with_key = format!("dh=AAAA;p256ecdsa={k}");
    for scheme in ["WebPush", "webpush", "Bearer", "BEARER "] {
        for crypto_key in [&with_key, &format!("keyid=a;dh=AAAA, p256ecdsa=\"{k}\"")] {
            let result = check(&format!("{scheme} {jwt}"), Some(crypto_key));
            assert_eq!(
                result.as_ref(),
                Ok(key.public_key()),
                "{scheme} {crypto_key}"
            );
        }
    }
    assert!(check(&format!("vapid t={jwt},k={k}"), None).is_ok());

    let cases = [
        (format!("WebPush {jwt}"), None, VerifyError::CryptoKey),
        (
            format!("WebPush {jwt}"),
            Some("dh=AAAA"),
            VerifyError::CryptoKey,
        ),
        (
            format!("WebPush {jwt}"),
            Some("p256ecdsa="),
            VerifyError::CryptoKey,
        ),
        (
            format!("WebPush {jwt}"),
            Some("p256ecdsa=AAAA"),
            VerifyError::PublicKey(PublicKeyError::Length { got: 3 }),
        ),
        (
            format!("WebPush {jwt}x"),
            Some(&*with_key),
            VerifyError::TokenForm,
        ),
        (
            format!("Basic {jwt}"),
            Some(&*with_key),
            VerifyError::Scheme,
        ),
        (String::new(), Some(&*with_key), VerifyError::Missing),
        (
            format!("vapid t={jwt}"),
            Some(&*with_key),
            VerifyError::Parameters,
        ),
    ];
    for (authorization, crypto_key, expected) in cases {
        let result = check(&authorization, crypto_key);
        assert_eq!(result, Err(expected), "{authorization} {crypto_key:?}");
    }
    let of_other = format!("p256ecdsa={other}");
    assert_eq!(
        check(&format!("WebPush {jwt}"), Some(&of_other)),
        Err(VerifyError::Signature)
    );
}

#[test]
fn a_request_has_one_authorization() {
    let mut headers = HeaderMap::new();
    let check = |headers: &HeaderMap| verify::request(headers, AUDIENCE, now()).unwrap_err();
    assert_eq!(check(&headers), VerifyError::Missing);
    let token = VapidKey::generate()
        .unwrap()
        .sign(AUDIENCE, None, now() + Duration::from_hours(1))
        .unwrap();
    headers.append("authorization", token.authorization());
    assert!(verify::request(&headers, AUDIENCE, now()).is_ok());
    headers.append("authorization", token.authorization());
    assert_eq!(check(&headers), VerifyError::Repeated);
}
