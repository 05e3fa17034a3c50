//! Whether anybody uses a connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

/// The requests of one connection.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<Requests>>);

struct Requests {
    under_way: usize,
    begun: u64,
    last: Instant,
}

/// A request that is under way until this is dropped.
pub(super) struct UnderWay(Activity);

impl Activity {
    /// Of a connection that has just been made.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Requests {
            under_way: 0,
            begun: 0,
            last: Instant::now(),
        })))
    }

    pub(super) fn begin(&self) -> UnderWay {
        let mut requests = self.lock();
        requests.under_way += 1;
        requests.begun += 1;
        requests.last = Instant::now();
        UnderWay(self.clone())
    }

    /// Returns when there was no request for so long: `first` before the first one, then `idle`.
    pub(super) async fn ceases(&self, first: Duration, idle: Duration) {
        loop {
            let (under_way, begun, last) = {
                let requests = self.lock();
                (requests.under_way, requests.begun, requests.last)
            };
            let allowed = if begun == 0 { first } else { idle };
            let end = if under_way > 0 {
                Instant::now() + allowed
            } else {
                last + allowed
            };
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// The same body; the request is under way as long as it is.
    pub(super) fn until_end_of(self, body: Body) -> Body {
        Body::new(Answering {
            body,
            _under_way: self,
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut requests = self.0.lock();
        requests.under_way = requests.under_way.saturating_sub(1);
        requests.last = Instant::now();
    }
}

/// The body of an answer that is on its way.
struct Answering {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
