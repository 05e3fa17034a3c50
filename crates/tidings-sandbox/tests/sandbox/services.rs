//! Several push services at once, each under the name of the real one.

use http::StatusCode;
use serde_json::json;
use tidings_sandbox::{PlayedService, SandboxError, SandboxOptions};
use tidings_webpush::{PushService, Subscription, VapidKey};

use crate::support::{Answer, Post, Setup, send_over};
use crate::tls::connect_at;

async fn playing(services: &[&str]) -> Setup {
    let services: Vec<PlayedService> = services.iter().map(|text| text.parse().unwrap()).collect();
    Setup::with(|options| options.services = services).await
}

/// Posts to a subscription as whoever resolves its host to this machine.
async fn post(setup: &Setup, subscription: &Subscription, key: &VapidKey) -> Answer {
    let origin = subscription.push_resource.origin();
    let host = subscription.push_resource.host().to_string();
    let ca_pem = setup.sandbox.ca_pem().unwrap();
    let stream = connect_at(origin, &host, ca_pem, &[b"http/1.1"])
        .await
        .unwrap();
    let request = Post::new(subscription, key, "Hello").request();
    send_over(stream, request).await.unwrap()
}

#[tokio::test]
async fn subscriptions_are_spread_over_services_that_look_like_the_real_ones() {
    let setup = playing(&["fcm=127.0.0.1:0", "wns=127.0.0.1:0"]).await;
    let key = VapidKey::generate().unwrap();
    let tied = format!("applicationServerKey={}", key.public_key().to_base64url());
    let query = format!("count=6&service=fcm,fcm,wns&{tied}");
    let subscriptions = setup.subscriptions(&query).await;
    let services: Vec<_> = subscriptions
        .iter()
        .map(|subscription| subscription.push_resource.push_service())
        .collect();
    let [fcm, wns] = [PushService::Fcm, PushService::Wns];
    assert_eq!(services, [fcm, fcm, wns, fcm, fcm, wns]);
    for subscription in &subscriptions {
        let answer = post(&setup, subscription, &key).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        // Only WNS says this.
        let is_wns = subscription.push_resource.push_service() == wns;
        assert_eq!(answer.headers.contains_key("x-wns-status"), is_wns);
    }
    assert_eq!(setup.stats().await["decrypted"], 6);
}

#[tokio::test]
async fn a_subscription_is_known_to_its_own_push_service_only() {
    let setup = playing(&["plain@a.example=127.0.0.1:0", "plain@b.example=127.0.0.1:0"]).await;
    let key = VapidKey::generate().unwrap();
    let own = setup.subscription("service=a.example").await;
    let foreign = setup.subscription("service=b.example").await;
    let moved = own
        .push_resource
        .expose()
        .replace(own.push_resource.origin(), foreign.push_resource.origin());
    let moved = Subscription {
        push_resource: tidings_webpush::PushResource::parse(&moved).unwrap(),
        ..own.clone()
    };
    assert_eq!(post(&setup, &own, &key).await.status, StatusCode::CREATED);
    assert_eq!(
        post(&setup, &moved, &key).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_list_of_services_says_what_a_server_must_be_told() {
    let setup = playing(&["fcm=127.0.0.1:0", "plain@[::1]=127.0.0.1:0"]).await;
    let told = setup.get("/sandbox/services").await;
    let urls = setup.sandbox.service_urls();
    assert_eq!(told["services"][0]["origin"], urls[0]);
    assert_eq!(told["services"][0]["name"], "fcm");
    let hosts: Vec<_> = urls
        .iter()
        .map(|url| url.strip_prefix("https://").unwrap())
        .collect();
    assert_eq!(
        told["settings"],
        json!({
            "TIDINGS_PUSH_HOSTS": hosts.join(","),
            "TIDINGS_PUSH_RESOLVE": "fcm.googleapis.com=127.0.0.1",
            "TIDINGS_PUSH_ALLOW_NETWORKS": "127.0.0.1/32",
        })
    );
}

#[tokio::test]
async fn a_service_that_is_not_played_is_refused_with_what_to_do() {
    let setup = playing(&["fcm=127.0.0.1:0"]).await;
    for (query, hint) in [
        ("service=apple", "--service apple="),
        ("service=fcm&scheme=https", "leave out"),
    ] {
        let path = format!("/sandbox/subscriptions?{query}");
        let answer = setup.call(http::Method::POST, &path, "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.text().contains(hint), "{}", answer.text());
    }
}

#[tokio::test]
async fn more_than_thirty_two_services_are_refused() {
    let clock = std::sync::Arc::new(crate::support::now);
    let mut options = SandboxOptions::new(
        clock,
        std::sync::Arc::new(tidings_webpush::SystemRandomness),
    );
    options.services = vec!["plain=127.0.0.1:0".parse().unwrap(); 33];
    let error = tidings_sandbox::Sandbox::start(options).await.unwrap_err();
    assert!(matches!(error, SandboxError::TooManyServices { got: 33 }));
}
