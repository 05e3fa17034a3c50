//! What is known of each connection: its protocol, and how many POSTs it carries at once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::Version;
use serde::Serialize;
use tokio::sync::watch;

/// Connections beyond this many are counted but no longer listed, the oldest first.
const MAX_LISTED: usize = 1024;

/// Which listener a connection came in by; so which origin its client knows the sandbox under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Listener {
    Http,
    Https,
    /// One of the push services of `SandboxOptions::services`, by its place; over TLS.
    Service(u8),
}

/// The protocol of a connection or request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    pub(crate) fn of(version: Version) -> Self {
        if version == Version::HTTP_2 {
            Self::Http2
        } else {
            Self::Http1
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

/// What is to become of a connection; the later ones outdo the former.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// It announces that it takes no more streams, and answers those that it has.
    WindDown,
    /// It says goodbye at once and answers nothing more. HTTP/1.1 knows no goodbye: it is cut.
    GoAway,
    /// It ends with a TCP reset.
    Cut,
}

/// One accepted connection. The client decides on the protocol with its first octets, so it is
/// unknown until the first request.
pub(crate) struct Connection {
    id: u64,
    pub(crate) listener: Listener,
    open: AtomicBool,
    http1_requests: AtomicU64,
    http2_requests: AtomicU64,
    posts: AtomicU64,
    posts_now: AtomicU64,
    posts_at_once: AtomicU64,
    orders: watch::Sender<Option<Order>>,
    cut: AtomicBool,
}

impl Connection {
    /// Orders what is to become of it. Whoever serves it obeys.
    pub(crate) fn order(&self, order: Order) {
        if order == Order::Cut {
            self.cut.store(true, Ordering::Relaxed);
        }
        self.orders.send_if_modified(|ordered| {
            let is_more = *ordered < Some(order);
            if is_more {
                *ordered = Some(order);
            }
            is_more
        });
    }

    /// Resolves when this is ordered, or more than this; says what.
    pub(crate) async fn ordered(&self, least: Order) -> Order {
        let mut orders = self.orders.subscribe();
        let order = orders.wait_for(|ordered| *ordered >= Some(least)).await;
        // The sender is in `self`, so there is no error.
        order.ok().and_then(|order| *order).unwrap_or(least)
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    pub(crate) fn count_request(&self, protocol: Protocol) {
        let requests = match protocol {
            Protocol::Http1 => &self.http1_requests,
            Protocol::Http2 => &self.http2_requests,
        };
        requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one more POST, and says the how manieth of the connection it is.
    pub(crate) fn begin_post(&self) -> u64 {
        let number = self.posts.fetch_add(1, Ordering::Relaxed) + 1;
        let now = self.posts_now.fetch_add(1, Ordering::Relaxed) + 1;
        // A plain load first: at a steady level the maximum stays, and so does its cache line.
        if now > self.posts_at_once.load(Ordering::Relaxed) {
            self.posts_at_once.fetch_max(now, Ordering::Relaxed);
        }
        number
    }

    pub(crate) fn end_post(&self) {
        self.posts_now.fetch_sub(1, Ordering::Relaxed);
    }

    fn protocol(&self) -> Option<Protocol> {
        if self.http2_requests.load(Ordering::Relaxed) > 0 {
            Some(Protocol::Http2)
        } else if self.http1_requests.load(Ordering::Relaxed) > 0 {
            Some(Protocol::Http1)
        } else {
            None
        }
    }

    fn report(&self) -> ConnectionReport {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConnectionReport {
            id: self.id,
            protocol: self.protocol().map(Protocol::as_str),
            tls: self.listener != Listener::Http,
            open: self.open.load(Ordering::Relaxed),
            requests: load(&self.http1_requests) + load(&self.http2_requests),
            posts: load(&self.posts),
            max_concurrent_posts: load(&self.posts_at_once),
        }
    }
}

/// Marks its connection as closed when dropped.
pub(crate) struct OpenConnection {
    connection: Arc<Connection>,
    connections: Arc<Connections>,
}

impl OpenConnection {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connection.open.store(false, Ordering::Relaxed);
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All connections since the start or the last reset.
#[derive(Default)]
pub(crate) struct Connections {
    next_id: AtomicU64,
    total: AtomicU64,
    open: AtomicU64,
    listed: Mutex<VecDeque<Arc<Connection>>>,
}

impl Connections {
    pub(crate) fn open(self: &Arc<Self>, listener: Listener) -> OpenConnection {
        let connection = Arc::new(Connection {
            id: self.next_id.fetch_add(1, Ordering::Relaxed) + 1,
            listener,
            open: AtomicBool::new(true),
            http1_requests: AtomicU64::new(0),
            http2_requests: AtomicU64::new(0),
            posts: AtomicU64::new(0),
            posts_now: AtomicU64::new(0),
            posts_at_once: AtomicU64::new(0),
            orders: watch::Sender::new(None),
            cut: AtomicBool::new(false),
        });
        self.total.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if listed.len() == MAX_LISTED {
            listed.pop_front();
        }
        listed.push_back(Arc::clone(&connection));
        OpenConnection {
            connection,
            connections: Arc::clone(self),
        }
    }

    /// Begins anew with what is open now.
    pub(crate) fn reset(&self) {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.retain(|connection| connection.open.load(Ordering::Relaxed));
        for connection in listed.iter() {
            connection.posts.store(0, Ordering::Relaxed);
            connection.posts_at_once.store(0, Ordering::Relaxed);
        }
        self.total
            .store(self.open.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn report(&self) -> ConnectionsReport {
        let each: Vec<_> = {
            let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            listed
                .iter()
                .map(|connection| connection.report())
                .collect()
        };
        let total = self.total.load(Ordering::Relaxed);
        ConnectionsReport {
            total,
            open: self.open.load(Ordering::Relaxed),
            by_protocol: Protocol::ALL.map(|protocol| {
                let of_it = || {
                    each.iter()
                        .filter(move |report| report.protocol == Some(protocol.as_str()))
                };
                ProtocolReport {
                    protocol: protocol.as_str(),
                    total: of_it().count(),
                    open: of_it().filter(|report| report.open).count(),
                    with_posts: of_it().filter(|report| report.posts > 0).count(),
                }
            }),
            max_concurrent_posts: each
                .iter()
                .map(|report| report.max_concurrent_posts)
                .max()
                .unwrap_or_default(),
            truncated: u64::try_from(each.len()).is_ok_and(|listed| listed < total),
            each,
        }
    }
}

/// The connections, as `GET /sandbox/stats` tells of them.
#[derive(Serialize)]
pub(crate) struct ConnectionsReport {
    total: u64,
    open: u64,
    by_protocol: [ProtocolReport; 2],
    max_concurrent_posts: u64,
    truncated: bool,
    each: Vec<ConnectionReport>,
}

#[derive(Serialize)]
struct ProtocolReport {
    protocol: &'static str,
    total: usize,
    open: usize,
    with_posts: usize,
}

#[derive(Serialize)]
struct ConnectionReport {
    id: u64,
    protocol: Option<&'static str>,
    tls: bool,
    open: bool,
    requests: u64,
    posts: u64,
    max_concurrent_posts: u64,
}
