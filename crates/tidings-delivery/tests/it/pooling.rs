//! The connections to one origin over TLS, against the sandbox: what a request must not wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use tempfile::TempDir;
use tidings_core::clock::{Clock as _, SystemClock};
use tidings_delivery::transport::{
    Limits, PushTransport, SystemResolver, TransportError, client_config,
};
use tidings_sandbox::{RunningSandbox, Sandbox, SandboxOptions};
use tidings_webpush::{Admission, SystemRandomness};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// A push service over TLS, and a transport that trusts it.
struct Stage {
    sandbox: RunningSandbox,
    transport: PushTransport,
    _directory: TempDir,
}

impl Stage {
    async fn new(max_concurrent_streams: u32, limits: Limits) -> Self {
        let clock = || SystemClock.now().to_system_time();
        let options = SandboxOptions {
            http: None,
            https: Some(([127, 0, 0, 1], 0).into()),
            max_concurrent_streams,
            ..SandboxOptions::new(Arc::new(clock), Arc::new(SystemRandomness))
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, sandbox.ca_pem().unwrap()).unwrap();
        let network = "127.0.0.0/8".parse().unwrap();
        let transport = PushTransport::new(
            Arc::new(Admission::new().with_networks([network])),
            client_config(Some(&ca)).unwrap(),
            Arc::new(SystemResolver::default()),
            limits,
        );
        Self {
            sandbox,
            transport,
            _directory: directory,
        }
    }

    fn url(&self) -> String {
        format!("{}/push/nobody", self.sandbox.https_url().unwrap())
    }

    /// Any answer will do: nobody is subscribed here.
    async fn post(&self, url: &str) -> Result<Response<Bytes>, TransportError> {
        crate::transport::post(&self.transport, url).await
    }
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_push_service_that_allows_no_streams() {
    let limits = Limits {
        request: Duration::from_millis(300),
        wait: Duration::from_millis(600),
        ..Limits::default()
    };
    let stage = Stage::new(0, limits).await;
    let url = stage.url();
    // The first one goes out before the push service has said what it allows.
    stage.post(&url).await.unwrap_err();
    let posts = join_all((0..50).map(|_| stage.post(&url)));
    let answered = tokio::time::timeout(Duration::from_secs(20), posts)
        .await
        .expect("every request ends");
    for answer in answered {
        let failure = answer.unwrap_err();
        assert!(
            matches!(
                failure,
                TransportError::NotOpened
                    | TransportError::TimedOut(_)
                    | TransportError::NotProcessed
            ),
            "{failure:?}"
        );
    }
    stage.sandbox.shutdown().await;
}

/// Passes connections on; while `frozen`, nothing gets through those that were made before.
async fn freezing_proxy(
    to: String,
    frozen: watch::Receiver<bool>,
    made: Arc<AtomicUsize>,
) -> std::io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::task::spawn_local(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut frozen = frozen.clone();
            let (to, was_frozen) = (to.clone(), *frozen.borrow());
            made.fetch_add(1, Ordering::SeqCst);
            tokio::task::spawn_local(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    Ok(_) = frozen.wait_for(|frozen| *frozen && !was_frozen) => {
                        // Neither passes on nor closes: as if a router had forgotten it.
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    Ok(port)
}

#[tokio::test]
async fn a_connection_that_fell_silent_is_replaced() {
    let limits = Limits {
        request: Duration::from_millis(500),
        ..Limits::default()
    };
    let stage = Stage::new(100, limits).await;
    let far = stage.sandbox.https_url().unwrap();
    let far = far.trim_start_matches("https://").to_owned();
    let (freeze, frozen) = watch::channel(false);
    let made = Arc::new(AtomicUsize::new(0));
    let local = tokio::task::LocalSet::new();
    let test = async {
        let port = freezing_proxy(far, frozen, Arc::clone(&made))
            .await
            .unwrap();
        let url = format!("https://127.0.0.1:{port}/push/nobody");
        assert!(stage.post(&url).await.is_ok());
        assert!(stage.post(&url).await.is_ok());
        assert_eq!(made.load(Ordering::SeqCst), 1, "one connection for both");
        freeze.send_replace(true);
        let lost = stage.post(&url).await.unwrap_err();
        assert!(matches!(lost, TransportError::TimedOut(_)), "{lost}");
        let answered = stage.post(&url).await;
        assert!(answered.is_ok(), "by a new connection: {answered:?}");
        assert_eq!(made.load(Ordering::SeqCst), 2);
    };
    local.run_until(test).await;
    stage.sandbox.shutdown().await;
}

#[tokio::test]
async fn one_connection_that_fails_by_chance_fails_nobody() {
    let stage = Stage::new(100, Limits::default()).await;
    let far = stage.sandbox.https_url().unwrap();
    let far = far.trim_start_matches("https://").to_owned();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tasks = TaskTracker::new();
    let connections = tasks.clone();
    let proxy = tasks.spawn(async move {
        drop(listener.accept().await.unwrap());
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(&far).await.unwrap();
            connections.spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let url = format!("https://127.0.0.1:{port}/push/nobody");
    for answered in join_all((0..64).map(|_| stage.post(&url))).await {
        assert!(answered.is_ok(), "{answered:?}");
    }
    proxy.abort();
    stage.sandbox.shutdown().await;
}
