use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tidings_webpush::Randomness;

use crate::personality::Personality;
use crate::played_service::PlayedService;

/// Where the sandbox reads the time from: expiry of tokens and messages, `received_at`.
///
/// Any `Fn() -> SystemTime` is one.
pub trait Clock: Send + Sync {
    /// The current instant.
    fn now(&self) -> SystemTime;
}

impl<F> Clock for F
where
    F: Fn() -> SystemTime + Send + Sync,
{
    fn now(&self) -> SystemTime {
        self()
    }
}

/// The HTTP versions that the TLS listener offers by ALPN.
///
/// The plain listener has no ALPN: it always takes HTTP/1.1, and HTTP/2 from clients that begin
/// with its preface (RFC 9113 §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlpnOffer {
    /// `h2`, else `http/1.1`.
    #[default]
    Http2AndHttp1,
    /// `http/1.1` alone, as push services that never learned HTTP/2 do.
    Http1Only,
}

/// What becomes of the certificate of the authority made at start-up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CaOutput {
    /// It is kept in memory; [`RunningSandbox::ca_pem`](crate::RunningSandbox::ca_pem) gives it.
    #[default]
    Memory,
    /// It is also written to this file as PEM, replacing what is there.
    File(PathBuf),
}

/// How a sandbox is set up.
///
/// At least one of the two listeners, or a service, must be given.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Where to listen for plain HTTP and `ws:`; port 0 takes a free one.
    pub http: Option<SocketAddr>,
    /// Where to listen for HTTPS and `wss:`; port 0 takes a free one.
    pub https: Option<SocketAddr>,
    /// The host in the URLs handed out, so part of the audience that VAPID tokens must name. A
    /// name or an address, without port; IPv6 addresses with or without brackets.
    pub public_host: String,
    /// Further push services that it plays at the same time, each over TLS under a host and a
    /// port of its own; at most 32.
    pub services: Vec<PlayedService>,
    /// What TLS offers.
    pub alpn: AlpnOffer,
    /// `SETTINGS_MAX_CONCURRENT_STREAMS` of HTTP/2 connections.
    pub max_concurrent_streams: u32,
    /// Where the certificate authority goes. Without TLS listener there is none.
    pub ca: CaOutput,
    /// Which push service the listeners `http` and `https` play towards application servers.
    pub personality: Personality,
    /// Of the virtual user agents one in so many decrypts what it gets, always the same ones.
    pub decrypt_one_in: NonZeroU32,
    /// What follows from chance follows from this: which POSTs and subscriptions the rules of
    /// `PUT /sandbox/behaviour` meet. `None` is another number each time.
    pub seed: Option<u64>,
    /// Rules in force from the start, in the form of `PUT /sandbox/behaviour`.
    pub behaviour: Option<String>,
    /// How many messages are remembered for `GET /sandbox/messages`.
    pub kept: KeptMessages,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tokens, ids and the seed of the virtual user agents come from.
    pub randomness: Arc<dyn Randomness>,
}

impl SandboxOptions {
    /// Plain HTTP on a free port of 127.0.0.1, no TLS, Mozilla's manners; everything is
    /// decrypted.
    pub fn new(clock: Arc<dyn Clock>, randomness: Arc<dyn Randomness>) -> Self {
        Self {
            http: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            https: None,
            public_host: "127.0.0.1".to_owned(),
            services: Vec::new(),
            alpn: AlpnOffer::default(),
            max_concurrent_streams: 100,
            ca: CaOutput::default(),
            personality: Personality::default(),
            decrypt_one_in: NonZeroU32::MIN,
            seed: None,
            behaviour: None,
            kept: KeptMessages::default(),
            clock,
            randomness,
        }
    }
}

/// Bounds of what `GET /sandbox/messages` can show. The oldest give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptMessages {
    /// Of one subscription; 0 keeps nothing at all.
    pub per_subscription: usize,
    /// Whether only messages with a topic are kept: whoever sends a million and looks at a few.
    pub only_with_topic: bool,
    /// Of all subscriptions together, roughly: the store is cut into shards, each with its share.
    pub total: usize,
    /// Octets of payload of all subscriptions together, roughly.
    pub total_bytes: usize,
}

impl Default for KeptMessages {
    fn default() -> Self {
        Self {
            per_subscription: 32,
            only_with_topic: false,
            total: 100_000,
            total_bytes: 64 * 1024 * 1024,
        }
    }
}
