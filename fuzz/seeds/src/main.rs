//! Writes the published test vectors into `corpus/`, as inputs to begin from.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

fn main() -> io::Result<()> {
    let vectors =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/tidings-webpush/tests/vectors");
    let load = |name: &str| -> io::Result<Value> {
        Ok(serde_json::from_slice(&fs::read(vectors.join(name))?)?)
    };
    subscriptions(&load("endpoints.json")?, &load("subscription-keys.json")?)?;
    bodies(&load("edge-aes128gcm.json")?)?;
    legacy(
        &load("ecec-aesgcm.json")?,
        &load("ecec-aesgcm-headers.json")?,
    )?;
    tokens(&load("vapid-rfc8292.json")?)?;
    key_files(&load("vapid-keys.json")?)?;
    waits()?;
    user_tokens(&load("vapid-keys.json")?)?;
    messages()
}

fn write(target: &str, name: &str, input: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    fs::write(folder.join(format!("seed-{name}")), input)
}

/// Every string below `value`.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().expect("a list")
}

fn octets(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("base64url");
    BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

fn subscriptions(endpoints: &Value, keys: &Value) -> io::Result<()> {
    let json = |endpoint: &str, p256dh: &str, auth: &str| {
        let keys = serde_json::json!({"p256dh": p256dh, "auth": auth});
        serde_json::json!({"endpoint": endpoint, "expirationTime": null, "keys": keys}).to_string()
    };
    const KEY: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
    let urls = strings(endpoints)
        .into_iter()
        .filter(|text| text.contains(':'));
    for (index, url) in urls.enumerate() {
        write(
            "subscription_json",
            &format!("url-{index}"),
            json(url, KEY, AUTH).as_bytes(),
        )?;
    }
    for (index, text) in strings(keys).into_iter().enumerate() {
        let endpoint = "https://fcm.googleapis.com/fcm/send/x";
        write(
            "subscription_json",
            &format!("key-{index}"),
            json(endpoint, text, AUTH).as_bytes(),
        )?;
        write(
            "subscription_json",
            &format!("auth-{index}"),
            json(endpoint, KEY, text).as_bytes(),
        )?;
    }
    Ok(())
}

fn bodies(edge: &Value) -> io::Result<()> {
    for case in list(edge, "ok").iter().chain(list(edge, "fail")) {
        let name = case["id"].as_str().expect("a name");
        write(
            "aes128gcm_body",
            name,
            &[&[0], &*octets(&case["body"])].concat(),
        )?;
    }
    write("aes128gcm_body", "sealed", b"\x01When I grow up\x02\0\0\0")
}

fn legacy(ecec: &Value, headers: &Value) -> io::Result<()> {
    for (index, case) in list(ecec, "webpush_decrypt_ok").iter().enumerate() {
        write(
            "aesgcm_body",
            &index.to_string(),
            &[&[0, 24], &*octets(&case["ciphertext"])].concat(),
        )?;
    }
    write(
        "aesgcm_body",
        "sealed",
        b"\x10\0\0\x03\0\0\0I am the walrus",
    )?;
    write(
        "aesgcm_body",
        "records",
        b"\0\x06\0\0I am\0\x02\0\0 t\0\0he",
    )?;
    let cases = list(headers, "ok").iter().chain(list(headers, "fail"));
    let complete = list(ecec, "webpush_decrypt_ok").iter();
    for (index, case) in cases.chain(complete).enumerate() {
        let headers = &case["headers"];
        let text = |name: &str| headers[name].as_str().expect("a header").to_owned();
        let input = format!("{}\n{}", text("Encryption"), text("Crypto-Key"));
        write("aesgcm_headers", &index.to_string(), input.as_bytes())?;
    }
    Ok(())
}

fn tokens(rfc: &Value) -> io::Result<()> {
    let authorization = rfc["authorization"].as_str().expect("a header");
    write(
        "vapid_header",
        "rfc",
        format!("\0{authorization}").as_bytes(),
    )?;
    let parameters = authorization.split_once(' ').expect("a scheme").1;
    let value = |name: &str| {
        let mut parameters = parameters.split(',').map(str::trim);
        parameters
            .find_map(|parameter| parameter.strip_prefix(name))
            .expect("a parameter")
    };
    let legacy = format!(
        "\0WebPush {}\nkeyid=a;dh=AAAA;p256ecdsa={}",
        value("t="),
        value("k=")
    );
    write("vapid_header", "legacy", legacy.as_bytes())?;
    let text = |name: &str| rfc[name].as_str().expect("a text");
    let token = format!(
        "\x01{}\n{}",
        text("header_json_utf8"),
        text("claims_json_utf8")
    );
    write("vapid_header", "claims", token.as_bytes())
}

fn key_files(keys: &Value) -> io::Result<()> {
    for (index, text) in strings(keys).into_iter().enumerate() {
        write("key_file", &index.to_string(), text.as_bytes())?;
        if let Ok(der) = BASE64_STANDARD.decode(text) {
            write("key_file", &format!("{index}-der"), &der)?;
        }
    }
    for (index, set) in list(keys, "sets").iter().enumerate() {
        write(
            "key_file",
            &format!("jwk-{index}"),
            set["jwk"].to_string().as_bytes(),
        )?;
        let pair =
            serde_json::json!({"publicKey": set["public_raw"], "privateKey": set["private_raw"]});
        write(
            "key_file",
            &format!("pair-{index}"),
            pair.to_string().as_bytes(),
        )?;
    }
    Ok(())
}

fn waits() -> io::Result<()> {
    let headers = [
        "120",
        "0",
        "99999999999999999999",
        "Wed, 21 Oct 2026 07:30:00 GMT",
        "Wednesday, 21-Oct-26 07:30:00 GMT",
        "Wed Oct 21 07:30:00 2026",
    ];
    for (index, header) in headers.into_iter().enumerate() {
        let input = [&1_792_567_680_u64.to_be_bytes(), header.as_bytes()].concat();
        write("retry_after", &index.to_string(), &input)?;
    }
    Ok(())
}

fn user_tokens(keys: &Value) -> io::Result<()> {
    // RFC 7515, appendix A.1.
    let token = concat!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    );
    write("user_token", "rfc", format!("\0{token}").as_bytes())?;
    let claims = r#"{"sub":"alice","aud":["tidings:default"],"exp":1453523768,"nbf":0,"iat":1e3}"#;
    for (index, header) in [r#"{"alg":"HS256"}"#, r#"{"alg":"ES256","kid":"a"}"#]
        .into_iter()
        .enumerate()
    {
        let input = format!("\x01{header}\n{claims}");
        write("user_token", &format!("signed-{index}"), input.as_bytes())?;
    }
    for (index, text) in strings(keys).into_iter().enumerate() {
        let input = format!("\x02{text}");
        write("user_token", &format!("file-{index}"), input.as_bytes())?;
    }
    // RFC 8037, appendix A.2.
    let ed25519 =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let set = format!("\x02{{\"keys\":[{ed25519}]}}");
    write("user_token", "set", set.as_bytes())
}

/// What Firefox says, and what it might.
fn messages() -> io::Result<()> {
    const CHANNEL: &str = "b1b7d1b7-6d9f-4f6b-9a58-9e8a5a6b1c11";
    const KEY: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    let register = format!(r#"{{"messageType":"register","channelID":"{CHANNEL}"}}"#);
    let with_key = format!(r#"{{"messageType":"register","channelID":"{CHANNEL}","key":"{KEY}"}}"#);
    let unregister =
        format!(r#"{{"messageType":"unregister","channelID":"{CHANNEL}","code":201}}"#);
    let ack = format!(
        r#"{{"messageType":"ack","updates":[{{"channelID":"{CHANNEL}","version":"v","code":100}}]}}"#
    );
    let conversations = [
        ["{}", r#"{"messageType":"ping"}"#],
        [&register, &ack],
        [&with_key, &unregister],
        [&register, &with_key],
        [
            &unregister,
            r#"{"messageType":"nack","version":"v","code":301}"#,
        ],
        [
            r#"{"messageType":"broadcast_subscribe","broadcasts":{"a/b":"v"}}"#,
            r#"{"messageType":"hello","uaid":null,"channelIDs":[],"use_webpush":true}"#,
        ],
    ];
    for (index, conversation) in conversations.iter().enumerate() {
        let text = conversation.join("\n");
        write("websocket_messages", &index.to_string(), text.as_bytes())?;
    }
    Ok(())
}
