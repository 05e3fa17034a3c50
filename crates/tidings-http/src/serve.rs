//! Connections: accepted, bounded, drained.

mod activity;
mod per_address;
mod unstuck;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::client_address::{PeerAddress, TrustedProxies};
use crate::serve::activity::Activity;
pub(crate) use crate::serve::activity::MayLast;
use crate::serve::per_address::{Held, PerAddress};
use crate::serve::unstuck::Unstuck;

/// The resets that one HTTP/2 connection is forgiven.
const RESET_STREAMS: usize = 64;

/// What bounds a server's connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServeLimits {
    /// How many there are at once; further ones wait to be accepted. At least 1.
    pub connections: usize,
    /// How many of them one address may have: an IPv4 address or the /64 of an IPv6 address. Further
    /// ones are closed at once.
    pub connections_per_address: usize,
    /// Whose connections are not counted by address: those of a reverse proxy are all visitors'.
    pub uncounted: TrustedProxies,
    /// How long the head of a request may take to arrive: the first one of a connection, and over
    /// HTTP/1.1 each one, so it bounds idling as well.
    pub head_timeout: Duration,
    /// How long a connection may be idle between two requests. Over HTTP/1.1, `head_timeout` ends
    /// it before.
    pub idle: Duration,
    /// How long the other side may take nothing of what it is sent.
    pub stuck: Duration,
    /// How long a connection is used. Then it is ended as by a shutdown: no trick keeps one for ever.
    pub age: Duration,
    /// How long the last requests of a connection that is too old may take, and how long it stays
    /// after the last import or export, which may take as long as they do.
    pub last_words: Duration,
    /// The most octets of a request's head.
    pub head_bytes: u32,
    /// The most header fields of a request. Over HTTP/2, `head_bytes` bounds them, with 32 added for
    /// each.
    pub head_fields: usize,
    /// The most requests under way on one HTTP/2 connection.
    pub streams: u32,
    /// How long requests that are being answered may still take after the shutdown began.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 512,
            uncounted: TrustedProxies::default(),
            head_timeout: Duration::from_secs(15),
            idle: Duration::from_mins(2),
            stuck: Duration::from_secs(30),
            age: Duration::from_hours(1),
            last_words: Duration::from_mins(1),
            head_bytes: 32 * 1024,
            head_fields: 100,
            streams: 128,
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves HTTP/1.1 and, by prior knowledge, HTTP/2 until `shutdown` is cancelled. Then it accepts
/// nothing more, lets what was begun be answered, and returns when that is done or
/// [`ServeLimits::drain`] is over.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    limits: ServeLimits,
) {
    let drain = limits.drain;
    let server = Arc::new(Server {
        router,
        builder: builder(&limits),
        per_address: PerAddress::new(limits.connections_per_address),
        limits,
        shutdown,
        cut: CancellationToken::new(),
    });
    let tracker = TaskTracker::new();
    server.accept_all(&listener, &tracker).await;
    drop(listener);
    tracker.close();
    if tokio::time::timeout(drain, tracker.wait()).await.is_err() {
        let cut = tracker.len();
        tracing::warn!(
            connections = cut,
            "{cut} connections were cut: draining took too long"
        );
        server.cut.cancel();
        tracker.wait().await;
    }
}

struct Server {
    router: Router,
    builder: auto::Builder<TokioExecutor>,
    limits: ServeLimits,
    per_address: PerAddress,
    /// Stop accepting, end connections gracefully.
    shutdown: CancellationToken,
    /// End connections now.
    cut: CancellationToken,
}

impl Server {
    async fn accept_all(self: &Arc<Self>, listener: &TcpListener, tracker: &TaskTracker) {
        let permits = Arc::new(Semaphore::new(self.limits.connections.max(1)));
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                accepted = accept(listener, &permits) => accepted,
            };
            match accepted {
                Some((stream, peer, permit)) => {
                    let Some(held) = self.hold(peer) else {
                        tracing::debug!("a connection was closed: its address has enough of them");
                        continue;
                    };
                    let server = Arc::clone(self);
                    tracker.spawn(async move {
                        server.serve_connection(stream, peer).await;
                        drop((held, permit));
                    });
                }
                None => return,
            }
        }
    }

    fn hold(&self, peer: SocketAddr) -> Option<Held> {
        if self.limits.uncounted.contains(peer.ip()) {
            return Some(PerAddress::uncounted());
        }
        self.per_address.hold(peer.ip())
    }

    async fn serve_connection(&self, stream: TcpStream, peer: SocketAddr) {
        // Answers are small: waiting to fill a packet only delays them. If the option cannot be
        // set, the connection is gone already.
        let _ = stream.set_nodelay(true);
        let activity = Activity::new();
        let service = service_fn({
            let (activity, router) = (activity.clone(), self.router.clone());
            move |mut request: Request<Incoming>| {
                let under_way = activity.begin();
                request.extensions_mut().insert(PeerAddress::new(peer));
                if let Some(leave) = activity.may_last() {
                    request.extensions_mut().insert(leave);
                }
                let answering = router.clone().oneshot(request);
                async move {
                    let answer = answering.await;
                    // Until the last octet of the body: a long one is no idling.
                    answer.map(|it| it.map(|body| under_way.until_end_of(body)))
                }
            }
        });
        let stream = TokioIo::new(Unstuck::new(stream, self.limits.stuck));
        let mut connection = pin!(self.builder.serve_connection(stream, service));
        // hyper's own limit begins with HTTP/1.1; a connection that has not said what it speaks,
        // or speaks HTTP/2 and asks nothing, would stay for ever.
        let mut idles = pin!(activity.ceases(self.limits.head_timeout, self.limits.idle));
        let old_at = Instant::now() + self.limits.age;
        let mut is_old = pin!(tokio::time::sleep_until(old_at));
        let mut too_old = pin!(activity.has_said_last(old_at, self.limits.last_words));
        let mut draining = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::trace!(error, "a connection broke");
                    }
                    return;
                }
                () = &mut idles => return,
                () = self.cut.cancelled() => return,
                () = &mut too_old => return,
                () = &mut is_old, if !draining => {
                    draining = true;
                    activity.gets_old();
                    connection.as_mut().graceful_shutdown();
                }
                () = self.shutdown.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn builder(limits: &ServeLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(limits.head_fields)
        .max_buf_size(
            usize::try_from(limits.head_bytes)
                .unwrap_or(usize::MAX)
                .max(8192),
        );
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.head_bytes)
        .max_concurrent_streams(limits.streams)
        // Streams that are opened and reset at once cost us work and count as none: h2 ends a
        // connection with so many resets that it had not yet looked at (CVE-2023-44487).
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(RESET_STREAMS)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// The next connection, once there is room for it. `None` if there can be no more.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, permit)),
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                // Out of file descriptors, for example. Trying again at once would only spin.
                tracing::error!(%error, "connections cannot be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
