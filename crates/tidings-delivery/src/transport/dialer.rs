//! Resolve, check every address, connect to exactly the one that was checked.

mod happy_eyeballs;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tidings_webpush::{Admission, PushResource};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use crate::transport::TransportError;
use crate::transport::resolver::Resolver;

/// What a pool connects to: all of a push resource that is no secret.
#[derive(Clone, Debug)]
pub(super) struct Target {
    origin: String,
    host: Host,
    port: u16,
    is_https: bool,
}

impl Target {
    pub(super) fn of(resource: &PushResource) -> Self {
        Self {
            origin: resource.origin().to_owned(),
            host: resource.host().to_owned(),
            port: resource.port(),
            is_https: resource.scheme_is_https(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

pub(super) struct Dialer {
    admission: Arc<Admission>,
    tls: TlsConnector,
    resolver: Arc<dyn Resolver>,
}

/// A connection before anything was said on it.
pub(super) enum Dialed {
    Http2(Box<TlsStream<TcpStream>>),
    Http1(Box<TlsStream<TcpStream>>),
    PlainHttp1(TcpStream),
}

impl Dialer {
    pub(super) fn new(
        admission: Arc<Admission>,
        tls: Arc<rustls::ClientConfig>,
        resolver: Arc<dyn Resolver>,
    ) -> Self {
        Self {
            admission,
            tls: TlsConnector::from(tls),
            resolver,
        }
    }

    pub(super) async fn dial(&self, target: &Target) -> Result<Dialed, TransportError> {
        let addresses = self.allowed_addresses(target).await?;
        let port = target.port;
        let connect = |address| TcpStream::connect(SocketAddr::new(address, port));
        let tcp = happy_eyeballs::first_of(addresses, connect).await;
        let tcp = tcp.map_err(|error| TransportError::Connect(error.to_string()))?;
        tcp.set_nodelay(true)
            .map_err(|error| TransportError::Connect(error.to_string()))?;
        if !target.is_https {
            return Ok(Dialed::PlainHttp1(tcp));
        }
        let name = server_name(&target.host)?;
        let tls = self.tls.connect(name, tcp).await;
        let tls = tls.map_err(|error| TransportError::Tls(error.to_string()))?;
        let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let tls = Box::new(tls);
        Ok(if is_http2 {
            Dialed::Http2(tls)
        } else {
            Dialed::Http1(tls)
        })
    }

    /// The addresses that may be connected to. Names are judged by where they lead now, not by
    /// where they led when the subscription was registered.
    async fn allowed_addresses(&self, target: &Target) -> Result<Vec<IpAddr>, TransportError> {
        let found = match &target.host {
            Host::Ipv4(address) => vec![IpAddr::V4(*address)],
            Host::Ipv6(address) => vec![IpAddr::V6(*address)],
            Host::Domain(name) => self
                .resolver
                .resolve(name)
                .await
                .map_err(|error| TransportError::Resolve(error.to_string()))?,
        };
        if found.is_empty() {
            return Err(TransportError::Resolve("it has no address".to_owned()));
        }
        let allowed: Vec<IpAddr> = found
            .into_iter()
            .filter(|address| {
                if target.is_https {
                    self.admission.may_connect(*address)
                } else {
                    self.admission.may_connect_insecurely(*address)
                }
            })
            .collect();
        if allowed.is_empty() {
            Err(TransportError::AddressNotAllowed)
        } else {
            Ok(allowed)
        }
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, TransportError> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|error| TransportError::Tls(error.to_string())),
        Host::Ipv4(address) => Ok(ServerName::IpAddress(IpAddr::V4(*address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress(IpAddr::V6(*address).into())),
    }
}
