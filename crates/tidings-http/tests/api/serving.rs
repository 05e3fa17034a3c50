//! Connections, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use tidings_http::{ServeLimits, TrustedProxies, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{ADMIN_TOKEN, Harness};

const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Served {
    address: SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
    _harness: Harness,
}

impl Served {
    pub(crate) async fn with(change: impl FnOnce(&mut ServeLimits)) -> Self {
        let harness = Harness::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut limits = ServeLimits::default();
        change(&mut limits);
        let serving = serve(listener, harness.router.clone(), shutdown.clone(), limits);
        #[expect(
            clippy::disallowed_methods,
            reason = "the test's own task, awaited by it"
        )]
        let ended = tokio::spawn(serving);
        Self {
            address,
            shutdown,
            ended,
            _harness: harness,
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn ends(self) {
        tokio::time::timeout(DEADLINE, self.ended)
            .await
            .unwrap()
            .unwrap();
    }
}

/// What the server says until it closes the connection.
pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset after the answer ends it as well.
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut text))
        .await
        .expect("an end");
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads until `end` has come.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut chunk = [0; 1024];
        let count = tokio::time::timeout(DEADLINE, stream.read(&mut chunk))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(count, 0, "the connection ended after {text:?}");
        text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
    text
}

pub(crate) const GET_HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn shutting_down_ends_idle_connections_and_returns() {
    let served = Served::with(|_| {}).await;
    let mut idle = served.connect().await;
    idle.write_all(GET_HEALTH).await.unwrap();
    assert!(
        read_until(&mut idle, "\"ok\"}")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let address = served.address;
    served.shutdown.cancel();
    assert_eq!(read_all(&mut idle).await, "");
    served.ends().await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "it still accepts"
    );
}

#[tokio::test]
async fn shutting_down_lets_a_begun_request_be_answered() {
    let served = Served::with(|_| {}).await;
    let mut begun = served.connect().await;
    let head = "POST /v1/apps/default/receipts HTTP/1.1\r\nhost: x\r\n\
        expect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    begun.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut begun, "100 Continue").await;
    served.shutdown.cancel();
    begun.write_all(b"[]").await.unwrap();
    assert!(read_all(&mut begun).await.contains("HTTP/1.1 202"));
    served.ends().await;
}

#[tokio::test]
async fn an_import_outlasts_the_age_of_its_connection() {
    let served = Served::with(|limits| {
        // Both requests have to begin before it is over, on a busy machine too.
        limits.age = Duration::from_millis(500);
        limits.last_words = Duration::from_millis(50);
    })
    .await;
    let mut long = served.connect().await;
    let head = format!(
        "POST /v1/subscriptions/import HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\
         content-type: application/x-ndjson\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
    );
    long.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut long, "100 Continue").await;
    // That this one is cut tells that the other one is old enough as well.
    let mut short = served.connect().await;
    let head = "POST /v1/apps/default/receipts HTTP/1.1\r\nhost: x\r\n\
        expect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    short.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut short, "100 Continue").await;
    assert_eq!(read_all(&mut short).await, "");
    long.write_all(b"1\n2\n").await.unwrap();
    let answer = read_all(&mut long).await;
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"lines\":2"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn draining_has_an_end() {
    let served = Served::with(|limits| limits.drain = Duration::from_millis(50)).await;
    let mut stuck = served.connect().await;
    let head = "POST /v1/apps/default/receipts HTTP/1.1\r\nhost: x\r\n\
        expect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    stuck.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stuck, "100 Continue").await;
    served.shutdown.cancel();
    served.ends().await;
}

#[tokio::test]
async fn who_sends_no_request_is_hung_up_on() {
    let served = Served::with(|limits| limits.head_timeout = Duration::from_millis(50)).await;
    for beginning in [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTTP/1.1\r\nx: ",
    ] {
        let mut stream = served.connect().await;
        stream.write_all(beginning).await.unwrap();
        read_all(&mut stream).await;
    }
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let served = Served::with(|limits| limits.connections = 1).await;
    let mut first = served.connect().await;
    first.write_all(GET_HEALTH).await.unwrap();
    read_until(&mut first, "\"ok\"}").await;
    let mut second = served.connect().await;
    second.write_all(GET_HEALTH).await.unwrap();
    let mut octet = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut octet)).await;
    assert!(early.is_err(), "it was served beside the first");
    drop(first);
    read_until(&mut second, "\"ok\"}").await;
}

#[tokio::test]
async fn one_address_does_not_hold_all_connections() {
    let served = Served::with(|limits| limits.connections_per_address = 2).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = served.connect().await;
        stream.write_all(GET_HEALTH).await.unwrap();
        read_until(&mut stream, "\"ok\"}").await;
        held.push(stream);
    }
    assert_eq!(read_all(&mut served.connect().await).await, "");
    held.pop();
    // The server finds out when it next looks at that connection.
    let served_again = async {
        loop {
            let mut stream = served.connect().await;
            let asked = stream.write_all(GET_HEALTH).await;
            let mut octet = [0];
            if asked.is_ok() && stream.read(&mut octet).await.is_ok_and(|count| count == 1) {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, served_again).await.unwrap();
}

#[tokio::test]
async fn who_is_not_counted_may_hold_more_connections() {
    let served = Served::with(|limits| {
        limits.connections_per_address = 1;
        limits.uncounted = TrustedProxies::new(["127.0.0.0/8".parse().unwrap()]);
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = served.connect().await;
        stream.write_all(GET_HEALTH).await.unwrap();
        read_until(&mut stream, "\"ok\"}").await;
        held.push(stream);
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let served = Served::with(|_| {}).await;
    let mut stream = served.connect().await;
    let head = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "y".repeat(40_000)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 431"));
}

const TEN_MEGABYTES: &str = "POST /v1/apps/default/subscriptions HTTP/1.1\r\nhost: x\r\n\
    content-type: application/json\r\ncontent-length: 10000000\r\n";

#[tokio::test]
async fn who_asks_before_sending_ten_megabytes_is_refused_at_once() {
    let served = Served::with(|_| {}).await;
    let mut stream = served.connect().await;
    let head = format!("{TEN_MEGABYTES}expect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(
        answer.contains("urn:tidings:problem:body-too-large"),
        "{answer}"
    );
}

#[tokio::test]
async fn who_sends_ten_megabytes_unasked_can_read_why_they_are_refused() {
    let served = Served::with(|_| {}).await;
    let mut stream = served.connect().await;
    stream
        .write_all(format!("{TEN_MEGABYTES}\r\n").as_bytes())
        .await
        .unwrap();
    stream.write_all(&vec![b' '; 10_000_000]).await.unwrap();
    let answer = read_until(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
