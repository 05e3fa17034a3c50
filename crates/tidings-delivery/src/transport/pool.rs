//! The connections to one origin.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use tidings_webpush::PushResource;
use tokio::sync::Notify;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::transport::dialer::{Dialed, Dialer};
use crate::transport::http1::Http1Connection;
use crate::transport::http2::Http2Connection;
use crate::transport::{Limits, TransportError, Turn};

pub(super) struct Pool {
    dialer: Arc<Dialer>,
    limits: Limits,
    tasks: TaskTracker,
    connections: Mutex<Connections>,
    /// Told whenever a request ends or a connection opens or closes.
    changed: Arc<Notify>,
    /// Once cancelled, nobody gets a turn any more.
    closed: CancellationToken,
}

struct Connections {
    http2: Vec<SharedConnection>,
    idle_http1: Vec<(Instant, Http1Connection)>,
    /// HTTP/1.1 connections, idle or not.
    http1: usize,
    /// What the last connection spoke; unknown before the first.
    speaks_http1: Option<bool>,
    opening: usize,
    /// How many could not be opened, and why the last one could not.
    failures: u64,
    last_failure: Option<TransportError>,
    last_used: Instant,
}

/// An HTTP/2 connection and the requests under way on it.
#[derive(Clone)]
struct SharedConnection {
    connection: Http2Connection,
    in_flight: Arc<AtomicUsize>,
    last_used: Instant,
}

/// The right to send one request on a connection.
pub(super) struct PoolTurn {
    connection: Room,
    /// How long it may take.
    limit: Duration,
}

/// Room for one request on a connection.
enum Room {
    Http2(Http2Connection, InFlight),
    Http1(Http1Connection, Http1Slot),
}

/// What to do to get a turn.
enum Step {
    Take(Room),
    Open,
    Wait,
}

impl Pool {
    pub(super) fn new(
        dialer: Arc<Dialer>,
        limits: Limits,
        tasks: TaskTracker,
        closed: CancellationToken,
    ) -> Self {
        let connections = Connections {
            http2: Vec::new(),
            idle_http1: Vec::new(),
            http1: 0,
            speaks_http1: None,
            opening: 0,
            failures: 0,
            last_failure: None,
            last_used: Instant::now(),
        };
        Self {
            dialer,
            limits,
            tasks,
            connections: Mutex::new(connections),
            changed: Arc::default(),
            closed,
        }
    }

    pub(super) fn last_used(&self) -> Instant {
        self.lock().last_used
    }

    pub(super) async fn turn(
        self: &Arc<Self>,
        resource: &PushResource,
    ) -> Result<PoolTurn, TransportError> {
        let connection = tokio::select! {
            biased;
            () = self.closed.cancelled() => return Err(TransportError::Closed),
            connection = self.wait_for_room(resource) => connection?,
        };
        Ok(PoolTurn {
            connection,
            limit: self.limits.request,
        })
    }

    async fn wait_for_room(
        self: &Arc<Self>,
        resource: &PushResource,
    ) -> Result<Room, TransportError> {
        let failures_before = self.lock().failures;
        let deadline = tokio::time::Instant::now() + self.limits.wait;
        loop {
            // Registered before looking, so that no change between looking and waiting is missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.next_step(failures_before)? {
                Step::Take(turn) => return Ok(turn),
                Step::Open => return self.open(resource).await,
                Step::Wait => timeout_at(deadline, changed)
                    .await
                    .map_err(|_| TransportError::NoRoom)?,
            }
        }
    }

    /// Whoever waited while a connection could not be opened shares that failure: else a thousand
    /// requests to a dead host would each wait for their own.
    fn next_step(self: &Arc<Self>, failures_before: u64) -> Result<Step, TransportError> {
        let mut connections = self.lock();
        let now = Instant::now();
        connections.last_used = now;
        connections.forget_closed(now, &self.limits);
        if let Some(shared) = connections
            .http2
            .iter_mut()
            .find(|shared| shared.has_room())
        {
            shared.last_used = now;
            return Ok(Step::Take(self.take_http2(shared.clone())));
        }
        if let Some((_, connection)) = connections.idle_http1.pop() {
            let slot = Http1Slot {
                pool: Arc::clone(self),
            };
            return Ok(Step::Take(Room::Http1(connection, slot)));
        }
        if connections.failures > failures_before
            && let Some(failure) = connections.last_failure.clone()
        {
            return Err(failure);
        }
        let may_open = if connections.speaks_http1 == Some(true) {
            connections.http1 + connections.opening < self.limits.http1_connections
        } else {
            // One at a time: each brings room for many, and the first tells what is spoken.
            connections.opening == 0 && connections.http2.len() < self.limits.http2_connections
        };
        if !may_open {
            return Ok(Step::Wait);
        }
        connections.opening += 1;
        Ok(Step::Open)
    }

    fn take_http2(self: &Arc<Self>, shared: SharedConnection) -> Room {
        shared.in_flight.fetch_add(1, Ordering::AcqRel);
        let in_flight = InFlight {
            count: shared.in_flight,
            changed: Arc::clone(&self.changed),
        };
        Room::Http2(shared.connection, in_flight)
    }

    async fn open(self: &Arc<Self>, resource: &PushResource) -> Result<Room, TransportError> {
        let opening = Opening {
            pool: Arc::clone(self),
        };
        let dialing = timeout(self.limits.connect, self.handshake(resource));
        let opened = dialing
            .await
            .unwrap_or(Err(TransportError::TimedOut("connecting")));
        let opened = opened.inspect_err(|failure| {
            let mut connections = self.lock();
            connections.failures += 1;
            connections.last_failure = Some(failure.clone());
        })?;
        let turn = {
            let mut connections = self.lock();
            match opened {
                Opened::Http2(connection) => {
                    connections.speaks_http1 = Some(false);
                    let shared = SharedConnection {
                        connection,
                        in_flight: Arc::default(),
                        last_used: Instant::now(),
                    };
                    connections.http2.push(shared.clone());
                    self.take_http2(shared)
                }
                Opened::Http1(connection) => {
                    connections.speaks_http1 = Some(true);
                    connections.http1 += 1;
                    Room::Http1(
                        connection,
                        Http1Slot {
                            pool: Arc::clone(self),
                        },
                    )
                }
            }
        };
        drop(opening);
        Ok(turn)
    }

    async fn handshake(&self, resource: &PushResource) -> Result<Opened, TransportError> {
        let (limits, tasks) = (&self.limits, &self.tasks);
        Ok(match self.dialer.dial(resource).await? {
            Dialed::Http2(stream) => {
                let changed = Arc::clone(&self.changed);
                let on_close = move || changed.notify_waiters();
                Opened::Http2(Http2Connection::open(*stream, limits, tasks, on_close).await?)
            }
            Dialed::Http1(stream) => {
                Opened::Http1(Http1Connection::open(*stream, limits, tasks).await?)
            }
            Dialed::PlainHttp1(stream) => {
                Opened::Http1(Http1Connection::open(stream, limits, tasks).await?)
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

enum Opened {
    Http2(Http2Connection),
    Http1(Http1Connection),
}

#[async_trait]
impl Turn for PoolTurn {
    async fn post(
        self: Box<Self>,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let answered = match self.connection {
            Room::Http2(connection, _in_flight) => {
                let answers = connection.answers();
                let answered = timeout(self.limit, connection.post(request)).await;
                if answered.is_err() {
                    connection.retire_if_silent_since(answers);
                }
                answered
            }
            Room::Http1(mut connection, slot) => {
                let answered = timeout(self.limit, connection.post(request)).await;
                if matches!(answered, Ok(Ok(_))) {
                    slot.give_back(connection);
                }
                answered
            }
        };
        answered.unwrap_or(Err(TransportError::TimedOut("waiting for the answer")))
    }
}

impl Connections {
    fn forget_closed(&mut self, now: Instant, limits: &Limits) {
        self.http2.retain(|shared| {
            let idle = shared.in_flight.load(Ordering::Acquire) == 0
                && now.duration_since(shared.last_used) > limits.idle;
            shared.connection.is_open() && !idle
        });
        let before = self.idle_http1.len();
        self.idle_http1.retain(|(since, connection)| {
            connection.is_open() && now.duration_since(*since) <= limits.idle
        });
        self.http1 = self.http1.saturating_sub(before - self.idle_http1.len());
    }
}

impl SharedConnection {
    fn has_room(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) < self.connection.stream_limit()
    }
}

/// Counts a request on an HTTP/2 connection until it is dropped.
struct InFlight {
    count: Arc<AtomicUsize>,
    changed: Arc<Notify>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify_one();
    }
}

/// Counts an HTTP/1.1 connection until it is given back or dropped.
struct Http1Slot {
    pool: Arc<Pool>,
}

impl Http1Slot {
    fn give_back(self, connection: Http1Connection) {
        if connection.is_ready() {
            let mut connections = self.pool.lock();
            // Dropping `self` takes one off.
            connections.http1 += 1;
            connections.idle_http1.push((Instant::now(), connection));
        }
    }
}

impl Drop for Http1Slot {
    fn drop(&mut self) {
        {
            let mut connections = self.pool.lock();
            connections.http1 = connections.http1.saturating_sub(1);
        }
        self.pool.changed.notify_one();
    }
}

/// Counts a connection that is being opened until it is open or has failed.
struct Opening {
    pool: Arc<Pool>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.pool.lock().opening -= 1;
        self.pool.changed.notify_waiters();
    }
}
