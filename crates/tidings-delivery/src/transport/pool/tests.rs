use std::pin::pin;
use std::task::{Context, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use tidings_webpush::{Admission, PushResource};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::*;
use crate::transport::pool::ledger::Waiting;
use crate::transport::resolver::Resolver;
use crate::transport::{Turn as _, client_config};

/// Tells of each that asks, and never answers.
#[derive(Default)]
struct Silent(Notify);

#[async_trait]
impl Resolver for Silent {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
        self.0.notify_one();
        std::future::pending().await
    }
}

/// A pool whose connections are played by the test.
struct Rig {
    pool: Arc<Pool>,
    openings: Arc<Silent>,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let openings = Arc::new(Silent::default());
        let resolver = Arc::clone(&openings) as Arc<dyn Resolver>;
        let admission = Arc::new(Admission::new());
        let tls = client_config(None).unwrap();
        let shared = Shared {
            dialer: Arc::new(Dialer::new(admission, tls, resolver)),
            limits: Arc::new(Limits::default()),
            tasks: TaskTracker::new(),
            closed: CancellationToken::new(),
        };
        let target = Target::of(&PushResource::parse("https://push.example.org/x").unwrap());
        let (limits, now) = (shared.limits.known, Instant::now());
        let pool = Arc::new(Pool::new(shared, target, limits, None, now));
        Self {
            pool,
            openings,
            now,
        }
    }

    /// A connection that tells nobody, and the push service at its other end.
    async fn connection(&self) -> (Arc<Http2Connection>, DuplexStream) {
        let (near, far) = duplex(64 * 1024);
        let Shared { limits, tasks, .. } = &self.pool.shared;
        let opened = Http2Connection::open(near, limits, tasks, (|_| {}, None)).await;
        (opened.unwrap(), far)
    }

    fn opened(&self, connection: &Arc<Http2Connection>) {
        self.pool
            .lock()
            .ledger
            .begin_to_open(Waiting { direct: 0, bulk: 1 }, self.now);
        let id = self.pool.lock().ledger.reserve_id();
        let connection = Connection::Http2(Arc::clone(connection));
        self.pool.end_opening(id, self.now, Ok(Some(connection)));
    }

    fn connections(&self) -> usize {
        self.pool.lock().ledger.len()
    }
}

async fn ended(connection: &Http2Connection) {
    while connection.is_open() {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_that_ended_before_it_was_known_is_not_used() {
    let rig = Rig::new();
    let (connection, far) = rig.connection().await;
    drop(far);
    // It has told of its end by now, and there was nothing to retire.
    ended(&connection).await;
    rig.opened(&connection);
    assert_eq!(rig.connections(), 0);
}

#[tokio::test]
async fn a_connection_that_takes_nothing_is_not_given_again() {
    let rig = Rig::new();
    let (connection, mut far) = rig.connection().await;
    rig.opened(&connection);
    let room = rig.pool.turn(Lane::Bulk, false, rig.now).await.unwrap();
    // SETTINGS, and a good-bye that names no stream. The pool is not told of it.
    let good_bye = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    far.write_all(&good_bye).await.unwrap();
    ended(&connection).await;
    assert_eq!(rig.connections(), 1);
    let request = Request::post("https://push.example.org/x").body(Bytes::new());
    let refused = Box::new(room).post(request.unwrap()).await.unwrap_err();
    assert_eq!(refused, TransportError::NotProcessed);
    assert_eq!(rig.connections(), 0, "the next try gets another one");
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_an_opening_is_given_up_gets_one_of_their_own() {
    let rig = Rig::new();
    rig.pool.expect(1, rig.now);
    rig.openings.0.notified().await;
    let mut turn = pin!(rig.pool.turn(Lane::Bulk, false, rig.now));
    let mut context = Context::from_waker(Waker::noop());
    assert!(turn.as_mut().poll(&mut context).is_pending());
    rig.pool.end_opening(1, rig.now, Ok(None));
    tokio::select! {
        _ = turn => panic!("nothing has failed"),
        () = rig.openings.0.notified() => {}
    }
}
