//! The transport against sockets of this machine: where it must not go, and what it must not wait
//! for. That it speaks HTTP/2 and HTTP/1.1 over TLS is tested with the whole binary.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use tidings_core::batch::Lane;
use tidings_delivery::transport::{
    Limits, PushTransport, Resolver, Transport as _, TransportError, client_config,
};
use tidings_webpush::{Admission, PushResource};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER_LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Says where every name leads.
struct Says(Vec<IpAddr>);

#[async_trait]
impl Resolver for Says {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(self.0.clone())
    }
}

pub(crate) fn transport(network: Option<&str>, addresses: &[IpAddr]) -> PushTransport {
    let limits = Limits {
        connect: Duration::from_secs(5),
        request: Duration::from_millis(700),
        ..Limits::default()
    };
    transport_within(limits, network, addresses)
}

pub(crate) fn transport_within(
    limits: Limits,
    network: Option<&str>,
    addresses: &[IpAddr],
) -> PushTransport {
    let admission = Admission::new()
        .with_networks(network.map(|network| network.parse().unwrap()))
        .with_insecure(true);
    PushTransport::new(
        Arc::new(admission),
        client_config(None).unwrap(),
        Arc::new(Says(addresses.to_vec())),
        limits,
    )
}

pub(crate) async fn post(
    transport: &PushTransport,
    url: &str,
) -> Result<Response<Bytes>, TransportError> {
    let resource = PushResource::parse(url).unwrap();
    let request = Request::post(resource.expose())
        .body(Bytes::from_static(b"x"))
        .unwrap();
    let turn = transport.turn(&resource, Lane::Bulk, false).await?;
    turn.post(request).await
}

/// A listener that serves one connection by `serve` and returns the connection it took.
pub(crate) async fn listen_on(address: IpAddr) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Whether anybody has connected so far.
pub(crate) fn was_connected_to(listener: TcpListener) -> bool {
    let listener = listener.into_std().unwrap();
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_ok()
}

pub(crate) async fn read_request(connection: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !seen.ends_with(b"\r\n\r\nx") {
        let read = connection.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the request ended early");
        seen.extend_from_slice(&buffer[..read]);
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_never_connected_to() {
    for scheme in ["http", "https"] {
        let (listener, port) = listen_on(LOOPBACK).await;
        let transport = transport(None, &[LOOPBACK]);
        let refused = post(&transport, &format!("{scheme}://push.example.org:{port}/x")).await;
        assert_eq!(
            refused.unwrap_err(),
            TransportError::AddressNotAllowed,
            "{scheme}"
        );
        assert!(!was_connected_to(listener), "{scheme}");
    }
}

#[tokio::test]
async fn only_the_allowed_address_of_a_name_is_connected_to() {
    let (allowed, port) = listen_on(OTHER_LOOPBACK).await;
    let Ok(forbidden) = TcpListener::bind((LOOPBACK, port)).await else {
        // Somebody else has that port; the other test of addresses still says something.
        return;
    };
    let transport = transport(Some("127.0.0.2/32"), &[LOOPBACK, OTHER_LOOPBACK]);
    let url = format!("http://push.example.org:{port}/x");
    let serve = async {
        let (mut connection, _) = allowed.accept().await.unwrap();
        read_request(&mut connection).await;
        connection
            .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
    };
    let (answered, ()) = tokio::join!(post(&transport, &url), serve);
    assert_eq!(answered.unwrap().status(), 201);
    assert!(!was_connected_to(forbidden));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_a_place_to_go() {
    let (listener, port) = listen_on(LOOPBACK).await;
    let (elsewhere, other_port) = listen_on(LOOPBACK).await;
    let transport = transport(Some("127.0.0.0/8"), &[LOOPBACK]);
    let url = format!("http://127.0.0.1:{port}/x");
    let serve = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        let redirect = format!(
            "HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:{other_port}/\r\ncontent-length: 0\r\n\r\n"
        );
        connection.write_all(redirect.as_bytes()).await.unwrap();
    };
    let (answered, ()) = tokio::join!(post(&transport, &url), serve);
    assert_eq!(answered.unwrap().status(), 307);
    assert!(!was_connected_to(elsewhere));
}

#[tokio::test]
async fn an_answer_that_never_comes_is_not_waited_for() {
    let (listener, port) = listen_on(LOOPBACK).await;
    let transport = transport(Some("127.0.0.0/8"), &[LOOPBACK]);
    let url = format!("http://127.0.0.1:{port}/x");
    let serve = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        // Holds the connection until the other side gives up.
        let mut buffer = [0; 1];
        let _ = connection.read(&mut buffer).await;
    };
    let (answered, ()) = tokio::join!(post(&transport, &url), serve);
    assert!(matches!(answered.unwrap_err(), TransportError::TimedOut(_)));
}

#[tokio::test]
async fn an_endless_body_is_cut_and_an_endless_header_refused() {
    let (listener, port) = listen_on(LOOPBACK).await;
    let transport = transport(Some("127.0.0.0/8"), &[LOOPBACK]);
    let url = format!("http://127.0.0.1:{port}/x");
    let serve = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        connection
            .write_all(b"HTTP/1.1 500 No\r\ncontent-length: 99999999\r\n\r\n")
            .await
            .unwrap();
        while connection.write_all(&[b'y'; 4096]).await.is_ok() {}
    };
    let (answered, ()) = tokio::join!(post(&transport, &url), serve);
    let answered = answered.unwrap();
    assert_eq!(answered.status(), 500);
    assert_eq!(answered.body().len(), Limits::default().body_bytes);

    let (listener, port) = listen_on(LOOPBACK).await;
    let url = format!("http://127.0.0.1:{port}/x");
    let serve = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        connection
            .write_all(b"HTTP/1.1 201 Created\r\n")
            .await
            .unwrap();
        while connection
            .write_all(b"a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n")
            .await
            .is_ok()
        {}
    };
    let (answered, ()) = tokio::join!(post(&transport, &url), serve);
    assert!(matches!(answered.unwrap_err(), TransportError::Broken(_)));
}

#[tokio::test]
async fn many_requests_to_a_dead_host_fail_together() {
    let (listener, port) = listen_on(LOOPBACK).await;
    drop(listener);
    let transport = transport(Some("127.0.0.0/8"), &[LOOPBACK]);
    let url = format!("http://127.0.0.1:{port}/x");
    let posts = (0..200).map(|_| post(&transport, &url));
    for answered in futures_util::future::join_all(posts).await {
        assert!(matches!(answered.unwrap_err(), TransportError::Connect(_)));
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let (listener, port) = listen_on(LOOPBACK).await;
    let transport = transport(Some("127.0.0.0/8"), &[LOOPBACK]);
    let url = format!("http://127.0.0.1:{port}/x");
    let serve = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        for _ in 0..3 {
            read_request(&mut connection).await;
            connection
                .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
        }
    };
    let ask = async {
        for _ in 0..3 {
            assert_eq!(post(&transport, &url).await.unwrap().status(), 201);
        }
    };
    tokio::join!(serve, ask);
}

/// Answers every request on one connection until the other side closes it.
async fn answer_until_closed(listener: &TcpListener) {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 4096];
    while connection
        .read(&mut buffer)
        .await
        .is_ok_and(|read| read > 0)
    {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
        connection.write_all(answer).await.unwrap();
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_though_its_origin_is_never_asked_again() {
    let (quiet, quiet_port) = listen_on(LOOPBACK).await;
    let (busy, busy_port) = listen_on(LOOPBACK).await;
    let admission = Admission::new()
        .with_networks(["127.0.0.0/8".parse().unwrap()])
        .with_insecure(true);
    let limits = Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let transport = PushTransport::new(
        Arc::new(admission),
        client_config(None).unwrap(),
        Arc::new(Says(vec![LOOPBACK])),
        limits,
    );
    let ask = async {
        let quiet_url = format!("http://127.0.0.1:{quiet_port}/x");
        post(&transport, &quiet_url).await.unwrap();
        let busy_url = format!("http://127.0.0.1:{busy_port}/x");
        loop {
            post(&transport, &busy_url).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = answer_until_closed(&quiet) => {}
        () = ask => {}
        () = answer_until_closed(&busy) => panic!("the busy one was closed"),
        () = tokio::time::sleep(Duration::from_secs(10)) => panic!("it was never closed"),
    }
}
