//! Connections of those who mean harm, over real sockets. Where nothing happens but waiting, time
//! is paused: it moves on by itself when everybody waits.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::serving::{GET_HEALTH, Served, read_until};

/// Longer than anything here may take, in paused time.
const AEON: Duration = Duration::from_hours(24);

/// Writes `beginning`, then an octet of `filling` a second, over and over. Returns when the server
/// has hung up, with what it said and after how long.
async fn drip(stream: &mut TcpStream, beginning: &[u8], filling: &[u8]) -> (String, Duration) {
    let begun = Instant::now();
    let (mut from, mut to) = stream.split();
    let mut said = Vec::new();
    let read = async {
        let _ = from.read_to_end(&mut said).await;
    };
    let write = async {
        to.write_all(beginning).await.unwrap();
        for octet in filling.iter().cycle() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if to.write_all(&[*octet]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let hung_up = async {
        tokio::select! {
            () = read => {}
            () = write => {}
        }
    };
    timeout(AEON, hung_up)
        .await
        .expect("it was never hung up on");
    (String::from_utf8_lossy(&said).into_owned(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_octet_by_octet_is_not_waited_for() {
    let served = Served::with(|_| {}).await;
    for beginning in ["", "GET /healthz HTTP/1.1\r\nhost: x\r\nx: "] {
        let mut stream = served.connect().await;
        let (said, after) = drip(&mut stream, beginning.as_bytes(), b"y").await;
        assert!(!said.contains("200"), "{said}");
        assert!(after < Duration::from_secs(20), "{after:?}");
    }
    // The head of the second request, too.
    let mut stream = served.connect().await;
    let (said, after) = drip(&mut stream, GET_HEALTH, b"GET /").await;
    assert_eq!(said.matches("HTTP/1.1 200").count(), 1, "{said}");
    assert!(after < Duration::from_secs(20), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_octet_by_octet_is_not_waited_for() {
    let served = Served::with(|_| {}).await;
    let mut stream = served.connect().await;
    let head =
        "POST /v1/apps/default/receipts HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n";
    let (said, after) = drip(&mut stream, head.as_bytes(), b" ").await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains("urn:tidings:problem:body-timeout"), "{said}");
    assert!(after < Duration::from_mins(1), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_that_comes_octet_by_octet_is_not_waited_for() {
    let served = Served::with(|_| {}).await;
    let mut stream = served.connect().await;
    let head =
        "POST /v1/apps/default/receipts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let (said, after) = drip(&mut stream, head.as_bytes(), b"1\r\n \r\n").await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(after < Duration::from_mins(1), "{after:?}");
}

#[tokio::test]
async fn a_head_of_too_many_fields_is_refused() {
    let served = Served::with(|_| {}).await;
    for (fields, status) in [(99, "HTTP/1.1 200"), (100, "HTTP/1.1 431")] {
        let mut stream = served.connect().await;
        let head = format!(
            "GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n",
            "x: y\r\n".repeat(fields)
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "\r\n\r\n").await;
        assert!(answer.starts_with(status), "{fields}: {answer}");
    }
}

/// Asks over HTTP/2, then only answers what the server asks: its pings, for example.
#[tokio::test(start_paused = true)]
async fn an_http2_connection_that_idles_is_hung_up_on() {
    let served = Served::with(|_| {}).await;
    let stream = served.connect().await;
    let begun = Instant::now();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let ask = async {
        let mut sender = sender.ready().await.unwrap();
        let request = Request::get("http://x/healthz").body(()).unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
        // Kept, so that it is not this side that ends the connection.
        std::future::pending::<()>().await;
        drop(sender);
    };
    let ended = async {
        tokio::select! {
            () = ask => {}
            _ = connection => {}
        }
    };
    timeout(AEON, ended).await.expect("it was never hung up on");
    assert!(
        begun.elapsed() > Duration::from_mins(1),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < Duration::from_mins(3),
        "{:?}",
        begun.elapsed()
    );
}

/// Asks again and again, so that the connection is never idle.
#[tokio::test(start_paused = true)]
async fn no_connection_is_used_for_ever() {
    let served = Served::with(|_| {}).await;
    let mut stream = served.connect().await;
    let begun = Instant::now();
    let use_it = async {
        let mut answer = [0; 4096];
        while stream.write_all(GET_HEALTH).await.is_ok() {
            match stream.read(&mut answer).await {
                Ok(count) if count > 0 => tokio::time::sleep(Duration::from_secs(10)).await,
                _ => return,
            }
        }
    };
    timeout(AEON, use_it).await.expect("it was never ended");
    let age = begun.elapsed();
    assert!(
        age > Duration::from_mins(59) && age < Duration::from_mins(63),
        "{age:?}"
    );
}

/// Asks for much, and takes no octet of it.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_the_answers_is_hung_up_on() {
    let served = Served::with(|_| {}).await;
    let mut stream = served.connect().await;
    let begun = Instant::now();
    let ask = async {
        let request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
        while stream.write_all(request).await.is_ok() {}
    };
    timeout(AEON, ask).await.expect("it was never hung up on");
    assert!(
        begun.elapsed() < Duration::from_mins(3),
        "{:?}",
        begun.elapsed()
    );
}

/// A raw HTTP/2 connection after both prefaces.
async fn raw_http2(served: &Served) -> TcpStream {
    let mut stream = served.connect().await;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    stream
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![high, middle, low, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The code of the GOAWAY that the server ends a connection with, if it sends one.
async fn code_of_the_end(stream: &mut TcpStream) -> Option<u32> {
    let mut said = Bytes::from({
        let mut said = Vec::new();
        let read = stream.read_to_end(&mut said);
        // A reset may overtake the last words.
        let _ = timeout(Duration::from_secs(20), read)
            .await
            .expect("an end");
        said
    });
    let mut code = None;
    while let Some((head, _)) = said.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let is_goaway = head[3] == 7;
        let payload = said.slice(9..9 + length);
        if is_goaway {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        said = said.slice(9 + length..);
    }
    code
}

const ENHANCE_YOUR_CALM: u32 = 11;

/// HEADERS of `GET /` (all of it in HPACK's static table).
const GET_ROOT: &[u8] = &[0x82, 0x86, 0x84];

#[tokio::test]
async fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let served = Served::with(|_| {}).await;
    let mut stream = raw_http2(&served).await;
    let flood: Vec<u8> = (0..2000_u32)
        .flat_map(|number| {
            let id = number * 2 + 1;
            let mut frames = frame(1, 5, id, GET_ROOT);
            frames.extend(frame(3, 0, id, &8_u32.to_be_bytes()));
            frames
        })
        .collect();
    let _ = stream.write_all(&flood).await;
    assert_eq!(code_of_the_end(&mut stream).await, Some(ENHANCE_YOUR_CALM));
    assert_still_serves(&served).await;
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let served = Served::with(|_| {}).await;
    let mut stream = raw_http2(&served).await;
    // A literal field without indexing, name `x`, value of 100 octets.
    let field: Vec<u8> = [0, 1, b'x', 100].into_iter().chain([b'y'; 100]).collect();
    let fields = field.repeat(100);
    let (mut from, mut to) = stream.split();
    let flood = async {
        to.write_all(&frame(1, 1, 1, GET_ROOT)).await?;
        // Ten megabytes are thirty times what is taken.
        for _ in 0..1000 {
            to.write_all(&frame(9, 0, 1, &fields)).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let mut said = Vec::new();
    let (flooded, read) = tokio::join!(flood, from.read_to_end(&mut said));
    assert!(flooded.is_err() || read.is_err() || !said.is_empty());
    assert!(flooded.is_err(), "all of it was taken");
    assert_still_serves(&served).await;
}

#[tokio::test]
async fn pings_and_settings_without_end_do_not_stop_the_server() {
    let served = Served::with(|_| {}).await;
    let mut stream = raw_http2(&served).await;
    let flood: Vec<u8> = (0..1000)
        .flat_map(|_| [frame(6, 0, 0, &[7; 8]), frame(4, 0, 0, &[])].concat())
        .collect();
    let _ = stream.write_all(&flood).await;
    assert_still_serves(&served).await;
}

#[tokio::test]
async fn a_connection_has_so_many_streams() {
    let served = Served::with(|limits| limits.streams = 2).await;
    let mut stream = raw_http2(&served).await;
    // POSTs whose bodies never come: `:method POST` is 0x83.
    let flood: Vec<u8> = (0..8_u32)
        .flat_map(|number| frame(1, 4, number * 2 + 1, &[0x83, 0x86, 0x84]))
        .collect();
    stream.write_all(&flood).await.unwrap();
    let mut refused = Vec::new();
    while refused.len() < 6 {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == 3 && payload == 7_u32.to_be_bytes() {
            refused.push(head[8]);
        }
    }
    assert_eq!(refused, [5, 7, 9, 11, 13, 15], "REFUSED_STREAM");
}

async fn assert_still_serves(served: &Served) {
    let mut stream = served.connect().await;
    stream.write_all(GET_HEALTH).await.unwrap();
    read_until(&mut stream, "\"ok\"}").await;
}
