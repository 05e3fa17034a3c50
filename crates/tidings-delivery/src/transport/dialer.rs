//! Resolve, check every address, connect to exactly the one that was checked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tidings_webpush::{Admission, PushResource};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use crate::transport::TransportError;
use crate::transport::resolver::Resolver;

/// How long to wait for one of several addresses.
const PER_ADDRESS: Duration = Duration::from_secs(4);

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

    pub(super) async fn dial(&self, resource: &PushResource) -> Result<Dialed, TransportError> {
        let addresses = self.allowed_addresses(resource).await?;
        let tcp = connect(&addresses, resource.port()).await?;
        tcp.set_nodelay(true)
            .map_err(|error| TransportError::Connect(error.to_string()))?;
        if !resource.scheme_is_https() {
            return Ok(Dialed::PlainHttp1(tcp));
        }
        let name = server_name(&resource.host())?;
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
    async fn allowed_addresses(
        &self,
        resource: &PushResource,
    ) -> Result<Vec<IpAddr>, TransportError> {
        let found = match resource.host() {
            Host::Ipv4(address) => vec![IpAddr::V4(address)],
            Host::Ipv6(address) => vec![IpAddr::V6(address)],
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
                if resource.scheme_is_https() {
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

async fn connect(addresses: &[IpAddr], port: u16) -> Result<TcpStream, TransportError> {
    let mut last = TransportError::Connect("there is no address to try".to_owned());
    for address in addresses {
        let connecting = TcpStream::connect(SocketAddr::new(*address, port));
        match tokio::time::timeout(PER_ADDRESS, connecting).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = TransportError::Connect(error.to_string()),
            Err(_) => last = TransportError::TimedOut("connecting"),
        }
    }
    Err(last)
}

fn server_name(host: &Host<&str>) -> Result<ServerName<'static>, TransportError> {
    match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned())
            .map_err(|error| TransportError::Tls(error.to_string())),
        Host::Ipv4(address) => Ok(ServerName::IpAddress(IpAddr::V4(*address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress(IpAddr::V6(*address).into())),
    }
}
