//! One HTTP/2 connection. The `h2` crate directly: what GOAWAY and resets said decides whether a
//! request may be repeated, and hyper's client does not tell.

mod driver;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::transport::http2::driver::{Coalescing, drive};
use crate::transport::strangers::Permit;
use crate::transport::wanted::{Wanted, wanted};
use crate::transport::{Limits, TransportError};

/// Requests on a connection before the push service has said how many it allows.
pub(super) const STREAMS_UNTOLD: usize = 10;

/// Stands for the number while nobody has told it.
const UNTOLD: usize = usize::MAX - 1;

/// What a pool has to know of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// So many requests may be under way from now on.
    Streams(usize),
    /// Nothing new.
    GoingAway,
    /// Nothing new, and no other connection for a while: the push service finds us too busy.
    TooMuch,
}

pub(super) struct Http2Connection {
    sender: SendRequest<Bytes>,
    closed: AtomicBool,
    /// Requests that may be under way at once, or [`UNTOLD`].
    streams: AtomicUsize,
    /// How many requests were answered.
    answers: AtomicU64,
    limits: Arc<Limits>,
    _wanted: Wanted,
}

impl Http2Connection {
    /// Tells of changes from its own task; what was told before is also kept here.
    pub(super) async fn open<S>(
        stream: S,
        limits: &Arc<Limits>,
        tasks: &TaskTracker,
        (tell, permit): (impl Fn(Change) + Send + Sync + 'static, Option<Permit>),
    ) -> Result<Arc<Self>, TransportError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream = Coalescing::new(stream);
        let (sender, connection) = client::Builder::new()
            .enable_push(false)
            .initial_max_send_streams(UNTOLD)
            .max_header_list_size(limits.header_bytes)
            .handshake(stream.another())
            .await
            .map_err(|error| broken(&error))?;
        let (wanted, while_wanted) = wanted();
        let opened = Arc::new(Self {
            sender,
            closed: AtomicBool::new(false),
            streams: AtomicUsize::new(UNTOLD),
            answers: AtomicU64::new(0),
            limits: Arc::clone(limits),
            _wanted: wanted,
        });
        let weak = Arc::downgrade(&opened);
        tasks.spawn(async move {
            let running = drive((connection, stream), weak, tell);
            while_wanted.run(running).await;
            drop(permit);
        });
        Ok(opened)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Requests that may be under way at once, as far as the push service is concerned, once it has
    /// said so.
    pub(super) fn streams(&self) -> Option<usize> {
        let streams = self.streams.load(Ordering::Acquire);
        (streams != UNTOLD).then_some(streams)
    }

    /// Sends a request with this call, and waits for its answer.
    pub(super) fn post(
        self: &Arc<Self>,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, TransportError>> + Send + use<> {
        let sent = self.send(request);
        let connection = Arc::clone(self);
        async move {
            let limits = &connection.limits;
            let head = timeout(limits.request, sent?).await;
            let head = head.map_err(|_| TransportError::TimedOut("waiting for the answer"))?;
            let (head, body) = head
                .map_err(|error| connection.unanswered(&error))?
                .into_parts();
            connection.answers.fetch_add(1, Ordering::Relaxed);
            let body = read_some(body, limits).await;
            Ok(Response::from_parts(head, body))
        }
    }

    fn send(&self, request: Request<Bytes>) -> Result<ResponseFuture, TransportError> {
        let (parts, body) = request.into_parts();
        let has_body = !body.is_empty();
        let mut sender = self.sender.clone();
        let (response, mut stream) = sender
            .send_request(Request::from_parts(parts, ()), !has_body)
            .map_err(|error| self.unsent(&error))?;
        if has_body {
            stream
                .send_data(body, true)
                .map_err(|error| self.unanswered(&error))?;
        }
        Ok(response)
    }

    /// What has changed since this was asked last.
    fn look(&self, context: &mut Context<'_>) -> Option<Change> {
        // Ready means only that it would take a request.
        if let Poll::Ready(Err(error)) = self.sender.clone().poll_ready(context) {
            self.closed.store(true, Ordering::Release);
            let too_much = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
            return Some(if too_much {
                Change::TooMuch
            } else {
                Change::GoingAway
            });
        }
        let streams = self.sender.current_max_send_streams();
        let before = self.streams.swap(streams, Ordering::AcqRel);
        (before != streams).then_some(Change::Streams(streams))
    }

    /// The connection took no request any more: nothing was sent.
    fn unsent(&self, error: &h2::Error) -> TransportError {
        if error.is_io() || error.is_go_away() {
            self.closed.store(true, Ordering::Release);
            TransportError::NotProcessed
        } else {
            broken(error)
        }
    }

    /// A stream that was refused, or lies above the last one that a GOAWAY names, was not looked at
    /// (RFC 9113 §6.8, §8.7).
    fn unanswered(&self, error: &h2::Error) -> TransportError {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        let left_behind = error.is_go_away() && error.is_remote();
        if left_behind {
            self.closed.store(true, Ordering::Release);
        }
        if refused || left_behind {
            TransportError::NotProcessed
        } else {
            broken(error)
        }
    }
}

/// Reads a bounded part. The status has come, so a body that stalls or breaks off is no failure.
async fn read_some(mut body: RecvStream, limits: &Limits) -> Bytes {
    let (mut read, limit) = (Vec::new(), limits.body_bytes);
    if body.is_end_stream() {
        return Bytes::new();
    }
    let reading = async {
        while let Some(Ok(data)) = body.data().await {
            // Flow control is ours: without this the push service stops sending.
            let _ = body.flow_control().release_capacity(data.len());
            let room = limit.saturating_sub(read.len());
            read.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            if read.len() >= limit {
                break;
            }
        }
    };
    let _ = timeout(limits.body, reading).await;
    read.into()
}

fn broken(error: &h2::Error) -> TransportError {
    TransportError::Broken(error.to_string())
}

#[cfg(test)]
mod tests;
