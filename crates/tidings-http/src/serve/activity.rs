//! Whether anybody uses a connection.

mod lasting;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

pub(crate) use crate::serve::activity::lasting::MayLast;

/// The requests of one connection.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<Requests>>);

struct Requests {
    under_way: usize,
    begun: u64,
    last: Instant,
    /// Those that may take longer than the connection gets old, while they are worked on.
    long: usize,
    /// When such a one was worked on last.
    long_last: Option<Instant>,
    /// No further request may take that long.
    is_old: bool,
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
            long: 0,
            long_last: None,
            is_old: false,
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

    /// For a request that has just come: leave to take long, should it turn out that it may.
    pub(super) fn may_last(&self) -> Option<MayLast> {
        (!self.lock().is_old).then(|| MayLast::new(self.clone()))
    }

    /// The connection got old: what comes now has to be quick.
    pub(super) fn gets_old(&self) {
        self.lock().is_old = true;
    }

    /// Returns so long after `old_at`, or after the last long request was worked on if that is later.
    pub(super) async fn has_said_last(&self, old_at: Instant, last_words: Duration) {
        loop {
            let (long, last) = {
                let requests = self.lock();
                (requests.long, requests.long_last)
            };
            let begin = if long > 0 {
                Instant::now()
            } else {
                last.map_or(old_at, |last| last.max(old_at))
            };
            let end = begin + last_words;
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
