//! Connections: accepted, bounded, drained.

use std::io;
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
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// What bounds a server's connections.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ServeLimits {
    /// How many there are at once; further ones wait to be accepted. At least 1.
    pub connections: usize,
    /// How long the head of a request may take to arrive: the first one of a connection, and over
    /// HTTP/1.1 each one, so it bounds idling as well.
    pub head_timeout: Duration,
    /// The most octets of a request's head.
    pub head_bytes: u32,
    /// How long requests that are being answered may still take after the shutdown began.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_timeout: Duration::from_secs(15),
            head_bytes: 32 * 1024,
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
    let server = Arc::new(Server {
        router,
        builder: builder(&limits),
        limits,
        shutdown,
        cut: CancellationToken::new(),
    });
    let tracker = TaskTracker::new();
    server.accept_all(&listener, &tracker).await;
    drop(listener);
    tracker.close();
    if tokio::time::timeout(limits.drain, tracker.wait())
        .await
        .is_err()
    {
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
                Some((stream, permit)) => {
                    let server = Arc::clone(self);
                    tracker.spawn(async move {
                        server.serve_connection(stream).await;
                        drop(permit);
                    });
                }
                None => return,
            }
        }
    }

    async fn serve_connection(&self, stream: TcpStream) {
        // Answers are small: waiting to fill a packet only delays them. If the option cannot be
        // set, the connection is gone already.
        let _ = stream.set_nodelay(true);
        let begun = Arc::new(Notify::new());
        let service = service_fn({
            let (begun, router) = (Arc::clone(&begun), self.router.clone());
            move |request: Request<Incoming>| {
                begun.notify_one();
                router.clone().oneshot(request)
            }
        });
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        // hyper's own limit begins with HTTP/1.1; a connection that has not said what it speaks,
        // or speaks HTTP/2 and asks nothing, would stay for ever.
        let idles = async {
            if tokio::time::timeout(self.limits.head_timeout, begun.notified())
                .await
                .is_ok()
            {
                std::future::pending::<()>().await;
            }
        };
        let mut idles = pin!(idles);
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
        .max_buf_size(
            usize::try_from(limits.head_bytes)
                .unwrap_or(usize::MAX)
                .max(8192),
        );
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.head_bytes)
        .max_concurrent_streams(128)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// The next connection, once there is room for it. `None` if there can be no more.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, permit)),
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
