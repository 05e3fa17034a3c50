//! What runs a connection: reads, writes, and notices what the push service says about it.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::http2::{Change, Http2Connection};

/// Runs the connection until it ends. It ends by itself when nobody has it any more.
pub(super) async fn drive<S>(
    (connection, stream): (Connection<Coalescing<S>, Bytes>, Coalescing<S>),
    opened: Weak<Http2Connection>,
    tell: impl Fn(Change),
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = pin!(connection);
    let (mut waits, mut is_leaving) = (false, false);
    let ended = std::future::poll_fn(|context| {
        // Whoever is ready to send goes first: a hundred small requests then leave in a few
        // writes and TLS records instead of one each.
        waits = !waits;
        if waits {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let ended = connection.as_mut().poll(context).map_err(io::Error::other);
        // What cannot be written cannot be answered either.
        if let Poll::Ready(Err(error)) = stream.poll_through(context) {
            return Poll::Ready(Err(error));
        }
        if !is_leaving
            && let Some(opened) = opened.upgrade()
            && let Some(change) = opened.look(context)
        {
            is_leaving = !matches!(change, Change::Streams(_));
            tell(change);
        }
        ended
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "an HTTP/2 connection to a push service ended");
    }
    if let Some(opened) = opened.upgrade() {
        opened.closed.store(true, Ordering::Release);
    }
    tell(Change::GoingAway);
}

/// Octets that are written at once: what fits into a TLS record.
const GATHERED: usize = 16 * 1024;

/// A stream that gathers what is written until it is [told](Self::poll_through) that this was all for
/// now. `h2` flushes after each body of a kilobyte and more, and writes it by itself, which would
/// make two TLS records and system calls of each push message.
pub(super) struct Coalescing<S>(Arc<Mutex<Gathering<S>>>);

struct Gathering<S> {
    stream: S,
    gathered: BytesMut,
}

impl<S> Coalescing<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Gathering {
            stream,
            gathered: BytesMut::new(),
        })))
    }

    pub(super) fn another(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn lock(&self) -> MutexGuard<'_, Gathering<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncWrite + Unpin> Coalescing<S> {
    /// Writes what was gathered.
    fn poll_through(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.poll_write_out(context))?;
        Pin::new(&mut inner.stream).poll_flush(context)
    }
}

impl<S: AsyncWrite + Unpin> Gathering<S> {
    fn poll_write_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.gathered.has_remaining() {
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write(context, &self.gathered))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(written);
        }
        self.gathered.clear();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Coalescing<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coalescing<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        if inner.gathered.len() >= GATHERED {
            ready!(inner.poll_write_out(context))?;
        }
        let room = GATHERED.saturating_sub(inner.gathered.len());
        let taken = buffer.get(..room).unwrap_or(buffer);
        inner.gathered.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    /// More may come at once.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.poll_write_out(context))?;
        Pin::new(&mut inner.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        false
    }
}
