//! A sandbox, its clock, and a client that opens one connection for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tidings_sandbox::user_agent::{NewSubscription, UserAgent};
use tidings_sandbox::{Personality, RunningSandbox, Sandbox, SandboxOptions};
use tidings_webpush::{
    EncryptedPayload, FreshKeyPair, Padding, PushMessage, Subscription, SystemRandomness, Topic,
    Ttl, Urgency, VapidKey, encrypt,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

/// How long anything may take. Nothing here should need a tenth of it.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// How long nothing may come before it is taken for nothing.
pub(crate) const NOTHING: Duration = Duration::from_millis(200);

/// A sandbox whose clock is set by the test.
pub(crate) struct Setup {
    pub(crate) sandbox: RunningSandbox,
    ahead_s: Arc<AtomicU64>,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut SandboxOptions)) -> Self {
        let ahead_s = Arc::new(AtomicU64::new(0));
        let clock = {
            let ahead_s = Arc::clone(&ahead_s);
            move || now() + Duration::from_secs(ahead_s.load(Ordering::Relaxed))
        };
        let mut options = SandboxOptions::new(Arc::new(clock), Arc::new(SystemRandomness));
        change(&mut options);
        let sandbox = Sandbox::start(options).await.unwrap();
        Self { sandbox, ahead_s }
    }

    pub(crate) fn origin(&self) -> &str {
        self.sandbox.http_url().unwrap()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.ahead_s.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1")
            .body(Full::from(body.to_owned()))
            .unwrap();
        send(self.origin(), request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        answer.json()
    }

    pub(crate) async fn stats(&self) -> Value {
        self.get("/sandbox/stats").await
    }

    /// Waits until the counters are as wanted; they follow answers by a moment.
    pub(crate) async fn stats_until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let stats = self.stats().await;
            if wanted(&stats) {
                return stats;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "never came: {stats:#}"
            );
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn behave(&self, rules: &str) {
        let answer = self.call(Method::PUT, "/sandbox/behaviour", rules).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }

    /// The same under a name.
    pub(crate) async fn behave_as(&self, name: &str, rules: &str) {
        let path = format!("/sandbox/behaviour/{name}");
        let answer = self.call(Method::PUT, &path, rules).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }

    /// Sends a push message over HTTP/1.1, but for its last octet.
    pub(crate) async fn half_a_post(&self, subscription: &Subscription) -> TcpStream {
        let body = seal(subscription, b"hello");
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: a\r\nttl: 60\r\ncontent-encoding: aes128gcm\r\n\
             content-length: {}\r\n\r\n",
            subscription.push_resource.path_and_query(),
            body.len()
        );
        let address = self.origin().trim_start_matches("http://");
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(head.as_bytes()).await.unwrap();
        tcp.write_all(&body[..body.len() - 1]).await.unwrap();
        tcp
    }

    pub(crate) async fn messages(&self, subscription: &Subscription) -> Value {
        let endpoint = subscription.push_resource.expose();
        self.get(&format!("/sandbox/messages?subscription={endpoint}"))
            .await
    }

    /// New virtual subscriptions.
    pub(crate) async fn subscriptions(&self, parameters: &str) -> Vec<Subscription> {
        let path = format!("/sandbox/subscriptions?{parameters}");
        let answer = self.call(Method::POST, &path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let lines = answer.text();
        lines
            .lines()
            .map(|line| Subscription::from_json(line.as_bytes()).unwrap())
            .collect()
    }

    pub(crate) async fn subscription(&self, parameters: &str) -> Subscription {
        self.subscriptions(parameters).await.pop().unwrap()
    }

    pub(crate) async fn user_agent(&self) -> UserAgent {
        let url = self.sandbox.ws_url().unwrap();
        UserAgent::connect(&url, Arc::new(SystemRandomness))
            .await
            .unwrap()
    }

    /// A user agent with one subscription that is tied to no key.
    pub(crate) async fn subscribed(&self) -> (UserAgent, NewSubscription) {
        let mut user_agent = self.user_agent().await;
        let subscription = user_agent.subscribe(None).await.unwrap();
        (user_agent, subscription)
    }
}

/// A push message under construction; signed by `key`.
pub(crate) struct Post<'a> {
    pub(crate) subscription: &'a Subscription,
    pub(crate) key: &'a VapidKey,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) ttl_s: u32,
    pub(crate) topic: Option<&'a str>,
}

impl<'a> Post<'a> {
    pub(crate) fn new(subscription: &'a Subscription, key: &'a VapidKey, payload: &'a str) -> Self {
        Self {
            subscription,
            key,
            payload: Some(payload.as_bytes()),
            ttl_s: 60,
            topic: None,
        }
    }

    /// The request as Tidings would send it.
    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        let resource = &self.subscription.push_resource;
        let token = self
            .key
            .sign(resource.origin(), None, now() + Duration::from_hours(12));
        let topic = self.topic.map(|topic| Topic::parse(topic).unwrap());
        let message = PushMessage {
            resource,
            payload: self
                .payload
                .map(|payload| EncryptedPayload::aes128gcm(seal(self.subscription, payload))),
            ttl: Ttl::from_secs(self.ttl_s).unwrap(),
            urgency: Urgency::High,
            topic: topic.as_ref(),
            authorization: token.unwrap().authorization(),
        };
        message.into_request().unwrap().map(Full::new)
    }

    pub(crate) async fn send(&self) -> Answer {
        send(self.subscription.push_resource.origin(), self.request()).await
    }

    /// Sends it and insists that it is taken.
    pub(crate) async fn accepted(&self) -> Answer {
        let answer = self.send().await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer
    }
}

pub(crate) fn seal(subscription: &Subscription, payload: &[u8]) -> Bytes {
    let Subscription { p256dh, auth, .. } = subscription;
    encrypt(
        p256dh,
        auth,
        payload,
        Padding::None,
        &FreshKeyPair,
        &SystemRandomness,
    )
    .unwrap()
    .into()
}

pub(crate) fn now() -> SystemTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "TLS clients judge certificates by this clock"
    )]
    SystemTime::now()
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}"))
            .to_str()
            .unwrap()
    }

    /// What a sender understands, to whom this push service was played.
    pub(crate) fn meaning(&self, personality: Personality) -> tidings_webpush::Answer {
        let service = personality.push_service();
        tidings_webpush::interpret(service, self.status, &self.headers, &self.body, now())
    }

    /// Status, and error number of a push service's refusal.
    pub(crate) fn refusal(&self) -> (u16, Option<u64>) {
        let json = self.json();
        assert_eq!(json["code"], self.status.as_u16());
        assert!(!json["message"].as_str().unwrap().is_empty());
        (self.status.as_u16(), json["errno"].as_u64())
    }
}

pub(crate) async fn send(origin: &str, request: Request<Full<Bytes>>) -> Answer {
    try_send(origin, request).await.unwrap()
}

pub(crate) async fn try_send(origin: &str, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
    let url = Url::parse(origin).unwrap();
    let address = (url.host_str().unwrap(), url.port().unwrap());
    send_over(TcpStream::connect(address).await.unwrap(), request).await
}

pub(crate) async fn send_over<S>(
    stream: S,
    mut request: Request<Full<Bytes>>,
) -> hyper::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let authority = request.uri().authority().map(ToString::to_string);
    if let Some(authority) = authority {
        request
            .headers_mut()
            .insert("host", authority.parse().unwrap());
        let path = request
            .uri()
            .path_and_query()
            .unwrap()
            .as_str()
            .parse()
            .unwrap();
        *request.uri_mut() = path;
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    };
    let both = async {
        // The connection does the work and ends when the sender is dropped, so it must not win.
        let (answer, _) = tokio::join!(exchange, connection);
        answer
    };
    tokio::time::timeout(LIMIT, both)
        .await
        .expect("no answer in time")
}
