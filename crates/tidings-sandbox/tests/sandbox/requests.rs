use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use tidings_webpush::VapidKey;

use crate::support::{Answer, LIMIT, Post, Setup, send};

const VECTORS: &str = include_str!("../../../tidings-webpush/tests/vectors/request-headers.json");

/// Posts to a new subscription that needs no key, with these headers and no others.
async fn post(setup: &Setup, headers: &[(&str, &[u8])], body: &[u8]) -> (Answer, Value) {
    let subscription = setup.subscription("count=1").await;
    let mut request =
        Request::post(subscription.push_resource.path_and_query()).header("host", "127.0.0.1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::from(Bytes::copy_from_slice(body)))
        .unwrap();
    let answer = send(setup.origin(), request).await;
    (answer, setup.messages(&subscription).await)
}

#[tokio::test]
async fn header_values_are_judged_as_the_vectors_say() {
    let setup = Setup::new().await;
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let mut checked = 0;
    for (member, header) in [("ttl", "TTL"), ("urgency", "Urgency"), ("topic", "Topic")] {
        for case in vectors[member].as_array().unwrap() {
            let mut headers: Vec<(&str, &[u8])> = Vec::new();
            if member != "ttl" {
                headers.push(("TTL", b"60"));
            }
            if let Some(value) = case["value"].as_str() {
                headers.push((header, value.as_bytes()));
            }
            let (answer, received) = post(&setup, &headers, b"").await;
            let accepted = answer.status == StatusCode::CREATED;
            assert_eq!(Some(accepted), case["accept"].as_bool(), "{header}: {case}");
            if accepted {
                let kept = &received["messages"][0][member];
                match case.get("result") {
                    // 30 days are the most that is granted.
                    Some(Value::Number(ttl)) => {
                        let granted = ttl.as_u64().unwrap().min(2_592_000);
                        assert_eq!(kept, granted, "{case}");
                        assert_eq!(answer.header("ttl"), granted.to_string());
                    }
                    Some(result) => assert_eq!(kept, result, "{case}"),
                    None => assert!(kept.is_null(), "{case}"),
                }
            } else {
                assert_eq!(answer.refusal().0, 400, "{case}");
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "the vectors have {checked} cases");
}

#[tokio::test]
async fn a_message_is_created_at_a_location() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    let answer = Post::new(&subscription, &key, "hello").accepted().await;
    assert!(
        answer
            .header("location")
            .starts_with(&format!("{}/m/", setup.origin()))
    );
    assert_eq!(answer.header("ttl"), "60");
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn a_body_of_4096_octets_is_taken_and_one_more_refused() {
    let setup = Setup::new().await;
    let headers: &[(&str, &[u8])] = &[("TTL", b"60"), ("Content-Encoding", b"aes128gcm")];
    let (answer, _) = post(&setup, headers, &[0; 4096]).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let (answer, received) = post(&setup, headers, &[0; 4097]).await;
    assert_eq!(answer.refusal(), (413, Some(104)));
    assert_eq!(received["received"], 0);
}

#[tokio::test]
async fn a_body_needs_encryption_headers() {
    let setup = Setup::new().await;
    let (answer, _) = post(&setup, &[("TTL", b"60")], b"plain text").await;
    assert_eq!(answer.refusal(), (400, Some(110)));
}

#[tokio::test]
async fn endless_headers_are_refused() {
    let setup = Setup::new().await;
    let long = vec![b'a'; 64 * 1024];
    let request = Request::post("/wpush/v1/a")
        .header("x-long", long)
        .body(Full::default());
    let answer = send(setup.origin(), request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn an_endpoint_that_nobody_has_is_404() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let path = subscription.push_resource.path_and_query();
    let other_sandbox = Setup::new().await.subscription("count=1").await;
    let paths = [
        "/wpush/v1/unknown".to_owned(),
        path.replace("v1", "v2"),
        path.replace("v1", "v3"),
        path[..path.len() - 1].to_owned(),
        other_sandbox.push_resource.path_and_query().to_owned(),
    ];
    for path in paths {
        let request = Request::post(&path)
            .header("TTL", "60")
            .body(Full::default())
            .unwrap();
        let answer = send(setup.origin(), request).await;
        assert_eq!(answer.refusal(), (404, Some(102)), "{path}");
    }
}

#[tokio::test]
async fn an_ended_subscription_is_410_and_not_asked_again_for_a_day() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let endpoint = subscription.push_resource.expose();
    let path = format!("/sandbox/subscriptions?subscription={endpoint}");
    let answer = setup.call(Method::DELETE, &path, "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let key = VapidKey::generate().unwrap();
    let answer = Post::new(&subscription, &key, "hello").send().await;
    assert_eq!(answer.refusal(), (410, Some(106)));
    assert_eq!(answer.header("cache-control"), "max-age=86400");
}

#[tokio::test]
async fn a_stored_message_can_be_withdrawn_once() {
    let setup = Setup::new().await;
    let (mut user_agent, new) = setup.subscribed().await;
    user_agent.disconnect();
    setup
        .stats_until(|stats| stats["user_agents"]["connected"] == 0)
        .await;
    let key = VapidKey::generate().unwrap();
    let answer = Post::new(&new.subscription, &key, "withdrawn")
        .accepted()
        .await;
    Post::new(&new.subscription, &key, "kept").accepted().await;

    let path = answer.header("location").replace(setup.origin(), "");
    let withdrawn = setup.call(Method::DELETE, &path, "").await;
    assert_eq!(withdrawn.status, StatusCode::NO_CONTENT);
    let again = setup.call(Method::DELETE, &path, "").await;
    assert_eq!(again.refusal(), (404, Some(102)));

    user_agent.reconnect().await.unwrap();
    let push = user_agent.next_push(LIMIT).await.unwrap();
    assert_eq!(
        push.outcome,
        tidings_sandbox::user_agent::PushOutcome::Delivered(Some(b"kept".to_vec()))
    );
}

#[tokio::test]
async fn http2_is_spoken_without_tls_to_who_begins_with_it() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    let address = setup.origin().trim_start_matches("http://").to_owned();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let statuses = crate::tls::post_over_http2(tcp, &subscription, &key, 3).await;
    assert_eq!(statuses, [StatusCode::CREATED; 3]);
    let stats = setup.stats().await;
    assert_eq!(stats["posts_by_protocol"]["h2"], 3);
}

#[tokio::test]
async fn aesgcm_passes_through_with_its_headers() {
    let setup = Setup::new().await;
    let (mut user_agent, new) = setup.subscribed().await;
    let request = Request::post(new.subscription.push_resource.path_and_query())
        .header("TTL", "60")
        .header("Content-Encoding", "aesgcm")
        .header("Encryption", "salt=\"lngarbyKfMoi9Z75xYXmkg==\"")
        .header("Crypto-Key", "dh=BNoRDbb84")
        .body(Full::from("body"))
        .unwrap();
    assert_eq!(
        send(setup.origin(), request).await.status,
        StatusCode::CREATED
    );
    let notification = user_agent.next_notification(LIMIT).await.unwrap();
    assert_eq!(notification.encoding.as_deref(), Some("aesgcm"));
    assert_eq!(notification.body.as_deref(), Some(b"body".as_slice()));
    let headers = (
        "salt=lngarbyKfMoi9Z75xYXmkg".to_owned(),
        "dh=BNoRDbb84".to_owned(),
    );
    assert_eq!(notification.legacy_headers, Some(headers));
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_not_counted_as_received() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let tcp = setup.half_a_post(&subscription).await;
    setup.stats_until(|stats| stats["in_flight"] == 1).await;
    drop(tcp);
    let stats = setup.stats_until(|stats| stats["in_flight"] == 0).await;
    assert_eq!(
        (&stats["posts"], &stats["accepted"]),
        (&0.into(), &0.into())
    );
}
