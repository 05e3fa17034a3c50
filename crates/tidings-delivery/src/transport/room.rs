//! Room for one request on a connection: what a [`Turn`] is made of.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};

use crate::transport::http1::Http1Connection;
use crate::transport::http2::Http2Connection;
use crate::transport::pool::Pool;
use crate::transport::pool::ledger::Ticket;
use crate::transport::{Posting, TransportError, Turn};

/// A connection that can carry requests.
#[derive(Clone)]
pub(super) enum Connection {
    Http2(Arc<Http2Connection>),
    /// Nobody is in there while a request is under way.
    Http1(Arc<Mutex<Option<Http1Connection>>>),
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Http2(connection) => connection.is_open(),
            Self::Http1(shared) => {
                let connection = shared.lock().unwrap_or_else(PoisonError::into_inner);
                connection.as_ref().is_some_and(Http1Connection::is_open)
            }
        }
    }
}

/// Counts at its pool until it is dropped.
pub(super) struct Room {
    pub(super) pool: Arc<Pool>,
    pub(super) ticket: Ticket,
    pub(super) connection: Connection,
}

impl Room {
    /// The request is gone before the answer is waited for: what a thousand of these futures keep
    /// would be written, and moved, for each of them.
    fn post_http2(
        self: Box<Self>,
        connection: Arc<Http2Connection>,
        request: Request<Bytes>,
    ) -> Posting {
        let answers = connection.answers();
        let posting = connection.post(request);
        Box::pin(async move {
            let answered = posting.await;
            if let Err(failure) = &answered {
                // A connection that a router has forgotten would otherwise be found out by TCP alone,
                // which takes a quarter of an hour. Requests that are under way go on.
                let timed_out = matches!(failure, TransportError::TimedOut(_));
                let is_silent = timed_out && connection.answers() == answers;
                // Whoever tries again at once shall not be given the same one.
                if is_silent || !connection.is_open() {
                    self.pool.retire(self.ticket.id());
                }
            }
            answered
        })
    }

    async fn post_http1(
        &self,
        shared: &Mutex<Option<Http1Connection>>,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = lock().take();
        let Some(mut connection) = connection else {
            self.pool.retire(self.ticket.id());
            return Err(TransportError::NotProcessed);
        };
        let answered = connection.post(request).await;
        if answered.is_ok() && connection.is_ready() {
            *lock() = Some(connection);
        } else {
            self.pool.retire(self.ticket.id());
        }
        answered
    }
}

impl Turn for Room {
    fn post(self: Box<Self>, request: Request<Bytes>) -> Posting {
        match self.connection.clone() {
            Connection::Http2(connection) => self.post_http2(connection, request),
            Connection::Http1(shared) => {
                Box::pin(async move { self.post_http1(&shared, request).await })
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.pool.give_back(&self.ticket);
    }
}
