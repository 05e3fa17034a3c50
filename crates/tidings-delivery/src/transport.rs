//! Gets requests to push services: connections, protocols, timeouts, limits.

mod dialer;
mod http1;
mod http2;
mod pool;
mod resolver;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use tidings_core::batch::Lane;
use tidings_webpush::{Admission, PushResource};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::transport::dialer::Dialer;
use crate::transport::pool::Pool;
pub use crate::transport::resolver::{Resolver, SystemResolver};
pub use crate::transport::tls::{TlsError, client_config};

/// Gets push messages to push services, in two steps: what a message says about time is made only
/// when there is room for it.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Waits until a connection to the push resource's origin has room for one request.
    async fn turn(
        &self,
        resource: &PushResource,
        lane: Lane,
    ) -> Result<Box<dyn Turn>, TransportError>;

    /// So many deliveries to this origin come soon: connections are opened ahead of them.
    fn expect(&self, _resource: &PushResource, _deliveries: usize) {}

    /// Begins nothing more: whoever still waits for a turn gets [`TransportError::Closed`]. Turns
    /// that were given stay good.
    fn close(&self) {}
}

/// Room for one request on a connection. Dropping it gives the room back.
#[async_trait]
pub trait Turn: Send {
    /// Posts a push message to the push resource that the turn was taken for. The answer's body is
    /// cut after [`Limits::body_bytes`]. After [`TransportError::NotProcessed`] it may be posted
    /// again at once, with another turn.
    async fn post(
        self: Box<Self>,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError>;
}

/// Why there is no answer. The push service may have taken the message all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The host has no address.
    #[error("the host name could not be resolved: {0}")]
    Resolve(String),
    /// The host's addresses must not be connected to.
    #[error("the host's address is not one that may be connected to (setting push.allow_networks)")]
    AddressNotAllowed,
    /// No connection came about.
    #[error("no connection: {0}")]
    Connect(String),
    /// The push service did not prove who it is, or speaks no TLS.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// All connections were busy for too long.
    #[error("timed out while waiting for a connection with room")]
    NoRoom,
    /// Something took too long.
    #[error("timed out while {0}")]
    TimedOut(&'static str),
    /// The connection broke or made no sense while the request was under way.
    #[error("the connection failed: {0}")]
    Broken(String),
    /// The push service said that it has not looked at the request.
    #[error("the push service closed the connection before it looked at the request")]
    NotProcessed,
    /// The transport was closed before the request was begun.
    #[error("the server is stopping")]
    Closed,
}

/// What bounds connections and requests.
#[derive(Clone, Debug)]
pub struct Limits {
    /// HTTP/2 connections to one origin.
    pub http2_connections: usize,
    /// Requests under way on one HTTP/2 connection, if the push service allows as many.
    pub http2_streams: usize,
    /// HTTP/1.1 connections to one origin, each with one request under way.
    pub http1_connections: usize,
    /// Origins with open connections; the one that was idle longest makes room.
    pub origins: usize,
    /// From the first look-up of the name to the end of the TLS handshake.
    pub connect: Duration,
    /// How long a request waits until a connection has room for it.
    pub wait: Duration,
    /// From the first octet of the request to the last of the answer.
    pub request: Duration,
    /// A connection that was idle for so long is not used again. It is closed with the next
    /// requests, to whomever they go.
    pub idle: Duration,
    /// Octets of an answer's header.
    pub header_bytes: u32,
    /// Octets of an answer's body that are read.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            http2_connections: 4,
            http2_streams: 100,
            http1_connections: 16,
            origins: 512,
            connect: Duration::from_secs(10),
            wait: Duration::from_secs(30),
            request: Duration::from_secs(30),
            idle: Duration::from_mins(5),
            header_bytes: 16 * 1024,
            body_bytes: 4 * 1024,
        }
    }
}

/// The transport to real push services: HTTP/2 where ALPN offers it, HTTP/1.1 otherwise; pooled by
/// origin; connects only to addresses that were checked; follows no redirects.
pub struct PushTransport {
    dialer: Arc<Dialer>,
    limits: Limits,
    pools: Mutex<Pools>,
    tasks: TaskTracker,
    closed: CancellationToken,
}

impl PushTransport {
    /// A transport that connects to what `admission` allows and trusts what `tls` trusts.
    pub fn new(
        admission: Arc<Admission>,
        tls: Arc<rustls::ClientConfig>,
        resolver: Arc<dyn Resolver>,
        limits: Limits,
    ) -> Self {
        Self {
            dialer: Arc::new(Dialer::new(admission, tls, resolver)),
            limits,
            pools: Mutex::new(Pools {
                by_origin: HashMap::new(),
                tidied_at: Instant::now(),
            }),
            tasks: TaskTracker::new(),
            closed: CancellationToken::new(),
        }
    }

    fn pool(&self, resource: &PushResource) -> Arc<Pool> {
        let mut pools = self.lock_pools();
        pools.tidy(self.limits.idle);
        if let Some(pool) = pools.by_origin.get(resource.origin()) {
            return Arc::clone(pool);
        }
        if pools.by_origin.len() >= self.limits.origins {
            pools.make_room();
        }
        let pool = Arc::new(Pool::new(
            Arc::clone(&self.dialer),
            self.limits.clone(),
            self.tasks.clone(),
            self.closed.clone(),
        ));
        let origin = resource.origin().to_owned();
        pools.by_origin.insert(origin, Arc::clone(&pool));
        pool
    }

    fn lock_pools(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pools of all origins. Dropping one closes its idle connections; requests that are under way
/// keep theirs.
struct Pools {
    by_origin: HashMap<String, Arc<Pool>>,
    tidied_at: Instant,
}

impl Pools {
    /// Drops the pools that nobody has used for so long, looking once in that time: a pool that is
    /// used closes its own idle connections.
    fn tidy(&mut self, idle: Duration) {
        if self.tidied_at.elapsed() < idle {
            return;
        }
        self.by_origin
            .retain(|_, pool| pool.last_used().elapsed() <= idle);
        self.tidied_at = Instant::now();
    }

    /// Drops the pool that was used longest ago.
    fn make_room(&mut self) {
        let oldest = self
            .by_origin
            .iter()
            .map(|(origin, pool)| (pool.last_used(), origin.clone()))
            .min();
        if let Some((_, origin)) = oldest {
            self.by_origin.remove(&origin);
        }
    }
}

#[async_trait]
impl Transport for PushTransport {
    async fn turn(
        &self,
        resource: &PushResource,
        _lane: Lane,
    ) -> Result<Box<dyn Turn>, TransportError> {
        let pool = self.pool(resource);
        Ok(Box::new(pool.turn(resource).await?))
    }

    fn close(&self) {
        self.closed.cancel();
    }
}

impl fmt::Debug for PushTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushTransport")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
