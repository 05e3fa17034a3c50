//! HTTP/2 over TLS, without a layer above the protocol: push messages are what the sandbox is
//! there for, and by the hundred thousand.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::body::{Body, HttpBody as _};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::future::poll_immediate;
use futures_util::stream::FuturesUnordered;
use h2::server::{Connection as Http2, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;

use super::acceptor::{Acceptor, HANDSHAKE_TIMEOUT, MAX_HEAD_BYTES};
use crate::behaviour::Break;
use crate::connections::{Connection, OpenConnection, Order, Protocol};
use crate::push::{self, Outcome, ReadError};

/// How many octets a client may send before it must wait: for a stream, and for a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// The largest body that is taken for anything but a push message.
const MAX_OTHER_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Serves one connection to its end.
pub(super) async fn serve<S>(acceptor: &Acceptor, stream: S, open: &OpenConnection)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(acceptor.max_concurrent_streams)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(stream);
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(http2)) => converse(acceptor, http2, open.connection()).await,
        Ok(Err(error)) => tracing::debug!(%error, "HTTP/2 did not begin"),
        Err(_) => tracing::debug!("HTTP/2 took too long to begin"),
    }
}

async fn converse<S>(acceptor: &Acceptor, mut http2: Http2<S, Bytes>, connection: &Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut wound_down = pin!(connection.ordered(Order::WindDown));
    let mut ended = pin!(connection.ordered(Order::GoAway));
    let mut draining = pin!(acceptor.service.draining.cancelled());
    let mut killed = pin!(acceptor.killed.cancelled());
    let (mut is_winding_down, mut is_ended, mut is_draining) = (false, false, false);
    // In this task: what is answered between two looks at the connection is written at once.
    let mut answering = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            accepted = http2.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    connection.count_request(Protocol::Http2);
                    answering.push(answer(acceptor, connection, request, respond));
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a connection ended badly");
                    return;
                }
                None => return,
            },
            Some(()) = answering.next() => {
                while let Some(Some(())) = poll_immediate(answering.next()).await {}
            }
            order = &mut ended, if !is_ended => {
                is_ended = true;
                if order == Order::Cut {
                    return;
                }
                http2.abrupt_shutdown(Reason::INTERNAL_ERROR);
            }
            _ = &mut wound_down, if !is_winding_down => {
                is_winding_down = true;
                http2.graceful_shutdown();
            }
            () = &mut draining, if !is_draining => {
                is_draining = true;
                http2.graceful_shutdown();
            }
            () = &mut killed => return,
        }
    }
}

async fn answer(
    acceptor: &Acceptor,
    connection: &Arc<Connection>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let outcome = {
        let mut deciding = pin!(decide(acceptor, connection, request));
        // Whoever resets a stream or closes the connection waits for nothing any more.
        poll_fn(|context| match deciding.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => respond.poll_reset(context).map(|_| Outcome::Vanished),
        })
        .await
    };
    match outcome {
        Outcome::Answer(response) => {
            if let Err(error) = send(&mut respond, response).await {
                tracing::debug!(%error, "an answer could not be sent");
            }
        }
        Outcome::Break(Break::Reset) => respond.send_reset(Reason::INTERNAL_ERROR),
        Outcome::Break(Break::Refuse) => respond.send_reset(Reason::REFUSED_STREAM),
        Outcome::Break(how @ (Break::GoAway | Break::Disconnect)) => {
            connection.order(if how == Break::GoAway {
                Order::GoAway
            } else {
                Order::Cut
            });
            // A stream that is dropped is reset: this one is to end with its connection.
            let _ = poll_fn(|context| respond.poll_reset(context)).await;
        }
        Outcome::Vanished => {}
    }
}

async fn decide(
    acceptor: &Acceptor,
    connection: &Arc<Connection>,
    request: Request<RecvStream>,
) -> Outcome {
    let is_push = request.method() == Method::POST && request.uri().path().starts_with("/wpush/");
    if is_push {
        let (head, body) = request.into_parts();
        let service = &acceptor.service;
        let limit = service
            .manner(connection.listener)
            .personality
            .max_body_bytes();
        return push::take(service, connection, head, read(body, limit)).await;
    }
    let (head, body) = request.into_parts();
    let body = match read(body, MAX_OTHER_BODY_BYTES).await {
        Ok(body) => body,
        Err(ReadError::TooLarge) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            return Outcome::Answer(response);
        }
        Err(ReadError::TooLate | ReadError::Vanished) => return Outcome::Vanished,
    };
    let mut request = Request::from_parts(head, Body::from(body));
    request.extensions_mut().insert(Arc::clone(connection));
    match acceptor.router.clone().oneshot(request).await {
        Ok(response) => Outcome::Answer(response),
        Err(never) => match never {},
    }
}

/// Reads a body, without copying it if it came in one piece.
async fn read(mut body: RecvStream, limit: usize) -> Result<Bytes, ReadError> {
    let Some(first) = body.data().await else {
        return Ok(Bytes::new());
    };
    let first = first.map_err(|_| ReadError::Vanished)?;
    release(&mut body, first.len(), limit)?;
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    while let Some(next) = body.data().await {
        let next = next.map_err(|_| ReadError::Vanished)?;
        whole.extend_from_slice(&next);
        release(
            &mut body,
            next.len(),
            limit.saturating_sub(whole.len() - next.len()),
        )?;
    }
    Ok(whole.freeze())
}

/// Lets the client send as many octets more, if these are not too many.
fn release(body: &mut RecvStream, octets: usize, limit: usize) -> Result<(), ReadError> {
    // It fails for a stream that ended, and then there is nothing more to be sent.
    let _ = body.flow_control().release_capacity(octets);
    if octets > limit {
        Err(ReadError::TooLarge)
    } else {
        Ok(())
    }
}

async fn send(respond: &mut SendResponse<Bytes>, response: Response) -> Result<(), h2::Error> {
    let (head, mut body) = response.into_parts();
    let is_whole = body.is_end_stream();
    let mut stream = respond.send_response(http::Response::from_parts(head, ()), is_whole)?;
    if is_whole {
        return Ok(());
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            stream.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        };
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            let Some(room) = poll_fn(|context| stream.poll_capacity(context)).await else {
                return Ok(());
            };
            let part = data.split_to(room?.min(data.len()));
            stream.send_data(part, false)?;
        }
    }
    stream.send_data(Bytes::new(), true)
}
