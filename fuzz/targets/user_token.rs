//! User tokens and the files of their keys. First octet 0: a token as it comes. 1: header and
//! claims, one in each line, which are signed so that they are read. Else: a key file.

#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;
use tidings_core::application::ApplicationName;
use tidings_core::clock::Timestamp;
use tidings_core::subscription::UserId;
use tidings_core::user_token::{UserToken, UserTokenError, UserTokenKey, UserTokenKeys};

const SECRET: &str = "a secret of at least thirty-two octets";

/// An hour before the token of RFC 8292 §2.4 expires.
const NOW_SECONDS: i64 = 1_453_520_168;

/// The secret, and a public key to be told from it: the user agent's of RFC 8291 §5.
static KEYS: LazyLock<UserTokenKeys> = LazyLock::new(|| {
    let public = UserTokenKey::from_key_file(
        br#"{"kty":"EC","crv":"P-256","kid":"a",
            "x":"JXGyvs3942BVGq8e0PTNNmwRzr5VX4m8t7GGpTM5FzE",
            "y":"aOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"}"#,
    );
    let secret = UserTokenKey::from_secret(SECRET).expect("it is long enough");
    let all = public.expect("a key").into_iter().chain([secret]);
    UserTokenKeys::new(all).expect("two keys")
});

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else {
        return;
    };
    match mode {
        0 => {
            let text = String::from_utf8_lossy(rest);
            // The secret is in the source, so a token that is good could be in the corpus; its
            // claims are checked by mode 1.
            let _ = verify(&text);
        }
        1 => signed(rest),
        _ => {
            let _ = UserTokenKey::from_key_file(rest);
        }
    }
});

fn verify(token: &str) -> Option<Result<UserId, UserTokenError>> {
    let application = ApplicationName::parse("default").expect("a plain name");
    let now = Timestamp::from_millis(NOW_SECONDS * 1000);
    let token = UserToken::parse(token)?;
    Some(KEYS.verify(&token, &application, now))
}

fn signed(input: &[u8]) {
    let position = input.iter().position(|octet| *octet == b'\n');
    let (header, claims) = input.split_at(position.unwrap_or(input.len()));
    let claims = claims.strip_prefix(b"\n").unwrap_or_default();
    let message = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    let Some(Ok(user)) = verify(&format!("{message}.{}", BASE64URL.encode(tag))) else {
        return;
    };
    // What was taken says so in other words as well.
    let (Some(header), Some(claims)) = (values(header), values(claims)) else {
        return;
    };
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("crit").is_none());
    assert_eq!(claims["sub"], user.as_str());
    let audience = Value::from("tidings:default");
    let audiences = claims["aud"].as_array();
    assert!(claims["aud"] == audience || audiences.is_some_and(|all| all.contains(&audience)));
    let now = NOW_SECONDS as f64;
    let expires_at = claims["exp"].as_f64().expect("a number");
    assert!((now - 60.0..=now + 86_460.001).contains(&expires_at));
    for name in ["nbf", "iat"] {
        assert!(claims[name].as_f64().is_none_or(|at| at <= now + 60.001));
    }
}

/// The values of a part that was taken, which is JSON in UTF-8. `None` if one that nobody asked for
/// is a number too large, or half a surrogate pair: the grammar has them, [`Value`] does not.
fn values(part: &[u8]) -> Option<Value> {
    let text = str::from_utf8(part).expect("UTF-8, as all JSON is");
    let _: IgnoredAny = serde_json::from_str(text).expect("JSON");
    serde_json::from_str(text).ok()
}
