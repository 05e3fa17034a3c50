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

use crate::connections::{Connection, Listener, OpenConnection, Order, Protocol};
use crate::outage::{How, Outage};
use crate::push::ResetStream;
use crate::server::http2;
use crate::server::port::Port;
use crate::service::{PushService, Site};
use crate::tcp::Tcp;

/// How long a TLS handshake may take.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the head of an HTTP/1.1 request may take, idle time between requests included.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);

/// The largest head of a request, in octets. A push message has some 700.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How long to wait when the system gives no connection, for lack of file descriptors perhaps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections at one listener.
pub(super) struct Acceptor {
    pub(super) service: Arc<PushService>,
    pub(super) router: Router,
    pub(super) listener: Listener,
    pub(super) port: Port,
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
    /// What ALPN agreed on, if it is not HTTP/2.
    Http1,
}

impl Acceptor {
    pub(super) async fn run(self: Arc<Self>, mut listener: TcpListener) {
        let draining = self.service.draining.clone();
        let Some(site) = self.service.site(self.listener) else {
            return;
        };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = refused(&site.outage) => {
                    drop(listener);
                    let Some(again) = self.listen_again(site).await else {
                        return;
                    };
                    listener = again;
                    continue;
                }
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

    /// Listens again as soon as nothing is refused any more; `None` if the sandbox ends before.
    async fn listen_again(&self, site: &Site) -> Option<TcpListener> {
        loop {
            tokio::select! {
                () = site.outage.over() => {}
                () = self.service.draining.cancelled() => return None,
            }
            if site.outage.now() == Some(How::Refuse) {
                continue;
            }
            match self.port.listen() {
                Ok(listener) => return Some(listener),
                Err(error) => {
                    tracing::error!(%error, address = %self.port.address(), "cannot listen again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, tcp: TcpStream) {
        let open = self.service.stats.connections.open(self.listener);
        let Some(site) = self.service.site(self.listener) else {
            return;
        };
        if site.outage.now() == Some(How::Silence) {
            tokio::select! {
                () = site.outage.over() => {}
                () = self.service.draining.cancelled() => {}
            }
        }
        let tcp = Tcp::new(tcp, Arc::clone(open.connection()));
        let cut = async {
            site.outage.begun().await;
            // Before its socket is dropped.
            open.connection().order(Order::Cut);
        };
        tokio::select! {
            () = Arc::clone(&self).speak(tcp, &open) => {}
            () = cut => {}
        }
    }

    async fn speak(self: Arc<Self>, tcp: Tcp, open: &OpenConnection) {
        let Some(tls) = &self.tls else {
            return self.speak_http(tcp, Versions::Any, open).await;
        };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(tcp)).await {
            Ok(Ok(stream)) => {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                if is_http2 {
                    http2::serve(&self, stream, open).await;
                } else {
                    self.speak_http(stream, Versions::Http1, open).await;
                }
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
        let connection = open.connection();
        let mut wound_down = pin!(connection.ordered(Order::WindDown));
        let mut is_winding_down = false;
        let ended = loop {
            tokio::select! {
                ended = conversation.as_mut() => break ended,
                _ = &mut wound_down, if !is_winding_down => {}
                () = self.service.draining.cancelled(), if !is_winding_down => {}
                // Beyond that, all that HTTP/1.1 can do is to close.
                _ = connection.ordered(Order::GoAway) => return connection.order(Order::Cut),
                () = self.killed.cancelled() => return,
            }
            if !is_winding_down {
                is_winding_down = true;
                conversation.as_mut().graceful_shutdown();
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
            Versions::Http1 => server.http1_only(),
        }
    }
}

/// Resolves while connections are to be refused.
async fn refused(outage: &Outage) {
    outage.begun().await;
    while outage.now() != Some(How::Refuse) {
        outage.over().await;
        outage.begun().await;
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
