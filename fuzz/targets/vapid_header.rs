//! VAPID in every scheme. Even first octet: `Authorization` and `Crypto-Key`, one in each line.
//! Odd: JOSE header and claims, one in each line, which are signed so that they are read.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use tidings_webpush::verify::{self, VerifyError};

const AUDIENCE: &str = "https://push.example.net";

/// An hour before the token of RFC 8292 §2.4 expires.
const NOW_SECONDS: u64 = 1_453_520_168;

static KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a working system")
});

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else {
        return;
    };
    let position = rest.iter().position(|octet| *octet == b'\n');
    let (first, second) = rest.split_at(position.unwrap_or(rest.len()));
    let second = second.strip_prefix(b"\n").unwrap_or_default();
    if mode % 2 == 0 {
        headers(first, second);
    } else {
        token(first, second);
    }
});

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW_SECONDS)
}

fn headers(authorization: &[u8], crypto_key: &[u8]) {
    let (Ok(authorization), Ok(crypto_key)) = (
        HeaderValue::from_bytes(authorization),
        HeaderValue::from_bytes(crypto_key),
    ) else {
        return;
    };
    let alone = verify::authorization(&authorization, AUDIENCE, now());
    let mut headers = HeaderMap::new();
    headers.insert("authorization", authorization);
    headers.insert("crypto-key", crypto_key);
    let request = verify::request(&headers, AUDIENCE, now());
    // The header of the draft changes nothing for the scheme of the RFC.
    assert!(alone == request || alone == Err(VerifyError::Scheme));
}

fn token(jose: &[u8], claims: &[u8]) {
    let signed = format!("{}.{}", BASE64URL.encode(jose), BASE64URL.encode(claims));
    let signature = KEY
        .sign(&SystemRandom::new(), signed.as_bytes())
        .expect("a working system");
    let header = format!(
        "vapid t={signed}.{}, k={}",
        BASE64URL.encode(signature),
        BASE64URL.encode(KEY.public_key()),
    );
    let header = HeaderValue::try_from(header).expect("base64url and punctuation");
    let result = verify::authorization(&header, AUDIENCE, now());
    assert_ne!(result, Err(VerifyError::Signature));
    if let Ok(verified) = result {
        let left = verified
            .expires_at
            .duration_since(now())
            .expect("not expired");
        assert!(left <= Duration::from_hours(24));
    }
}
