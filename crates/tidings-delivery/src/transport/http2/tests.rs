use std::pin::{Pin, pin};

use futures_util::future::{join, join_all};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Duration, timeout};

use super::*;

fn request() -> Request<Bytes> {
    Request::post("https://push.example.org/x")
        .body(Bytes::from_static(b"x"))
        .unwrap()
}

/// A push service says good-bye while an answer is still awaited.
#[tokio::test]
async fn a_connection_that_is_going_away_takes_no_further_requests() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (tasks, limits) = (TaskTracker::new(), Arc::new(Limits::default()));
    let opened = Http2Connection::open(near, &limits, &tasks, (|_| {}, None));
    let (opened, served) = join(opened, h2::server::handshake(far)).await;
    let (connection, mut server) = (opened.unwrap(), served.unwrap());
    let serve = async {
        let (_request, _awaited) = server.accept().await.unwrap().unwrap();
        server.graceful_shutdown();
        while let Some(Ok(_)) = server.accept().await {}
    };
    let ask = async {
        let first = connection.post(request());
        let others = async {
            // The good-bye takes its way through both ends of the connection.
            loop {
                let answer = timeout(Duration::from_millis(100), connection.post(request()));
                if let Ok(Err(TransportError::NotProcessed)) = answer.await {
                    return connection.is_open();
                }
            }
        };
        tokio::select! {
            // In this order: the first request has to be the one that is accepted.
            biased;
            _ = first => panic!("nobody answers"),
            is_open = others => is_open,
        }
    };
    let is_open = tokio::select! {
        () = serve => panic!("an answer is still awaited"),
        is_open = ask => is_open,
    };
    assert!(!is_open);
}

/// A connection, and the push service at its other end.
async fn connected() -> (
    Arc<Http2Connection>,
    h2::server::Connection<tokio::io::DuplexStream, Bytes>,
) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (tasks, limits) = (TaskTracker::new(), Arc::new(Limits::default()));
    let opened = Http2Connection::open(near, &limits, &tasks, (|_| {}, None));
    let (opened, served) = join(opened, h2::server::handshake(far)).await;
    (opened.unwrap(), served.unwrap())
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    let (connection, mut server) = connected().await;
    let serve = async {
        let (_request, mut respond) = server.accept().await.unwrap().unwrap();
        let head = Response::builder().status(500).body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        let send = async {
            loop {
                body.reserve_capacity(16_384);
                let room = std::future::poll_fn(|context| body.poll_capacity(context)).await;
                let Some(Ok(room)) = room else { return };
                if body.send_data(vec![b'y'; room].into(), false).is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = send => {}
            _ = server.accept() => {}
        }
    };
    let (answer, ()) = join(connection.post(request()), serve).await;
    assert_eq!(answer.unwrap().body().len(), Limits::default().body_bytes);
}

#[tokio::test(start_paused = true)]
async fn what_the_head_says_counts_though_the_body_stalls() {
    for status in [201, 410, 503] {
        let (connection, mut server) = connected().await;
        let serve = async {
            let (_request, mut respond) = server.accept().await.unwrap().unwrap();
            let head = Response::builder().status(status).body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(b"so far"), false)
                .unwrap();
            // Neither more of the body nor its end.
            while let Some(Ok(_)) = server.accept().await {}
        };
        let answer = tokio::select! {
            answer = connection.post(request()) => answer.unwrap(),
            () = serve => panic!("the connection ended"),
        };
        assert_eq!(answer.status(), status);
        assert_eq!(answer.body(), "so far");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let (connection, _silent, _changes) = bare().await;
    let failure = connection.post(request()).await.unwrap_err();
    assert!(matches!(failure, TransportError::TimedOut(_)), "{failure}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_no_answer() {
    let (connection, mut server) = connected().await;
    let serve = async {
        while let Some(Ok((_request, mut respond))) = server.accept().await {
            let mut head = Response::builder().status(201);
            for number in 0..2000 {
                head = head.header(format!("x-{number}"), "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
            }
            let _ = respond.send_response(head.body(()).unwrap(), true);
        }
    };
    let mut asked = std::pin::pin!(connection.post(request()));
    let answer = tokio::select! {
        answer = &mut asked => answer,
        // Such a head may end the whole connection.
        () = serve => asked.await,
    };
    assert!(
        matches!(answer, Err(TransportError::Broken(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn resets_fail_their_own_request_only() {
    let (connection, mut server) = connected().await;
    let serve = async {
        let mut count = 0;
        while let Some(Ok((_request, mut respond))) = server.accept().await {
            count += 1;
            if count <= 200 {
                respond.send_reset(Reason::CANCEL);
            } else {
                let head = Response::builder().status(201).body(()).unwrap();
                respond.send_response(head, true).unwrap();
            }
        }
    };
    let ask = async {
        for _ in 0..200 {
            let failure = connection.post(request()).await.unwrap_err();
            assert!(matches!(failure, TransportError::Broken(_)), "{failure:?}");
        }
        assert_eq!(connection.post(request()).await.unwrap().status(), 201);
    };
    tokio::select! {
        () = ask => {}
        () = serve => panic!("the connection ended"),
    }
}

/// A connection whose push service is played octet by octet, and what it told.
async fn bare() -> (
    Arc<Http2Connection>,
    tokio::io::DuplexStream,
    mpsc::UnboundedReceiver<Change>,
) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (tasks, limits) = (TaskTracker::new(), Arc::new(Limits::default()));
    let (changed, changes) = mpsc::unbounded_channel();
    let tell = move |change| changed.send(change).unwrap();
    let opened = Http2Connection::open(near, &limits, &tasks, (tell, None)).await;
    (opened.unwrap(), far, changes)
}

/// SETTINGS with one setting, `SETTINGS_MAX_CONCURRENT_STREAMS` (RFC 9113 §6.5).
fn settings(max_concurrent_streams: u8) -> [u8; 15] {
    let streams = max_concurrent_streams;
    [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, streams]
}

/// Browsers' push services count what they are sent, and none needs to hear that we are still there.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_says_nothing() {
    let (connection, mut push_service, _changes) = bare().await;
    let acknowledged = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    let mut preface = [0; 24];
    push_service.read_exact(&mut preface).await.unwrap();
    push_service.write_all(&settings(100)).await.unwrap();
    push_service.write_all(&acknowledged).await.unwrap();
    let mut said = [0; 1024];
    while let Ok(read) = timeout(Duration::from_secs(1), push_service.read(&mut said)).await {
        assert!(read.unwrap() > 0);
    }
    let in_an_hour = Duration::from_hours(1);
    let said = timeout(in_an_hour, push_service.read(&mut said)).await;
    assert!(said.is_err(), "{said:?}");
    assert!(connection.is_open());
}

#[tokio::test]
async fn settings_that_change_are_told() {
    let (connection, mut push_service, mut changes) = bare().await;
    assert_eq!(connection.streams(), None);
    // The first is what is taken for granted until it is told.
    for streams in [10, 7, 1, 0, 100] {
        let frame = settings(streams);
        push_service.write_all(&frame).await.unwrap();
        let told = Change::Streams(streams.into());
        assert_eq!(changes.recv().await, Some(told));
        assert_eq!(connection.streams(), Some(usize::from(streams)));
    }
}

#[tokio::test]
async fn settings_without_a_number_of_streams_allow_as_many_as_we_like() {
    let (connection, mut push_service, mut changes) = bare().await;
    let frame = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    push_service.write_all(&frame).await.unwrap();
    let told = changes.recv().await;
    assert_eq!(told, Some(Change::Streams(usize::MAX)));
    assert_eq!(connection.streams(), Some(usize::MAX));
}

#[tokio::test]
async fn a_good_bye_is_told_and_why_it_came() {
    const ENHANCE_YOUR_CALM: u8 = 11;
    for (reason, change) in [(0, Change::GoingAway), (ENHANCE_YOUR_CALM, Change::TooMuch)] {
        let (connection, mut push_service, mut changes) = bare().await;
        push_service.write_all(&settings(100)).await.unwrap();
        assert_eq!(changes.recv().await, Some(Change::Streams(100)));
        let good_bye = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, reason];
        push_service.write_all(&good_bye).await.unwrap();
        assert_eq!(changes.recv().await, Some(change));
        assert!(!connection.is_open());
        let refused = connection.post(request()).await.unwrap_err();
        assert_eq!(refused, TransportError::NotProcessed);
    }
}

#[tokio::test]
async fn a_connection_that_nobody_has_any_more_ends() {
    let (connection, mut push_service, mut changes) = bare().await;
    drop(connection);
    let mut said = Vec::new();
    push_service.read_to_end(&mut said).await.unwrap();
    assert_eq!(changes.recv().await, Some(Change::GoingAway));
    assert_eq!(changes.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_even_if_nobody_hears_its_good_bye() {
    let (near, _far) = tokio::io::duplex(32);
    let (tasks, limits) = (TaskTracker::new(), Arc::new(Limits::default()));
    let opened = Http2Connection::open(near, &limits, &tasks, (|_| {}, None));
    drop(opened.await.unwrap());
    tasks.close();
    tasks.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_though_its_peer_reads_nothing() {
    for count in [1, 12] {
        let (near, mut far) = tokio::io::duplex(64);
        let (tasks, limits) = (TaskTracker::new(), Arc::new(Limits::default()));
        let opened = Http2Connection::open(near, &limits, &tasks, (|_| {}, None));
        let connection = opened.await.unwrap();
        far.write_all(&settings(100)).await.unwrap();
        let posts = (0..count).map(|_| {
            let message = Request::post("https://push.example.org/x");
            connection.post(message.body(Bytes::from(vec![b'x'; 4000])).unwrap())
        });
        for answered in join_all(posts).await {
            assert!(
                matches!(answered, Err(TransportError::TimedOut(_))),
                "{answered:?}"
            );
        }
        drop(connection);
        tasks.close();
        let ended = timeout(Duration::from_mins(1), tasks.wait()).await;
        assert!(ended.is_ok(), "after {count} requests it is still there");
    }
}

/// A stream that says what is written at once.
struct Writes(tokio::io::DuplexStream, mpsc::UnboundedSender<usize>);

impl AsyncRead for Writes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Writes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.1.send(buffer.len()).unwrap();
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// Tasks that are ready together send together.
#[tokio::test]
async fn messages_share_a_write() {
    // The small ones in one, and of the large ones as many as fit into a TLS record.
    for (octets, most) in [(400, 2), (3000, 6)] {
        let sizes = writes_for_messages_of(octets).await;
        assert!(sizes.len() <= most, "{sizes:?}");
        assert!(sizes.iter().sum::<usize>() > MESSAGES * octets, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size <= 16 * 1024), "{sizes:?}");
    }
}

const MESSAGES: usize = 20;

/// How much was written at once while so many messages of this size were sent.
async fn writes_for_messages_of(octets: usize) -> Vec<usize> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (wrote, mut writes) = mpsc::unbounded_channel();
    let (tasks, limits) = (TaskTracker::new(), Arc::new(Limits::default()));
    let near = Writes(near, wrote);
    let opened = Http2Connection::open(near, &limits, &tasks, (|_| {}, None));
    let (opened, served) = join(opened, h2::server::handshake(far)).await;
    let (connection, mut server) = (opened.unwrap(), served.unwrap());
    // What SETTINGS take to be said and acknowledged.
    while connection.streams().is_none() {
        let _ = futures_util::poll!(pin!(server.accept()));
        tokio::task::yield_now().await;
    }
    for _ in 0..MESSAGES {
        let connection = Arc::clone(&connection);
        tasks.spawn(async move {
            let message = Request::post("https://push.example.org/x");
            let message = message.body(Bytes::from(vec![b'x'; octets])).unwrap();
            connection.post(message).await
        });
    }
    while writes.try_recv().is_ok() {}
    let mut accepted = Vec::new();
    for _ in 0..MESSAGES {
        let (request, respond) = server.accept().await.unwrap().unwrap();
        accepted.push((request.into_body(), respond));
    }
    for (body, _) in &mut accepted {
        let read = async { while let Some(Ok(_)) = body.data().await {} };
        tokio::select! {
            biased;
            () = read => {}
            _ = server.accept() => panic!("nobody asks for more"),
        }
    }
    let mut sizes = Vec::new();
    while let Ok(size) = writes.try_recv() {
        sizes.push(size);
    }
    sizes
}
