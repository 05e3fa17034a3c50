//! A server without sockets, and calls to it.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings_core::alert::AlertBoard;
use tidings_core::application::{
    Application, ApplicationId, ApplicationName, Applications, DEFAULT_MAX_SUBSCRIPTIONS_PER_USER,
    PageOrigin, PageUsers,
};
use tidings_core::application_server::{ApplicationServer, Parts};
use tidings_core::clock::Clock as _;
use tidings_core::mac::{MacSecrets, Macs};
use tidings_core::metrics::Metrics;
use tidings_core::queue::WakePlanner;
use tidings_core::sealing::{Sealer, SealingKey};
use tidings_core::store::SetupStore as _;
use tidings_core::user_token::UserTokenKeys;
use tidings_http::{
    AdminToken, PeerAddress, RateLimitSettings, RateLimits, RouterParts, TrustedProxies, router,
};
use tidings_store_sqlite::{Options, SqliteStore};
use tidings_testkit::{FixedClock, SeededRandomness};
use tidings_webpush::{Admission, UserAgentKeys, VapidKey};
use tower::ServiceExt as _;
use url::Url;

/// As long as a real one, and known to everyone.
pub(crate) const ADMIN_TOKEN: &str = "an-admin-token-that-only-tests-use";

/// The origin on the application's list.
pub(crate) const SITE: &str = "https://site.example";

/// The name of the second application, where there are two.
pub(crate) const OTHER_APPLICATION: &str = "other";

/// The path of the page endpoints.
pub(crate) const APP: &str = "/v1/apps/default";

/// What anybody may ask, besides what pages ask.
pub(crate) const FOR_ANYBODY: &[&str] = &["/healthz", "/readyz", "/openapi.json"];

/// A server with one application.
pub(crate) struct Harness {
    pub(crate) router: Router,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) macs: Arc<Macs>,
    pub(crate) server: Arc<ApplicationServer>,
    pub(crate) alerts: Arc<AlertBoard>,
    pub(crate) metrics: Arc<Metrics>,
    randomness: Arc<SeededRandomness>,
    messages_accepted: Arc<MessagesAccepted>,
    directory: TempDir,
}

/// What differs between servers.
pub(crate) struct Setup {
    pub(crate) page_users: PageUsers,
    pub(crate) user_token_keys: UserTokenKeys,
    pub(crate) max_subscriptions_per_user: NonZeroU32,
    pub(crate) demo: bool,
    pub(crate) with_vapid_key: bool,
    pub(crate) two_applications: bool,
    pub(crate) public_url: &'static str,
    pub(crate) rate_limits: RateLimitSettings,
    pub(crate) trusted_proxies: &'static [&'static str],
    pub(crate) cors_origin: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            page_users: PageUsers::Proved,
            user_token_keys: UserTokenKeys::default(),
            max_subscriptions_per_user: DEFAULT_MAX_SUBSCRIPTIONS_PER_USER,
            demo: true,
            with_vapid_key: true,
            two_applications: false,
            public_url: "https://push.example.org",
            rate_limits: RateLimitSettings::default(),
            trusted_proxies: &[],
            cors_origin: SITE,
        }
    }
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::default());
        let randomness = Arc::new(SeededRandomness::new(1));
        let key = SealingKey::generate(randomness.as_ref());
        let options = Options {
            directory: directory.path().to_owned(),
            sealer: Arc::new(Sealer::new(&key, &[]).unwrap()),
            randomness: randomness.clone(),
            now: FixedClock::START,
        };
        let store = SqliteStore::open(options).unwrap();
        let secrets = store
            .mac_secrets(MacSecrets::generate(randomness.as_ref()))
            .await
            .unwrap();
        let macs = Arc::new(Macs::new(&secrets));
        let messages_accepted = Arc::new(MessagesAccepted::default());
        let alerts = Arc::new(AlertBoard::new(clock.clone()));
        let metrics = Arc::new(Metrics::default());
        let server = Arc::new(ApplicationServer::new(Parts {
            store: Arc::new(store),
            clock: clock.clone(),
            randomness: randomness.clone(),
            macs: macs.clone(),
            admission: Arc::new(Admission::new()),
            applications: applications(&setup, directory.path()),
            public_url: Url::parse(setup.public_url).unwrap(),
            planner: messages_accepted.clone(),
            alerts: alerts.clone(),
        }));
        if setup.with_vapid_key {
            let key = VapidKey::from_raw(&[7; 32]).unwrap();
            server
                .ensure_vapid_key(ApplicationId::DEFAULT, Some(key))
                .await
                .unwrap();
        }
        let router = router(RouterParts {
            server: server.clone(),
            admin_token: AdminToken::parse(ADMIN_TOKEN).unwrap(),
            randomness: randomness.clone(),
            rate_limits: Arc::new(rate_limits(&setup, clock.clone())),
            trusted_proxies: TrustedProxies::new(
                setup.trusted_proxies.iter().map(|it| it.parse().unwrap()),
            ),
            metrics: metrics.clone(),
            demo: setup.demo,
        });
        Self {
            router,
            clock,
            macs,
            server,
            alerts,
            metrics,
            randomness,
            messages_accepted,
            directory,
        }
    }

    /// The answer to a call.
    pub(crate) async fn send(&self, call: Call) -> Answer {
        self.send_request(call.into_request()).await
    }

    pub(crate) async fn send_request(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// What a browser's `PushSubscription.toJSON()` returns; another one each time.
    pub(crate) fn browser_subscription(&self) -> Value {
        let keys = UserAgentKeys::generate(self.randomness.as_ref()).unwrap();
        let token: [u8; 8] = self.randomness.octets();
        json!({
            "endpoint": format!(
                "https://updates.push.services.mozilla.com/wpush/v2/{}",
                u64::from_be_bytes(token),
            ),
            "expirationTime": null,
            "keys": {
                "p256dh": keys.public_key().to_base64url(),
                "auth": base64url(keys.auth().expose()),
            },
        })
    }

    /// Registers a new subscription as its page; its id and token.
    pub(crate) async fn register(&self) -> (String, String) {
        let call = Call::post(&format!("{APP}/subscriptions")).json(&self.browser_subscription());
        let answer = self.send(call).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer}");
        let body = answer.json();
        (text(&body["id"]), text(&body["token"]))
    }

    /// How often the planner was told that there is something to plan.
    pub(crate) fn messages_accepted(&self) -> u64 {
        self.messages_accepted.0.load(Ordering::SeqCst)
    }

    /// The store's file.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        database(self.directory.path())
    }
}

fn database(directory: &Path) -> rusqlite::Connection {
    let file = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| rusqlite_file(path))
        .unwrap();
    rusqlite::Connection::open(file).unwrap()
}

fn rusqlite_file(path: &Path) -> bool {
    let head = std::fs::read(path).unwrap_or_default();
    head.starts_with(b"SQLite format 3\0")
}

fn applications(setup: &Setup, directory: &Path) -> Applications {
    let first = application(setup);
    if !setup.two_applications {
        return Applications::new([first]);
    }
    // No method of a store makes one yet.
    let sql = "INSERT INTO applications (id, name, created_at) VALUES (2, ?1, 0)";
    database(directory)
        .execute(sql, [OTHER_APPLICATION])
        .unwrap();
    let second = Application {
        id: ApplicationId::from_i64(2),
        name: ApplicationName::parse(OTHER_APPLICATION).unwrap(),
        ..first.clone()
    };
    Applications::new([first, second])
}

fn application(setup: &Setup) -> Application {
    Application {
        id: ApplicationId::DEFAULT,
        name: ApplicationName::parse(ApplicationName::DEFAULT).unwrap(),
        cors_origins: vec![PageOrigin::parse(setup.cors_origin).unwrap()],
        page_users: setup.page_users,
        user_token_keys: setup.user_token_keys.clone(),
        max_subscriptions_per_user: setup.max_subscriptions_per_user,
        site_url: Url::parse("https://site.example/").unwrap(),
    }
}

/// Limits whose time passes when the harness's clock is moved.
fn rate_limits(setup: &Setup, clock: Arc<FixedClock>) -> RateLimits {
    let since_start = move || {
        let milliseconds = clock.now().as_millis() - FixedClock::START.as_millis();
        Duration::from_millis(u64::try_from(milliseconds).unwrap())
    };
    RateLimits::with_time(setup.rate_limits, Arc::new(since_start))
}

#[derive(Default)]
struct MessagesAccepted(AtomicU64);

impl WakePlanner for MessagesAccepted {
    fn message_accepted(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A request.
pub(crate) struct Call {
    builder: http::request::Builder,
    body: Vec<u8>,
}

impl Call {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self {
            builder: Request::builder().method(method).uri(path),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn patch(path: &str) -> Self {
        Self::new(Method::PATCH, path)
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// As if it came over a connection from this address.
    pub(crate) fn coming_from(mut self, address: &str) -> Self {
        let address: IpAddr = address.parse().unwrap();
        let peer = PeerAddress::new(SocketAddr::new(address, 4711));
        self.builder = self.builder.extension(peer);
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    pub(crate) fn admin(self) -> Self {
        self.bearer(ADMIN_TOKEN)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header(CONTENT_TYPE.as_str(), "application/json")
            .body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn into_request(self) -> Request<Body> {
        self.builder.body(self.body.into()).unwrap()
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in headers {
            writeln!(f, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        writeln!(f)?;
        match (
            serde_json::from_slice::<Value>(&self.body),
            std::str::from_utf8(&self.body),
        ) {
            (Ok(json), _) => write!(f, "{json:#}"),
            (_, Ok(text)) => f.write_str(text),
            _ => write!(f, "<{} octets: {}>", self.body.len(), base64url(&self.body)),
        }
    }
}

/// Calls, one after the other, and their answers, as one text for a snapshot.
pub(crate) struct Transcript<'a> {
    harness: &'a Harness,
    text: String,
}

impl<'a> Transcript<'a> {
    pub(crate) fn new(harness: &'a Harness) -> Self {
        Self {
            harness,
            text: String::new(),
        }
    }

    /// Sends a call and writes down what came back.
    pub(crate) async fn send(&mut self, what: &str, call: Call) -> Answer {
        let answer = self.harness.send(call).await;
        writeln!(self.text, "## {what}\n{answer}\n").unwrap();
        answer
    }

    pub(crate) fn check(self, name: &str) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.add_filter(r"(req|sub|msg|key|tok)_[0-9a-f]{32}", "${1}_<id>");
        settings.add_filter(r#"etag: ("[^"]+")"#, "etag: <tag>");
        settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "<instant>");
        settings.add_filter(r#""token": "(tdg_)?[\w-]{43}""#, r#""token": "$1<token>""#);
        settings.add_filter(r#""next": "[\w-]+""#, r#""next": "<cursor>""#);
        settings.bind(|| insta::assert_snapshot!(name, self.text));
    }
}

pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not text: {value}"))
        .to_owned()
}

pub(crate) fn base64url(octets: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(octets)
}
