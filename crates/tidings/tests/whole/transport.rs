//! How push messages travel: protocols, connections, trust, and where they must not go.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result};
use axum::Router;
use http::{StatusCode, header::LOCATION};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    sandbox::{Sandbox, Scheme, Subscription, foreign_ca},
    tidings::{Counts, Settings, Tidings},
};

const MESSAGES: usize = 1_000;

#[tokio::test]
async fn a_thousand_messages_share_few_http2_connections() -> Result<()> {
    // So many are under way before the first answer.
    let stats = stats_of_a_broadcast(&["--max-concurrent-streams", "100"], 64).await?;
    assert_eq!(
        stats["posts_by_protocol"],
        json!({"h2": MESSAGES, "http/1.1": 0})
    );
    let connections = connections_with_posts(&stats, "h2");
    assert!((1..=16).contains(&connections), "{stats:#}");
    Ok(())
}

#[tokio::test]
async fn without_http2_a_thousand_messages_share_sixteen_connections() -> Result<()> {
    let stats = stats_of_a_broadcast(&["--http1-only"], 12).await?;
    assert_eq!(
        stats["posts_by_protocol"],
        json!({"h2": 0, "http/1.1": MESSAGES})
    );
    let connections = connections_with_posts(&stats, "http/1.1");
    assert!((12..=16).contains(&connections), "{stats:#}");
    assert_eq!(stats["connections"]["max_concurrent_posts"], 1);
    Ok(())
}

/// Sends a broadcast over TLS, and returns what the sandbox counted. Answers come only when so many
/// of them are awaited: whoever may open more connections has reason to do so until then.
async fn stats_of_a_broadcast(arguments: &[&str], awaited: u64) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let mut all = vec!["--service", "mozilla=127.0.0.1:0"];
    all.extend(arguments);
    let sandbox = Sandbox::start_with(&all).await?;
    let settings = Settings::below(folder.path()).believe(&sandbox).await?;
    let tidings = Tidings::start(&settings).await?;
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox.subscriptions_at(MESSAGES, "mozilla", &key).await?;
    tidings.register_all(&subscriptions).await?;
    sandbox.behave(&json!({"withhold": true})).await?;
    let message = tidings.notify_all("For everybody").await?;
    sandbox
        .stats_until("awaited answers", |stats| {
            stats["withheld"].as_u64() >= Some(awaited)
        })
        .await?;
    sandbox.be_honest().await?;
    let counts = tidings.wait_until_done(&message).await?;
    assert_eq!(counts, Counts::new(&[("accepted", MESSAGES)]));
    let stats = sandbox.stats().await?;
    assert_eq!(stats["subscriptions_reached"], MESSAGES);
    assert_eq!(stats["decrypted"], MESSAGES);
    tidings.stop().await?;
    sandbox.end();
    Ok(stats)
}

fn connections_with_posts(stats: &Value, protocol: &str) -> u64 {
    let protocols = stats["connections"]["by_protocol"].as_array();
    protocols
        .into_iter()
        .flatten()
        .filter(|report| report["protocol"] == protocol)
        .filter_map(|report| report["with_posts"].as_u64())
        .sum()
}

#[tokio::test]
async fn nothing_is_sent_to_a_push_service_whose_certificate_nobody_vouches_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start().await?;
    let foreign = foreign_ca(folder.path()).await?;
    let strict = Settings::below(folder.path())
        .allow_loopback()
        .set("TIDINGS_PUSH_EXTRA_CA", foreign);
    let message = send_one(&strict, &sandbox).await?;
    let stats = sandbox.stats().await?;
    assert_eq!(stats["posts"], 0);
    assert!(tls_connections(&stats) > 0, "it was not even tried");

    // The message waits for the operator to put it right.
    let trusting = Settings::below(folder.path()).trust(&sandbox);
    arrives(&trusting, &sandbox, &message).await
}

#[tokio::test]
async fn a_name_that_leads_to_an_address_that_is_not_allowed_is_never_connected_to() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start_with(&["--public-host", "localhost"]).await?;
    let port = sandbox.tls_port();
    let settings = || {
        Settings::below(folder.path())
            .set("TIDINGS_PUSH_HOSTS", format!("localhost:{port}"))
            .set("TIDINGS_PUSH_EXTRA_CA", sandbox.ca_file())
    };
    let message = send_one(&settings(), &sandbox).await?;
    assert_eq!(tls_connections(&sandbox.stats().await?), 0);

    // Nothing but the address was wrong.
    arrives(&settings().allow_loopback(), &sandbox, &message).await
}

/// Sends a message to one subscription of the sandbox, waits until one attempt has failed, and ends
/// the server.
async fn send_one(settings: &Settings, sandbox: &Sandbox) -> Result<String> {
    let tidings = Tidings::start(settings).await?;
    let key = tidings.vapid_key().await?;
    for subscription in sandbox.subscriptions(1, Scheme::Https, &key).await? {
        tidings.register(&subscription).await?;
    }
    let message = tidings.notify_all("For you").await?;
    tidings
        .wait_for_counts(&message, &Counts::new(&[("retrying", 1)]))
        .await?;
    tidings.stop().await?;
    Ok(message)
}

/// Checks that the message arrives once the server has these settings.
async fn arrives(settings: &Settings, sandbox: &Sandbox, message: &str) -> Result<()> {
    let tidings = Tidings::start(settings).await?;
    let counts = tidings.wait_until_done(message).await?;
    assert_eq!(counts, Counts::new(&[("accepted", 1)]));
    assert_eq!(sandbox.stats().await?["decrypted"], 1);
    tidings.stop().await
}

fn tls_connections(stats: &Value) -> usize {
    let connections = stats["connections"]["each"].as_array();
    let over_tls = |connection: &&Value| connection["tls"] == true;
    connections.into_iter().flatten().filter(over_tls).count()
}

const SERVICES: [&str; 4] = ["fcm", "mozilla", "apple", "wns"];

#[tokio::test]
async fn played_push_services_are_taken_for_the_real_ones() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let services = SERVICES.map(|name| format!("{name}=127.0.0.1:0"));
    let arguments: Vec<_> = services
        .iter()
        .flat_map(|text| ["--service", text])
        .collect();
    let sandbox = Sandbox::start_with(&arguments).await?;
    let settings = Settings::below(folder.path())
        .set("TIDINGS_CONTACT", "mailto:ops@example.org")
        .believe(&sandbox)
        .await?;
    let tidings = Tidings::start(&settings).await?;
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox.subscriptions_at(8, "all", &key).await?;
    let registered = tidings.register_all(&subscriptions).await?;
    let mut seen = Vec::new();
    for one in registered.iter().take(SERVICES.len()) {
        let path = format!("/v1/subscriptions/{}", one.id);
        seen.push(tidings.api().get(&path).await?["push_service"].take());
    }
    assert_eq!(seen, SERVICES);
    let message = tidings.notify_all("For everybody").await?;
    let counts = tidings.wait_until_done(&message).await?;
    assert_eq!(counts, Counts::new(&[("accepted", 8)]));
    assert_eq!(sandbox.stats().await?["decrypted"], 8);
    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

#[tokio::test]
async fn an_address_that_the_operator_chose_must_be_allowed_all_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start_with(&["--service", "fcm=127.0.0.1:0"]).await?;
    let settings = Settings::below(folder.path())
        .believe(&sandbox)
        .await?
        .set("TIDINGS_PUSH_ALLOW_NETWORKS", "10.0.0.0/8");
    let tidings = Tidings::start(&settings).await?;
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox.subscriptions_at(1, "fcm", &key).await?;
    tidings.register_all(&subscriptions).await?;
    let message = tidings.notify_all("For you").await?;
    tidings
        .wait_for_counts(&message, &Counts::new(&[("retrying", 1)]))
        .await?;
    assert_eq!(tls_connections(&sandbox.stats().await?), 0);
    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_not_followed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start().await?;
    let tidings = Tidings::start(&Settings::below(folder.path()).allow_insecure_loopback()).await?;
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox.subscriptions(1, Scheme::Http, &key).await?;
    let target = subscriptions.first().context("no subscription")?;
    let redirect = Redirect::to(target).await?;
    let registered = tidings.register(&redirect.subscription).await?;
    let message = tidings.notify(&registered, "For you").await?;
    tidings
        .wait_for_counts(&message, &Counts::new(&[("retrying", 1)]))
        .await?;
    assert!(redirect.requests() > 0);
    let stats = sandbox.stats().await?;
    assert_eq!(stats["posts"], 0, "it was followed");

    // Where it led to was a good place: nothing else kept the message away.
    let direct = tidings.register(target).await?;
    let message = tidings.notify(&direct, "For you").await?;
    let counts = tidings.wait_until_done(&message).await?;
    assert_eq!(counts, Counts::new(&[("accepted", 1)]));
    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

/// A push service that sends everybody elsewhere.
struct Redirect {
    /// The subscription, as if it were here.
    subscription: Subscription,
    requests: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Redirect {
    async fn to(target: &Subscription) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}/push/{}", listener.local_addr()?, target.token());
        let location = target.endpoint().to_owned();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let service = Router::new().fallback(async move || {
            counter.fetch_add(1, Ordering::Relaxed);
            (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)])
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self {
            subscription: target.moved_to(endpoint),
            requests,
            _serving: serving,
        })
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}
