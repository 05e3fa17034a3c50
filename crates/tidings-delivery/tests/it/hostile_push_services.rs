//! Push services that mean harm, and names whose addresses change.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tidings_delivery::transport::{Limits, PushTransport, Resolver, TransportError, client_config};
use tidings_webpush::Admission;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::transport::{LOOPBACK, listen_on, post, read_request, transport, was_connected_to};

/// A transport that connects to a network of this machine.
fn to(network: &str, resolver: impl Resolver + 'static, limits: Limits) -> PushTransport {
    let admission = Admission::new()
        .with_networks([network.parse().unwrap()])
        .with_insecure(true);
    PushTransport::new(
        Arc::new(admission),
        client_config(None).unwrap(),
        Arc::new(resolver),
        limits,
    )
}

/// Sends what comes after the request an octet a second.
async fn answer_slowly(listener: &TcpListener, at_once: &str, slowly: &str) {
    let (mut connection, _) = listener.accept().await.unwrap();
    read_request(&mut connection).await;
    connection.write_all(at_once.as_bytes()).await.unwrap();
    for octet in slowly.bytes().cycle() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if connection.write_all(&[octet]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_octet_by_octet_is_not_waited_for() {
    // The status counts as soon as the head is there.
    for (at_once, slowly, status) in [
        ("", "HTTP/1.1 201 Created\r\n", None),
        ("HTTP/1.1 201 Created\r\nx: ", "y", None),
        (
            "HTTP/1.1 201 Created\r\ncontent-length: 4000\r\n\r\n",
            "z",
            Some(201),
        ),
        (
            "HTTP/1.1 410 Gone\r\ntransfer-encoding: chunked\r\n\r\n",
            "1\r\nz\r\n",
            Some(410),
        ),
    ] {
        let (listener, port) = listen_on(LOOPBACK).await;
        let transport = to("127.0.0.0/8", Turns::default(), Limits::default());
        let url = format!("http://127.0.0.1:{port}/x");
        let asked = async {
            let answered = post(&transport, &url).await;
            // Only now can the push service find out.
            drop(transport);
            answered
        };
        let (answered, ()) = tokio::join!(asked, answer_slowly(&listener, at_once, slowly));
        let told = answered
            .as_ref()
            .ok()
            .map(|answer| answer.status().as_u16());
        assert_eq!(told, status, "{at_once}: {answered:?}");
        if let Err(failure) = answered {
            assert!(
                matches!(failure, TransportError::TimedOut(_)),
                "{at_once}: {failure:?}"
            );
        }
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_not_waited_for() {
    let (listener, port) = listen_on(LOOPBACK).await;
    let transport = transport(Some("127.0.0.0/8"), &[LOOPBACK]);
    let url = format!("http://127.0.0.1:{port}/x");
    let serve = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        let hints = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
        while connection.write_all(hints).await.is_ok() {}
    };
    let (answered, ()) = tokio::join!(post(&transport, &url), serve);
    let failure = answered.unwrap_err();
    assert!(
        matches!(
            failure,
            TransportError::TimedOut(_) | TransportError::Broken(_)
        ),
        "{failure:?}"
    );
}

/// Gives another answer each time.
#[derive(Default)]
struct Turns(Mutex<VecDeque<Vec<IpAddr>>>);

#[async_trait]
impl Resolver for Turns {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(self.0.lock().unwrap().pop_front().unwrap_or_default())
    }
}

/// 127.0.0.2 stands for the public internet here.
#[tokio::test]
async fn a_name_that_comes_to_lead_elsewhere_is_not_followed() {
    const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let (public, port) = listen_on(PUBLIC).await;
    let Ok(inside) = TcpListener::bind((LOOPBACK, port)).await else {
        // Somebody else has that port.
        return;
    };
    let forbidden = [
        &["127.0.0.1"][..],
        &["169.254.169.254"],
        &["::ffff:127.0.0.1"],
        &["::1"],
        &["64:ff9b::7f00:1"],
        &["10.0.0.1", "::ffff:169.254.169.254", "fd00::1"],
    ];
    let answers = [&["127.0.0.2"][..]].into_iter().chain(forbidden);
    let answers = answers.map(|list| list.iter().map(|it| it.parse().unwrap()).collect());
    let resolver = Turns(Mutex::new(answers.collect()));
    let transport = to("127.0.0.2/32", resolver, Limits::default());
    let url = format!("http://push.example.org:{port}/x");
    let serve = async {
        let (mut connection, _) = public.accept().await.unwrap();
        read_request(&mut connection).await;
        let answer = b"HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        connection.write_all(answer).await.unwrap();
    };
    let (answered, ()) = tokio::join!(post(&transport, &url), serve);
    assert_eq!(answered.unwrap().status(), 201);
    for addresses in forbidden {
        let refused = post(&transport, &url).await.unwrap_err();
        assert_eq!(refused, TransportError::AddressNotAllowed, "{addresses:?}");
    }
    assert!(!was_connected_to(inside));
}

/// There are no such names.
struct Nowhere;

#[async_trait]
impl Resolver for Nowhere {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
        Err(std::io::Error::other("no such name"))
    }
}

#[tokio::test]
async fn names_made_up_below_a_known_push_service_close_nobodys_connections() {
    let limits = Limits {
        origins: 8,
        ..Limits::default()
    };
    let transport = to("127.0.0.0/8", Nowhere, limits);
    let connections = Arc::new(AtomicUsize::new(0));
    let tasks = TaskTracker::new();
    let mut strangers = Vec::new();
    for _ in 0..2 {
        let (listener, port) = listen_on(LOOPBACK).await;
        strangers.push(format!("http://127.0.0.1:{port}/x"));
        let connections = Arc::clone(&connections);
        let each = tasks.clone();
        tasks.spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                each.spawn(async move {
                    let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
                    let mut request = [0; 4096];
                    while connection
                        .read(&mut request)
                        .await
                        .is_ok_and(|read| read > 0)
                    {
                        connection.write_all(answer).await.unwrap();
                    }
                });
            }
        });
    }
    for round in 0..3 {
        for url in &strangers {
            post(&transport, url).await.unwrap();
        }
        for number in 0..10 {
            let url = format!("https://{round}-{number}.notify.windows.com/w/?token=x");
            post(&transport, &url).await.unwrap_err();
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}
