//! Gets requests to push services: connections, protocols, timeouts, limits.

mod dialer;
mod http1;
mod http2;
mod limits;
mod pool;
mod pools;
mod resolver;
mod room;
mod strangers;
mod tls;
mod wanted;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tidings_core::batch::Lane;
use tidings_webpush::{Admission, PushResource};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::transport::dialer::Dialer;
pub use crate::transport::limits::{Limits, OriginLimits};
use crate::transport::pool::Shared;
use crate::transport::pools::Pools;
pub use crate::transport::resolver::{Resolver, SystemResolver};
pub use crate::transport::tls::{TlsError, client_config};

/// Gets push messages to push services, in two steps: what a message says about time is made only
/// when there is room for it.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Waits until a connection to the push resource's origin has room for one request. Whether
    /// somebody there `has_accepted` a message before says that the origin is nobody's invention.
    async fn turn(
        &self,
        resource: &PushResource,
        lane: Lane,
        has_accepted: bool,
    ) -> Result<Box<dyn Turn>, TransportError>;

    /// So many deliveries to this origin come soon: connections are opened ahead of them.
    fn expect(&self, _resource: &PushResource, _deliveries: usize) {}

    /// Begins nothing more: whoever still waits for a turn gets [`TransportError::Closed`]. Turns
    /// that were given stay good.
    fn close(&self) {}
}

/// Room for one request on a connection. Dropping it gives the room back.
pub trait Turn: Send {
    /// Posts a push message to the push resource that the turn was taken for; it may be on its way
    /// when this returns. The answer's body is cut after [`Limits::body_bytes`]. After
    /// [`TransportError::NotProcessed`] it may be posted again at once, with another turn.
    fn post(self: Box<Self>, request: Request<Bytes>) -> Posting;
}

/// A request under way, and what comes of it.
pub type Posting = BoxFuture<'static, Result<Response<Bytes>, TransportError>>;

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
    /// No connection came about for too long, or those there are take no requests.
    #[error("timed out while waiting for a connection")]
    NotOpened,
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

impl TransportError {
    /// Whether another connection, opened at once, may fare better.
    fn may_be_chance(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Tls(_) | Self::Broken(_))
    }
}

/// The transport to real push services: HTTP/2 where ALPN offers it, HTTP/1.1 otherwise; pooled by
/// origin; connects only to addresses that were checked; follows no redirects.
pub struct PushTransport {
    pools: Arc<Pools>,
    limits: Arc<Limits>,
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
        let limits = Arc::new(limits);
        let closed = CancellationToken::new();
        let shared = Shared {
            dialer: Arc::new(Dialer::new(admission, tls, resolver)),
            limits: Arc::clone(&limits),
            tasks: TaskTracker::new(),
            closed: closed.clone(),
        };
        Self {
            pools: Pools::new(shared, Instant::now()),
            limits,
            closed,
        }
    }
}

#[async_trait]
impl Transport for PushTransport {
    async fn turn(
        &self,
        resource: &PushResource,
        lane: Lane,
        has_accepted: bool,
    ) -> Result<Box<dyn Turn>, TransportError> {
        let now = Instant::now();
        let pool = self.pools.of(resource, now);
        Ok(Box::new(pool.turn(lane, has_accepted, now).await?))
    }

    fn expect(&self, resource: &PushResource, deliveries: usize) {
        let now = Instant::now();
        self.pools.of(resource, now).expect(deliveries, now);
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
