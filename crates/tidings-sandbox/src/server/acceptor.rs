use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::connections::{Connection, Listener, OpenConnection, Protocol};
use crate::push::ResetStream;
use crate::service::PushService;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the head of an HTTP/1.1 request may take, idle time between requests included.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);

/// The largest head of a request, in octets. A push message has some 700.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How long to wait when the system gives no connection, for lack of file descriptors perhaps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections at one listener.
pub(super) struct Acceptor {
    pub(super) service: Arc<PushService>,
    pub(super) router: Router,
    pub(super) listener: Listener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) max_concurrent_streams: u32,
    /// Cancelled when nothing is waited for any more.
    pub(super) killed: CancellationToken,
}

/// How a connection is to be served.
#[derive(Clone, Copy)]
enum Versions {
    /// Whatever the client begins with.
    Any,
    /// What ALPN agreed on.
    Only(Protocol),
}

impl Acceptor {
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener) {
        let draining = self.service.draining.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = draining.cancelled() => return,
            };
            match accepted {
                Ok((tcp, _)) => {
                    self.service.tasks.spawn(Arc::clone(&self).serve(tcp));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, tcp: TcpStream) {
        let open = self.service.stats.connections.open(self.listener);
        // Answers are small and must not wait for more.
        let _ = tcp.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.speak_http(tcp, Versions::Any, &open).await;
        };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(tcp)).await {
            Ok(Ok(stream)) => {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let protocol = if is_http2 {
                    Protocol::Http2
                } else {
                    Protocol::Http1
                };
                self.speak_http(stream, Versions::Only(protocol), &open)
                    .await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak_http<S>(&self, stream: S, versions: Versions, open: &OpenConnection)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Arc::clone(open.connection());
        let router = self.router.clone();
        let respond =
            service_fn(move |request| respond(router.clone(), Arc::clone(&connection), request));
        let server = self.http(versions);
        let mut conversation =
            pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), respond));
        let ended = tokio::select! {
            ended = conversation.as_mut() => ended,
            () = self.service.draining.cancelled() => {
                conversation.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = conversation => ended,
                    () = self.killed.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
    }

    fn http(&self, versions: Versions) -> auto::Builder<TrackedExecutor> {
        let executor = TrackedExecutor {
            tasks: self.service.tasks.clone(),
        };
        let mut server = auto::Builder::new(executor);
        server
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES);
        server
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.max_concurrent_streams)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
        match versions {
            Versions::Any => server,
            Versions::Only(Protocol::Http1) => server.http1_only(),
            Versions::Only(Protocol::Http2) => server.http2_only(),
        }
    }
}

/// The request was answered by a reset on purpose. HTTP/2 sends `RST_STREAM`, HTTP/1.1 closes.
#[derive(Debug, Error)]
#[error("reset on command")]
struct ResetOnCommand;

async fn respond(
    router: Router,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response, ResetOnCommand> {
    connection.count_request(Protocol::of(request.version()));
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(connection);
    match router.oneshot(request).await {
        Ok(response) if response.extensions().get::<ResetStream>().is_some() => Err(ResetOnCommand),
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

/// Runs the streams of HTTP/2 as tasks that a shutdown waits for.
#[derive(Clone)]
struct TrackedExecutor {
    tasks: TaskTracker,
}

impl<F> Executor<F> for TrackedExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.tasks.spawn(future);
    }
}
