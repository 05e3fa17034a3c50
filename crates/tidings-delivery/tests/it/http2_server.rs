//! A push service that a test plays itself, frame by frame if need be: HTTP/2 over TLS.

use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tidings_delivery::transport::{Limits, PushTransport, SystemResolver, client_config};
use tidings_webpush::Admission;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) type Connection = h2::server::Connection<TlsStream<TcpStream>, Bytes>;

pub(crate) struct Http2Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    directory: TempDir,
}

impl Http2Server {
    pub(crate) async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), made.cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            listener: TcpListener::bind(("127.0.0.1", 0)).await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            directory,
        }
    }

    pub(crate) fn url(&self) -> String {
        let address = self.listener.local_addr().unwrap();
        format!("https://{address}/push/somebody")
    }

    /// A transport that trusts it.
    pub(crate) fn transport(&self, limits: Limits) -> PushTransport {
        let network = "127.0.0.0/8".parse().unwrap();
        PushTransport::new(
            Arc::new(Admission::new().with_networks([network])),
            client_config(Some(&self.directory.path().join("ca.pem"))).unwrap(),
            Arc::new(SystemResolver::default()),
            limits,
        )
    }

    /// The next connection, of so many streams.
    pub(crate) async fn accept(&self, streams: u32) -> Connection {
        let (tcp, _) = self.listener.accept().await.unwrap();
        let tls = self.acceptor.accept(tcp).await.unwrap();
        h2::server::Builder::new()
            .max_concurrent_streams(streams)
            .handshake(tls)
            .await
            .unwrap()
    }
}

/// Runs a connection on which nothing more is asked, until it ends.
pub(crate) async fn run(mut connection: Connection) {
    while let Some(Ok(_)) = connection.accept().await {}
}
