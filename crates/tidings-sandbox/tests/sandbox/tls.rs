use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::StatusCode;
use http_body_util::BodyExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tidings_sandbox::{AlpnOffer, CaOutput, RunningSandbox};
use tidings_webpush::{Subscription, VapidKey};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{LIMIT, Post, Setup, send_over};

async fn tls(alpn: AlpnOffer) -> Setup {
    Setup::with(|options| {
        options.https = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        "localhost".clone_into(&mut options.public_host);
        options.alpn = alpn;
        options.max_concurrent_streams = 7;
    })
    .await
}

/// Connects as a client that trusts nobody but this authority.
async fn connect(sandbox: &RunningSandbox, name: &str, ca_pem: &str) -> TlsStream<TcpStream> {
    try_connect(sandbox, name, ca_pem).await.unwrap()
}

async fn try_connect(
    sandbox: &RunningSandbox,
    name: &str,
    ca_pem: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_at(
        sandbox.https_url().unwrap(),
        name,
        ca_pem,
        &[b"h2", b"http/1.1"],
    )
    .await
}

/// Connects to the port of an origin, on this machine whatever its host.
pub(crate) async fn connect_at(
    origin: &str,
    name: &str,
    ca_pem: &str,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let port = origin.rsplit(':').next().unwrap().parse().unwrap();
    let tcp = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))
        .await
        .unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

/// Posts so many messages over one connection: one, and when it is answered, all others at once.
///
/// Streams opened before the server's settings are known may be refused (RFC 9113 §5.1.2); with
/// the first answer they are.
pub(crate) async fn post_over_http2<S>(
    stream: S,
    subscription: &Subscription,
    key: &VapidKey,
    count: usize,
) -> Vec<StatusCode>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let exchange = async {
        let mut statuses = vec![post(&mut sender, subscription, key, 0).await.await];
        let mut answers = Vec::new();
        for index in 1..count {
            answers.push(post(&mut sender, subscription, key, index).await);
        }
        for answer in answers {
            statuses.push(answer.await);
        }
        statuses
            .into_iter()
            .map(|answer| answer.unwrap().status())
            .collect()
    };
    tokio::select! {
        statuses = tokio::time::timeout(LIMIT, exchange) => statuses.expect("no answers in time"),
        ended = connection => panic!("the connection ended early: {ended:?}"),
    }
}

pub(crate) async fn post(
    sender: &mut SendRequest<Bytes>,
    subscription: &Subscription,
    key: &VapidKey,
    index: usize,
) -> ResponseFuture {
    let begun = begin_post(sender, subscription, key, index).await;
    begun.end()
}

/// A push message whose head is sent.
pub(crate) struct BegunPost {
    answer: ResponseFuture,
    stream: SendStream<Bytes>,
    body: Bytes,
}

impl BegunPost {
    /// Sends its body.
    pub(crate) fn end(mut self) -> ResponseFuture {
        self.stream.send_data(self.body, true).unwrap();
        self.answer
    }
}

pub(crate) async fn begin_post(
    sender: &mut SendRequest<Bytes>,
    subscription: &Subscription,
    key: &VapidKey,
    index: usize,
) -> BegunPost {
    let (head, body) = Post::new(subscription, key, &index.to_string())
        .request()
        .into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    *sender = sender.clone().ready().await.unwrap();
    let request = http::Request::from_parts(head, ());
    let (answer, stream) = sender.send_request(request, false).unwrap();
    BegunPost {
        answer,
        stream,
        body,
    }
}

#[tokio::test]
async fn many_messages_share_one_http2_connection() {
    let setup = tls(AlpnOffer::Http2AndHttp1).await;
    let subscription = setup.subscription("scheme=https").await;
    assert!(
        subscription
            .push_resource
            .expose()
            .starts_with(setup.sandbox.https_url().unwrap())
    );
    let key = VapidKey::generate().unwrap();
    for name in ["localhost", "127.0.0.1"] {
        let stream = connect(&setup.sandbox, name, setup.sandbox.ca_pem().unwrap()).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let statuses = post_over_http2(stream, &subscription, &key, 20).await;
        assert_eq!(statuses, [StatusCode::CREATED; 20]);
    }
    let stats = setup.stats().await;
    assert_eq!(stats["posts_by_protocol"]["h2"], 40);
    let http2 = &stats["connections"]["by_protocol"][1];
    assert_eq!(
        (&http2["protocol"], &http2["with_posts"]),
        (&"h2".into(), &2.into())
    );
    let at_once = stats["connections"]["max_concurrent_posts"]
        .as_u64()
        .unwrap();
    assert!(
        (1..=7).contains(&at_once),
        "{at_once} streams at once, 7 are allowed"
    );
}

#[tokio::test]
async fn a_listener_can_be_without_http2() {
    let setup = tls(AlpnOffer::Http1Only).await;
    let subscription = setup.subscription("scheme=https").await;
    let stream = connect(&setup.sandbox, "localhost", setup.sandbox.ca_pem().unwrap()).await;
    assert_eq!(
        stream.get_ref().1.alpn_protocol(),
        Some(b"http/1.1".as_slice())
    );
    let key = VapidKey::generate().unwrap();
    let request = Post::new(&subscription, &key, "hello").request();
    assert_eq!(
        send_over(stream, request).await.unwrap().status,
        StatusCode::CREATED
    );
    assert_eq!(setup.stats().await["posts_by_protocol"]["http/1.1"], 1);
}

#[tokio::test]
async fn a_token_for_the_plain_origin_is_not_for_the_other() {
    let setup = tls(AlpnOffer::Http1Only).await;
    let key = VapidKey::generate().unwrap();
    let public = key.public_key().to_base64url();
    let plain = setup
        .subscription(&format!("applicationServerKey={public}"))
        .await;
    let request = Post::new(&plain, &key, "hello").request();
    let stream = connect(&setup.sandbox, "localhost", setup.sandbox.ca_pem().unwrap()).await;
    assert_eq!(
        send_over(stream, request).await.unwrap().refusal(),
        (401, Some(109))
    );
}

#[tokio::test]
async fn a_http2_stream_is_reset_on_command() {
    let setup = tls(AlpnOffer::Http2AndHttp1).await;
    let subscription = setup.subscription("scheme=https").await;
    setup.behave(r#"{"reset":true}"#).await;
    let stream = connect(&setup.sandbox, "localhost", setup.sandbox.ca_pem().unwrap()).await;
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let exchange = async {
        let mut sender = sender.ready().await.unwrap();
        let request = http::Request::post(subscription.push_resource.expose()).header("TTL", "60");
        let (answer, _) = sender
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        answer.await.unwrap_err()
    };
    let error = tokio::select! {
        error = exchange => error,
        ended = connection => panic!("the connection ended, not the stream: {ended:?}"),
    };
    assert!(error.is_reset() && error.is_remote(), "{error:?}");
}

#[tokio::test]
async fn other_authorities_and_other_names_do_not_fit() {
    let setup = tls(AlpnOffer::Http2AndHttp1).await;
    let other = tls(AlpnOffer::Http2AndHttp1).await;
    let ca_pem = setup.sandbox.ca_pem().unwrap();
    assert!(
        try_connect(&setup.sandbox, "push.example.com", ca_pem)
            .await
            .is_err()
    );
    let other_ca = other.sandbox.ca_pem().unwrap();
    assert!(
        try_connect(&setup.sandbox, "localhost", other_ca)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_authority_is_written_where_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let setup = Setup::with(|options| {
        options.http = None;
        options.https = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        options.ca = CaOutput::File(file.clone());
    })
    .await;
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(Some(written.as_str()), setup.sandbox.ca_pem());
    connect(&setup.sandbox, "127.0.0.1", &written).await;
    assert_eq!(setup.sandbox.http_url(), None);
}
