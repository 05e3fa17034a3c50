use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tidings_sandbox::Personality;
use tidings_webpush::{Subscription, VapidKey};

use crate::support::{Answer, Post, Setup, now, seal, send};

/// An application server that can sign anything.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new() -> Self {
        Self {
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        }
    }

    pub(crate) fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref())
    }

    pub(crate) fn authorization(&self, claims: &Value) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ES256"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        let signature = URL_SAFE_NO_PAD.encode(signature);
        format!("vapid t={signed}.{signature}, k={}", self.public_key())
    }
}

pub(crate) fn in_hours(hours: u64) -> u64 {
    (now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_hours(hours)).as_secs()
}

/// A sandbox with a subscription that is tied to the signer's key.
struct Restricted {
    personality: Personality,
    setup: Setup,
    signer: Signer,
    subscription: Subscription,
}

impl Restricted {
    async fn new() -> Self {
        Self::playing(Personality::Mozilla).await
    }

    /// One of each personality.
    async fn each() -> Vec<Self> {
        let each = Personality::ALL.into_iter().map(Self::playing);
        futures_util::future::join_all(each).await
    }

    async fn playing(personality: Personality) -> Self {
        let setup = Setup::with(|options| options.personality = personality).await;
        let signer = Signer::new();
        let parameters = format!("applicationServerKey={}", signer.public_key());
        let subscription = setup.subscription(&parameters).await;
        Self {
            personality,
            setup,
            signer,
            subscription,
        }
    }

    fn claims(&self) -> Value {
        json!({
            "aud": self.setup.origin(),
            "exp": in_hours(12),
            "sub": "mailto:push@example.com",
        })
    }

    fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }

    async fn post(&self, authorization: Option<&str>) -> Answer {
        let path = self.subscription.push_resource.path_and_query();
        let mut request = Request::post(path)
            .header("TTL", "60")
            .header("Content-Encoding", "aes128gcm");
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        let body: Bytes = seal(&self.subscription, b"hello");
        send(self.setup.origin(), request.body(Full::from(body)).unwrap()).await
    }

    /// Insists that the claims are refused, and that nobody gets the message.
    async fn refuses(&self, claims: &Value) {
        let authorization = self.signer.authorization(claims);
        self.refuses_header(Some(&authorization), Fault::Token)
            .await;
    }

    async fn refuses_header(&self, authorization: Option<&str>, fault: Fault) {
        let personality = self.personality;
        let answer = self.post(authorization).await;
        let (status, words) = fault.expected(personality);
        assert_eq!(answer.status, status, "{personality}: {}", answer.text());
        assert!(
            answer.text().contains(words),
            "{personality}: {}",
            answer.text()
        );
        if status == 401 && personality != Personality::Wns {
            assert_eq!(answer.header("www-authenticate"), "vapid");
        }
        if personality == Personality::Wns {
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("x-wns-status"), "dropped");
            assert!(!answer.header("x-wns-error-description").is_empty());
        }
        let meaning = answer.meaning(personality);
        assert_eq!(meaning, tidings_webpush::Answer::KeyRefused);
        assert_eq!(self.setup.messages(&self.subscription).await["received"], 0);
    }
}

/// What is wrong with the identification.
#[derive(Clone, Copy)]
enum Fault {
    Missing,
    OtherKey,
    Token,
}

impl Fault {
    /// Status, and words of the body.
    fn expected(self, personality: Personality) -> (u16, &'static str) {
        match (personality, self) {
            (Personality::Fcm, Self::Missing) => (400, "<TITLE>UnauthorizedRegistration</TITLE>"),
            (Personality::Fcm, Self::OtherKey) => (
                403,
                "the VAPID credentials in the authorization header do not correspond to the \
                 credentials used to create the subscriptions.",
            ),
            (Personality::Fcm, Self::Token) => (403, "invalid JWT provided"),
            (Personality::Apple, Self::OtherKey) => (400, r#"{"reason":"VapidPkHashMismatch"}"#),
            (Personality::Apple, _) => (403, r#"{"reason":"BadJwtToken"}"#),
            (Personality::Wns, Self::OtherKey) => (403, ""),
            (Personality::Wns, _) => (401, ""),
            (Personality::Plain, Self::Missing) => (401, "no VAPID token"),
            (Personality::Plain, _) => (403, "rfc8292"),
            (_, _) => (401, r#""code":401,"errno":109"#),
        }
    }
}

#[tokio::test]
async fn the_subscriptions_key_is_accepted() {
    for restricted in Restricted::each().await {
        assert!(
            restricted
                .subscription
                .push_resource
                .path_and_query()
                .starts_with("/wpush/v2/")
        );
        let authorization = restricted.signer.authorization(&restricted.claims());
        // The second time it is remembered.
        for _ in 0..2 {
            assert_eq!(restricted.post(Some(&authorization)).await.status, 201);
        }
    }
}

#[tokio::test]
async fn no_token_is_refused() {
    for restricted in Restricted::each().await {
        restricted.refuses_header(None, Fault::Missing).await;
    }
}

#[tokio::test]
async fn another_key_is_refused() {
    for restricted in Restricted::each().await {
        let other = Signer::new().authorization(&restricted.claims());
        restricted
            .refuses_header(Some(&other), Fault::OtherKey)
            .await;
        // The token itself is good, so it is remembered: that must not help it.
        restricted
            .refuses_header(Some(&other), Fault::OtherKey)
            .await;
    }
}

#[tokio::test]
async fn a_broken_signature_is_refused() {
    for restricted in Restricted::each().await {
        let good = restricted.signer.authorization(&restricted.claims());
        let (token, key) = good.split_once(", ").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
        let broken = format!("{signed}.{flipped}{}, {key}", &signature[1..]);
        restricted.refuses_header(Some(&broken), Fault::Token).await;
    }
}

#[tokio::test]
async fn a_token_without_audience_is_refused() {
    for restricted in Restricted::each().await {
        restricted
            .refuses(&restricted.claims_with("aud", Value::Null))
            .await;
    }
}

#[tokio::test]
async fn another_audience_is_refused() {
    for restricted in Restricted::each().await {
        let without_port = restricted.setup.origin().rsplit_once(':').unwrap().0;
        let with_slash = format!("{}/", restricted.setup.origin());
        for audience in ["https://push.example.com", without_port, &with_slash] {
            restricted
                .refuses(&restricted.claims_with("aud", audience.into()))
                .await;
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    for restricted in Restricted::each().await {
        let now = in_hours(0);
        restricted
            .refuses(&restricted.claims_with("exp", (now - 1).into()))
            .await;
    }
}

#[tokio::test]
async fn a_remembered_token_expires_too() {
    let restricted = Restricted::new().await;
    let authorization = restricted.signer.authorization(&restricted.claims());
    assert_eq!(restricted.post(Some(&authorization)).await.status, 201);
    restricted.setup.advance(12 * 60 * 60);
    assert_eq!(
        restricted.post(Some(&authorization)).await.refusal(),
        (401, Some(109))
    );
}

#[tokio::test]
async fn more_than_24_hours_are_refused() {
    for restricted in Restricted::each().await {
        restricted
            .refuses(&restricted.claims_with("exp", in_hours(25).into()))
            .await;
    }
}

#[tokio::test]
async fn an_expiration_as_text_is_refused() {
    for restricted in Restricted::each().await {
        let text = in_hours(12).to_string();
        restricted
            .refuses(&restricted.claims_with("exp", text.into()))
            .await;
    }
}

#[tokio::test]
async fn a_token_without_expiration_is_refused() {
    for restricted in Restricted::each().await {
        restricted
            .refuses(&restricted.claims_with("exp", Value::Null))
            .await;
    }
}

#[tokio::test]
async fn apple_wants_a_contact_that_can_be_reached() {
    let restricted = Restricted::playing(Personality::Apple).await;
    let subjects = [
        Value::Null,
        "push@example.com".into(),
        "mailto:push@localhost".into(),
        "mailto:push@example.invalid".into(),
        "mailto:push@example.local".into(),
        "mailto: <push@example.com>".into(),
        "http://example.com".into(),
    ];
    for subject in subjects {
        restricted
            .refuses(&restricted.claims_with("sub", subject))
            .await;
    }
    let url = restricted.claims_with("sub", "https://example.com/contact".into());
    let authorization = restricted.signer.authorization(&url);
    assert_eq!(restricted.post(Some(&authorization)).await.status, 201);
}

#[tokio::test]
async fn the_others_do_not_look_at_the_contact() {
    for restricted in Restricted::each().await {
        let claims = restricted.claims_with("sub", "mailto:push@localhost".into());
        let authorization = restricted.signer.authorization(&claims);
        let is_apple = restricted.personality == Personality::Apple;
        let status = if is_apple { 403 } else { 201 };
        assert_eq!(restricted.post(Some(&authorization)).await.status, status);
    }
}

#[tokio::test]
async fn apple_names_a_key_that_cannot_be_read() {
    let restricted = Restricted::playing(Personality::Apple).await;
    let good = restricted.signer.authorization(&restricted.claims());
    let (token, _) = good.split_once(", k=").unwrap();
    let answer = restricted.post(Some(&format!("{token}, k=AAAA"))).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.text(), r#"{"reason":"BadVapidPublicKey"}"#);
}

#[tokio::test]
async fn an_unrestricted_subscription_needs_no_token_but_takes_no_broken_one() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let post = |authorization: Option<&'static str>| {
        let mut request =
            Request::post(subscription.push_resource.path_and_query()).header("TTL", "60");
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        send(setup.origin(), request.body(Full::default()).unwrap())
    };
    assert_eq!(post(None).await.status, 201);
    assert_eq!(
        post(Some("vapid t=a.b.c, k=d")).await.refusal(),
        (401, Some(109))
    );
    let anybody = VapidKey::generate().unwrap();
    Post::new(&subscription, &anybody, "hello").accepted().await;
}
