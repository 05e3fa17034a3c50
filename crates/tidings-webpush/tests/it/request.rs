use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use tidings_webpush::{EncryptedPayload, PushMessage, PushResource, Topic, Ttl, Urgency};

fn request(url: &str, change: impl FnOnce(&mut PushMessage<'_>)) -> Request<Bytes> {
    let resource = PushResource::parse(url).unwrap();
    let mut authorization = HeaderValue::from_static("vapid t=x, k=y");
    authorization.set_sensitive(true);
    let mut message = PushMessage {
        resource: &resource,
        payload: Some(EncryptedPayload::aes128gcm(&b"encrypted"[..])),
        ttl: Ttl::from_secs(3600).unwrap(),
        urgency: Urgency::High,
        topic: None,
        authorization,
    };
    change(&mut message);
    message.into_request().unwrap()
}

fn headers(request: &Request<Bytes>) -> BTreeMap<&str, &str> {
    let headers = request.headers();
    assert_eq!(headers.len(), headers.keys_len(), "no header twice");
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect()
}

const FCM: &str = "https://fcm.googleapis.com/fcm/send/x:y";

#[test]
fn a_message_has_the_headers_that_every_push_service_accepts() {
    let topic = Topic::parse("replace-me").unwrap();
    let resource = PushResource::parse(FCM).unwrap();
    let request = PushMessage {
        resource: &resource,
        payload: Some(EncryptedPayload::aes128gcm(&b"encrypted"[..])),
        ttl: Ttl::from_secs(3600).unwrap(),
        urgency: Urgency::High,
        topic: Some(&topic),
        authorization: HeaderValue::from_static("vapid t=x, k=y"),
    }
    .into_request()
    .unwrap();
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), FCM);
    assert_eq!(request.body().as_ref(), b"encrypted");
    let expected = BTreeMap::from([
        ("authorization", "vapid t=x, k=y"),
        ("content-encoding", "aes128gcm"),
        ("content-length", "9"),
        ("content-type", "application/octet-stream"),
        ("topic", "replace-me"),
        ("ttl", "3600"),
        ("urgency", "high"),
    ]);
    assert_eq!(headers(&request), expected);
}

#[test]
fn a_message_without_payload_has_no_body_and_no_encoding() {
    let request = request(FCM, |message| {
        message.payload = None;
        message.urgency = Urgency::VeryLow;
    });
    assert!(request.body().is_empty());
    let expected = BTreeMap::from([
        ("authorization", "vapid t=x, k=y"),
        ("content-length", "0"),
        ("ttl", "3600"),
        ("urgency", "very-low"),
    ]);
    assert_eq!(headers(&request), expected);
}

#[test]
fn ttl_zero_is_raised_where_it_is_refused() {
    let cases = [
        (FCM, 0, "0"),
        (
            "https://updates.push.services.mozilla.com/wpush/v2/x",
            0,
            "0",
        ),
        ("https://push.example.org/x", 0, "0"),
        ("https://web.push.apple.com/x", 0, "1"),
        ("https://web.push.apple.com/x", 1, "1"),
        ("https://web.push.apple.com/x", 60, "60"),
        ("https://wns2-par02p.notify.windows.com/w/?token=x", 0, "1"),
    ];
    for (url, seconds, expected) in cases {
        let request = request(url, |message| {
            message.ttl = Ttl::from_secs(seconds).unwrap();
        });
        assert_eq!(request.headers()["ttl"], expected, "{url} with {seconds}");
    }
}

#[test]
fn the_query_is_sent_octet_for_octet() {
    let url = "https://wns2-par02p.notify.windows.com/w/?token=BQY%3d%3D%2f&x='%27";
    // Browsers write an apostrophe in a query as %27, and only that spelling is taken.
    assert!(PushResource::parse(url).is_err());
    let url = "https://wns2-par02p.notify.windows.com/w/?token=BQY%3d%3D%2f&x={|}^`[]~:@!$()*+,;=";
    assert_eq!(request(url, |_| {}).uri(), url);
}

#[test]
fn the_token_stays_marked_as_sensitive() {
    assert!(request(FCM, |_| {}).headers()["authorization"].is_sensitive());
}
