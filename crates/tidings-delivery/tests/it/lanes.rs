//! Who gets room on which connection, and when connections come and go.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::Response;
use tidings_core::batch::Lane;
use tidings_delivery::transport::{
    Limits, OriginLimits, PushTransport, Resolver, Transport as _, TransportError, Turn,
    client_config,
};
use tidings_webpush::{Admission, PushResource};
use tokio::sync::{Notify, oneshot};

use crate::http2_server::{Http2Server, run};
use crate::transport::{LOOPBACK, listen_on, post, transport_within};

const LIMITS: OriginLimits = OriginLimits {
    http2_connections: 16,
    http2_streams: 100,
    http1_connections: 4,
    openings: 8,
};

/// What the tests' push services, which are nobody's known ones, are treated as.
fn limits() -> Limits {
    Limits {
        other: LIMITS,
        ..Limits::default()
    }
}

fn resource(url: &str) -> PushResource {
    PushResource::parse(url).unwrap()
}

async fn turns(
    transport: &PushTransport,
    url: &str,
    lane: Lane,
    count: usize,
) -> Vec<Box<dyn Turn>> {
    let resource = resource(url);
    let turns = join_all((0..count).map(|_| transport.turn(&resource, lane, false)));
    turns.await.into_iter().map(Result::unwrap).collect()
}

fn is_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(future.poll(&mut context), Poll::Pending)
}

#[tokio::test]
async fn sixteen_connections_carry_a_broadcast_and_leave_room_for_direct_messages() {
    let server = Http2Server::start().await;
    let (url, transport) = (server.url(), server.transport(limits()));
    let serve = async {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                connection = server.accept(100) => connections.push(run(connection)),
                Some(()) = connections.next() => {}
            }
        }
    };
    let resource = resource(&url);
    let ask = async {
        let mut bulk = turns(&transport, &url, Lane::Bulk, 16 * 95).await;
        let mut another = pin!(transport.turn(&resource, Lane::Bulk, false));
        assert!(is_pending(another.as_mut()), "the rest is not for it");
        drop(turns(&transport, &url, Lane::Direct, 16 * 5).await);
        assert!(is_pending(another.as_mut()), "given back, and still not");
        drop(bulk.pop());
        assert!(another.await.is_ok());
    };
    tokio::select! {
        () = serve => {}
        () = ask => {}
    }
}

#[tokio::test]
async fn a_push_service_that_allows_few_streams_gets_few() {
    let server = Http2Server::start().await;
    let one = OriginLimits {
        http2_connections: 1,
        ..LIMITS
    };
    let transport = server.transport(Limits {
        other: one,
        ..limits()
    });
    let url = server.url();
    let resource = resource(&url);
    let serve = async { run(server.accept(4).await).await };
    let ask = async {
        // Once this is answered, the number is known: SETTINGS come first.
        let first = transport
            .turn(&resource, Lane::Direct, false)
            .await
            .unwrap();
        drop(first);
        // More than four may be given before it came.
        loop {
            let held = turns(&transport, &url, Lane::Direct, 4).await;
            let mut fifth = pin!(transport.turn(&resource, Lane::Direct, false));
            if is_pending(fifth.as_mut()) {
                drop(held);
                assert!(fifth.await.is_ok());
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = serve => panic!("the connection ended"),
        () = ask => {}
    }
}

#[tokio::test]
async fn a_connection_that_goes_away_finishes_what_is_under_way_and_is_replaced() {
    let server = Http2Server::start().await;
    let (url, transport) = (server.url(), server.transport(limits()));
    let (is_replaced, replaced) = oneshot::channel();
    let serve = async {
        let mut old = server.accept(100).await;
        let (_, mut held) = old.accept().await.unwrap().unwrap();
        old.graceful_shutdown();
        let mut old = pin!(run(old));
        // Nobody asked for it.
        let mut new = tokio::select! {
            new = server.accept(100) => new,
            () = &mut old => panic!("something is under way on it"),
        };
        is_replaced.send(()).unwrap();
        let answer = async {
            let (_, mut asked) = new.accept().await.unwrap().unwrap();
            let head = Response::builder().status(202).body(()).unwrap();
            asked.send_response(head, true).unwrap();
            let head = Response::builder().status(201).body(()).unwrap();
            held.send_response(head, true).unwrap();
            run(new).await;
        };
        join(answer, old).await;
    };
    let ask = async {
        let next = async {
            replaced.await.unwrap();
            post(&transport, &url).await.unwrap()
        };
        let (held, next) = join(post(&transport, &url), next).await;
        assert_eq!(held.unwrap().status(), 201);
        assert_eq!(next.status(), 202);
    };
    tokio::select! {
        () = serve => panic!("the new connection ended"),
        () = ask => {}
    }
}

#[tokio::test]
async fn refused_streams_are_not_processed() {
    let server = Http2Server::start().await;
    let (url, transport) = (server.url(), server.transport(limits()));
    let serve = async {
        let mut connection = server.accept(100).await;
        let (_, mut refused) = connection.accept().await.unwrap().unwrap();
        refused.send_reset(h2::Reason::REFUSED_STREAM);
        let (_, mut broken) = connection.accept().await.unwrap().unwrap();
        broken.send_reset(h2::Reason::INTERNAL_ERROR);
        run(connection).await;
    };
    let ask = async {
        let refused = post(&transport, &url).await.unwrap_err();
        assert_eq!(refused, TransportError::NotProcessed);
        let broken = post(&transport, &url).await.unwrap_err();
        assert!(matches!(broken, TransportError::Broken(_)), "{broken}");
    };
    tokio::select! {
        () = serve => panic!("the connection ended"),
        () = ask => {}
    }
}

#[tokio::test]
async fn waiters_are_served_in_order_and_direct_ones_first() {
    // What is not accepted waits in the listener's queue: enough for turns that are not used.
    let (_listener, port) = listen_on(LOOPBACK).await;
    let single = OriginLimits {
        http1_connections: 1,
        ..LIMITS
    };
    let limits = Limits {
        other: single,
        ..limits()
    };
    let transport = transport_within(limits, Some("127.0.0.0/8"), &[LOOPBACK]);
    let url = format!("http://127.0.0.1:{port}/x");
    let held = turns(&transport, &url, Lane::Bulk, 1).await;
    let resource = resource(&url);
    let served = FuturesUnordered::new();
    for (name, lane) in [
        ("first broadcast", Lane::Bulk),
        ("second broadcast", Lane::Bulk),
        ("first direct", Lane::Direct),
        ("second direct", Lane::Direct),
    ] {
        let mut turn = Box::pin(transport.turn(&resource, lane, false));
        assert!(is_pending(turn.as_mut()), "{name}");
        // Each gives back at once what it gets.
        served.push(turn.map(move |turn| (name, drop(turn.unwrap()))));
    }
    drop(held);
    let order: Vec<_> = served.map(|(name, ())| name).collect().await;
    assert_eq!(
        order,
        [
            "first direct",
            "second direct",
            "first broadcast",
            "second broadcast"
        ]
    );
}

#[tokio::test]
async fn broadcasts_leave_an_http1_connection_to_direct_messages() {
    let (_listener, port) = listen_on(LOOPBACK).await;
    let transport = transport_within(limits(), Some("127.0.0.0/8"), &[LOOPBACK]);
    let url = format!("http://127.0.0.1:{port}/x");
    let _held = turns(&transport, &url, Lane::Bulk, 3).await;
    let resource = resource(&url);
    let mut fourth = pin!(transport.turn(&resource, Lane::Bulk, false));
    assert!(is_pending(fourth.as_mut()));
    drop(turns(&transport, &url, Lane::Direct, 1).await);
    assert!(is_pending(fourth.as_mut()), "that one is not for it");
}

/// Finds the address once, and never again.
#[derive(Default)]
struct Once {
    found: AtomicBool,
    asked_again: Notify,
}

#[async_trait]
impl Resolver for Once {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
        if self.found.swap(true, Ordering::SeqCst) {
            self.asked_again.notify_one();
            return Err(std::io::Error::other("no more"));
        }
        Ok(vec![LOOPBACK])
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_fails_nobody_while_another_one_is_open() {
    let (_listener, port) = listen_on(LOOPBACK).await;
    let resolver = Arc::new(Once::default());
    let admission = Admission::new()
        .with_networks(["127.0.0.0/8".parse().unwrap()])
        .with_insecure(true);
    let tls = client_config(None).unwrap();
    let resolves = Arc::clone(&resolver) as Arc<dyn Resolver>;
    let transport = PushTransport::new(Arc::new(admission), tls, resolves, limits());
    let url = format!("http://push.example.org:{port}/x");
    let held = turns(&transport, &url, Lane::Bulk, 1).await;
    let resource = resource(&url);
    let mut second = pin!(transport.turn(&resource, Lane::Bulk, false));
    tokio::select! {
        biased;
        _ = &mut second => panic!("there is no room"),
        () = resolver.asked_again.notified() => {}
    }
    // This runtime has one thread, so what came of the second connection is known by now.
    assert!(is_pending(second.as_mut()), "it waits for the first one");
    drop(held);
    assert!(second.await.is_ok());
}

#[tokio::test]
async fn strangers_share_their_connections() {
    let limits = Limits {
        other_connections: 2,
        wait: Duration::from_millis(300),
        ..limits()
    };
    let transport = transport_within(limits, Some("127.0.0.0/8"), &[LOOPBACK]);
    let mut listeners = Vec::new();
    let mut urls = Vec::new();
    for _ in 0..4 {
        let (listener, port) = listen_on(LOOPBACK).await;
        listeners.push(listener);
        urls.push(format!("http://127.0.0.1:{port}/x"));
    }
    let mut held = Vec::new();
    for url in &urls[..2] {
        held.extend(turns(&transport, url, Lane::Bulk, 1).await);
    }
    let third = transport
        .turn(&resource(&urls[2]), Lane::Direct, false)
        .await;
    let failure = third.map(|_| ()).unwrap_err();
    assert!(matches!(failure, TransportError::NotOpened), "{failure}");
    // One that is not used any more makes room, although nobody closed it.
    held.pop();
    held.extend(turns(&transport, &urls[2], Lane::Bulk, 1).await);
    let fourth = transport
        .turn(&resource(&urls[3]), Lane::Direct, false)
        .await;
    assert!(fourth.is_err(), "the others are in use");
}

#[tokio::test]
async fn a_stranger_keeps_no_idle_connection_that_another_one_needs() {
    let limits = Limits {
        other_connections: 2,
        wait: Duration::from_secs(5),
        ..limits()
    };
    let transport = transport_within(limits, Some("127.0.0.0/8"), &[LOOPBACK]);
    let (_one, port) = listen_on(LOOPBACK).await;
    let (_other, other_port) = listen_on(LOOPBACK).await;
    let url = |port| format!("http://127.0.0.1:{port}/x");
    let mut held = turns(&transport, &url(port), Lane::Direct, 2).await;
    held.pop();
    // The first one is still busy with its other connection.
    let other = resource(&url(other_port));
    assert!(transport.turn(&other, Lane::Direct, false).await.is_ok());
}

#[tokio::test]
async fn one_newcomer_costs_the_strangers_one_idle_connection() {
    let limits = Limits {
        other_connections: 2,
        wait: Duration::from_secs(5),
        ..limits()
    };
    let transport = transport_within(limits, Some("127.0.0.0/8"), &[LOOPBACK]);
    let (_longest, port) = listen_on(LOOPBACK).await;
    let (second, second_port) = listen_on(LOOPBACK).await;
    let (_newcomer, newcomer_port) = listen_on(LOOPBACK).await;
    let url = |port| format!("http://127.0.0.1:{port}/x");
    let held = turns(&transport, &url(port), Lane::Direct, 1).await;
    let second_held = turns(&transport, &url(second_port), Lane::Direct, 1).await;
    drop(held);
    drop(second_held);
    let _busy = turns(&transport, &url(newcomer_port), Lane::Direct, 1).await;
    let _again = turns(&transport, &url(second_port), Lane::Direct, 1).await;
    second.accept().await.unwrap();
    assert!(is_pending(pin!(second.accept())), "it still had its first");
}

#[tokio::test]
async fn connections_are_opened_for_what_is_expected() {
    let server = Http2Server::start().await;
    let (url, transport) = (server.url(), server.transport(limits()));
    transport.expect(&resource(&url), 300);
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(server.accept(100).await);
    }
}
