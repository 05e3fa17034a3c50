//! What runs a connection: reads, writes, and notices what the push service says about it.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::transport::http2::{Change, Http2Connection};

/// How long a connection that nobody wants any more may take to say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(5);

/// Runs the connection until it ends. It ends by itself when nobody has it any more.
pub(super) async fn drive<S>(
    connection: Connection<S, Bytes>,
    opened: Weak<Http2Connection>,
    tell: impl Fn(Change),
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = pin!(connection);
    let (mut waits, mut is_leaving) = (false, false);
    let mut good_bye: Option<Pin<Box<Sleep>>> = None;
    let ended = std::future::poll_fn(|context| {
        // Whoever is ready to send goes first: a hundred small requests then leave in a few
        // writes and TLS records instead of one each.
        waits = !waits;
        if waits {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let ended = connection.as_mut().poll(context);
        let Some(opened) = opened.upgrade() else {
            let limit = good_bye.get_or_insert_with(|| Box::pin(sleep(GOOD_BYE)));
            return match limit.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Ok(())),
                Poll::Pending => ended,
            };
        };
        if !is_leaving && let Some(change) = opened.look(context) {
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

/// A stream that takes one buffer at a time. `h2` gives away every body above 256 octets on its own
/// where a stream takes several, which makes a TLS record and a system call of each push message;
/// otherwise it gathers up to 16 KiB of them.
pub(super) struct Coalescing<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for Coalescing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coalescing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        false
    }
}
