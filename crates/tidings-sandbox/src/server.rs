use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use axum::Router;
use axum::extract::OriginalUri;
use axum::routing::{delete, get, post};
use http::StatusCode;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::connections::Listener;
use crate::options::{CaOutput, SandboxOptions};
use crate::personality::Personality;
use crate::played_service::MAX_SERVICES;
use crate::problem::Problem;
use crate::service::{PushService, Site, Sites};
use crate::tls::{Tls, TlsError};
use crate::{behaviour, control, landing, push};

mod acceptor;
mod http2;
mod port;

use acceptor::Acceptor;
use port::Port;

/// How long requests in flight have to end at a shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The local push service.
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts it. It runs until [`RunningSandbox::shutdown`], or until that is dropped.
    ///
    /// # Errors
    ///
    /// If it cannot listen, has nothing to listen at, or cannot make or write its certificates.
    pub async fn start(options: SandboxOptions) -> Result<RunningSandbox, SandboxError> {
        let host = parse_host(&options.public_host)?;
        let http = bind(options.http)?;
        let https = bind(options.https)?;
        let services = bind_services(&options)?;
        if http.is_none() && https.is_none() && services.is_empty() {
            return Err(SandboxError::NoListener);
        }
        let sites = sites(&options, &host, [http.as_ref(), https.as_ref()], &services)?;
        let tls = if https.is_some() || !services.is_empty() {
            Some(make_tls(&options, &sites).await?)
        } else {
            None
        };
        let service = Arc::new(PushService::new(&options, sites));
        if let Some(rules) = &options.behaviour {
            let rules = behaviour::parse(rules.as_bytes());
            rules
                .and_then(|rules| service.behave(None, rules))
                .map_err(SandboxError::Behaviour)?;
        }
        let killed = CancellationToken::new();
        let ca_pem = tls.as_ref().map(|tls| tls.ca_pem.clone());
        let tls = tls.map(|tls| tls.config);
        let services = (0..).map(Listener::Service).zip(services);
        let own = [(Listener::Http, http), (Listener::Https, https)];
        let own = own
            .into_iter()
            .filter_map(|(kind, listener)| Some((kind, listener?)));
        for (kind, (port, listener)) in own.chain(services) {
            let acceptor = Acceptor {
                service: Arc::clone(&service),
                router: router(Arc::clone(&service)),
                listener: kind,
                port,
                tls: tls
                    .clone()
                    .filter(|_| kind != Listener::Http)
                    .map(Into::into),
                max_concurrent_streams: options.max_concurrent_streams,
                killed: killed.clone(),
            };
            service.tasks.spawn(Arc::new(acceptor).run(listener));
            tracing::info!(
                url = service.origin(kind),
                "the sandbox push service listens; its state is in memory only, so browsers lose \
                 their subscriptions when it stops"
            );
        }
        warn_of_strangers(&service);
        Ok(RunningSandbox {
            service,
            killed,
            ca_pem,
        })
    }
}

/// A sandbox that runs.
pub struct RunningSandbox {
    service: Arc<PushService>,
    killed: CancellationToken,
    ca_pem: Option<String>,
}

impl RunningSandbox {
    /// The origin of the plain listener, such as `http://127.0.0.1:8082`; without final slash.
    pub fn http_url(&self) -> Option<&str> {
        self.url(Listener::Http)
    }

    /// The origin of the TLS listener, such as `https://localhost:8443`; without final slash.
    pub fn https_url(&self) -> Option<&str> {
        self.url(Listener::Https)
    }

    /// Where the plain listener is: [`http_url`](Self::http_url) has the public host instead.
    pub fn http_address(&self) -> Option<SocketAddr> {
        let site = self.service.site(Listener::Http);
        site.map(|site| site.address)
    }

    /// The same for the TLS listener.
    pub fn https_address(&self) -> Option<SocketAddr> {
        let site = self.service.site(Listener::Https);
        site.map(|site| site.address)
    }

    /// The same for [`service_urls`](Self::service_urls), in their order.
    pub fn service_addresses(&self) -> Vec<SocketAddr> {
        let services = self.service.services();
        services.map(|(_, site)| site.address).collect()
    }

    /// The origins of the endpoints of [`SandboxOptions::services`], in their order.
    pub fn service_urls(&self) -> Vec<&str> {
        let services = self.service.services();
        services
            .map(|(listener, _)| self.service.origin(listener))
            .collect()
    }

    /// The environment (name and value) with which `tidings serve` takes the services for the real
    /// ones; besides, its `TIDINGS_PUSH_EXTRA_CA` must name a file with [`ca_pem`](Self::ca_pem).
    pub fn server_environment(&self) -> BTreeMap<&'static str, String> {
        control::services::settings(&self.service)
    }

    /// Where user agents connect to without TLS: `dom.push.serverURL` of a Firefox profile.
    pub fn ws_url(&self) -> Option<String> {
        self.http_url()
            .map(|origin| format!("{}/", origin.replacen("http", "ws", 1)))
    }

    /// The certificate of the authority that clients of the TLS listener must trust.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Takes no more connections, answers what is in flight (withheld answers are released),
    /// closes the connections of user agents, and cuts after five seconds what is left.
    pub async fn shutdown(self) {
        self.service.draining.cancel();
        self.service.tasks.close();
        let drained = tokio::time::timeout(DRAIN_TIMEOUT, self.service.tasks.wait()).await;
        if drained.is_err() {
            tracing::warn!("connections were cut: they did not end in time");
        }
    }

    fn url(&self, listener: Listener) -> Option<&str> {
        self.service
            .vapid(listener)
            .map(|_| self.service.origin(listener))
    }
}

impl Drop for RunningSandbox {
    fn drop(&mut self) {
        self.service.draining.cancel();
        self.killed.cancel();
    }
}

impl fmt::Debug for RunningSandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunningSandbox")
            .field("http_url", &self.http_url())
            .field("https_url", &self.https_url())
            .finish_non_exhaustive()
    }
}

/// Tells of addresses that other machines reach.
fn warn_of_strangers(service: &PushService) {
    let own = [Listener::Http, Listener::Https];
    let own = own.into_iter().filter_map(|kind| service.site(kind));
    let sites = own.chain(service.services().map(|(_, site)| site));
    let open = sites.filter(|site| !site.address.ip().to_canonical().is_loopback());
    let open: Vec<_> = open.map(|site| site.address.to_string()).collect();
    if !open.is_empty() {
        tracing::warn!(
            "other machines may reach the sandbox at {}, and it guards nothing: whoever does can \
             read what it got and change how it answers. Let it listen at 127.0.0.1 unless that \
             is wanted",
            open.join(" and ")
        );
    }
}

/// Why a sandbox did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Neither listener was asked for.
    #[error("nothing to listen at: give an address for HTTP, for HTTPS, or for both")]
    NoListener,
    /// More push services than one sandbox plays.
    #[error("{got} services are too many: at most {MAX_SERVICES} are played at once")]
    TooManyServices {
        /// How many were asked for.
        got: usize,
    },
    /// An address cannot be listened at.
    #[error("cannot listen at {address}: {source}; choose another port, or 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The rules to begin with are none.
    #[error("the behaviour to begin with cannot be used: {0}")]
    Behaviour(String),
    /// The public host is no host.
    #[error("the public host {host:?} is neither a name nor an address: give it without port")]
    PublicHost {
        /// What was given.
        host: String,
    },
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate authority could not be written.
    #[error("cannot write the certificate authority to {}: {source}", path.display())]
    WriteCa {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn parse_host(text: &str) -> Result<Host, SandboxError> {
    let bare = text.trim_matches(['[', ']']);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => Ok(Host::Ipv4(address)),
        Ok(IpAddr::V6(address)) => Ok(Host::Ipv6(address)),
        Err(_) => Host::parse(text).map_err(|_| SandboxError::PublicHost {
            host: text.to_owned(),
        }),
    }
}

/// A port, and who listens there.
type Bound = (Port, TcpListener);

fn bind(address: Option<SocketAddr>) -> Result<Option<Bound>, SandboxError> {
    let claimed = address.map(|address| {
        Port::claim(address).map_err(|source| SandboxError::Listen { address, source })
    });
    claimed.transpose()
}

fn bind_services(options: &SandboxOptions) -> Result<Vec<Bound>, SandboxError> {
    let got = options.services.len();
    if got > MAX_SERVICES {
        return Err(SandboxError::TooManyServices { got });
    }
    let mut bound = Vec::with_capacity(got);
    for played in &options.services {
        bound.extend(bind(Some(played.listen))?);
    }
    Ok(bound)
}

fn sites(
    options: &SandboxOptions,
    host: &Host,
    [http, https]: [Option<&Bound>; 2],
    services: &[Bound],
) -> Result<Sites, SandboxError> {
    let personality = options.personality;
    let own = |scheme, bound: Option<&Bound>| {
        bound
            .map(|(port, _)| site(personality, scheme, host.clone(), port.address()))
            .transpose()
    };
    let played = options.services.iter().zip(services);
    Ok(Sites {
        http: own("http", http)?,
        https: own("https", https)?,
        services: played
            .map(|(played, (port, _))| {
                let host = played.host_or(host);
                site(played.personality, "https", host, port.address())
            })
            .collect::<Result<_, _>>()?,
    })
}

fn site(
    personality: Personality,
    scheme: &str,
    host: Host,
    address: SocketAddr,
) -> Result<Site, SandboxError> {
    let origin = origin(scheme, &host, address)?;
    Ok(Site::new(personality, host, address, origin))
}

/// The origin as RFC 6454 writes it: without the port if it is the scheme's own.
fn origin(scheme: &str, host: &Host, address: SocketAddr) -> Result<String, SandboxError> {
    let url = Url::parse(&format!("{scheme}://{host}:{}", address.port())).map_err(|_| {
        SandboxError::PublicHost {
            host: host.to_string(),
        }
    })?;
    Ok(url.origin().ascii_serialization())
}

async fn make_tls(options: &SandboxOptions, sites: &Sites) -> Result<Tls, SandboxError> {
    let hosts = sites.https.iter().chain(&sites.services);
    let hosts: Vec<_> = hosts.map(|site| site.host.clone()).collect();
    let tls = Tls::new(&hosts, options.alpn, options.clock.now())?;
    if let CaOutput::File(path) = &options.ca {
        tokio::fs::write(path, &tls.ca_pem)
            .await
            .map_err(|source| SandboxError::WriteCa {
                path: path.clone(),
                source,
            })?;
    }
    Ok(tls)
}

fn router(service: Arc<PushService>) -> Router {
    Router::new()
        .route("/", get(landing::open))
        .route("/wpush/{version}/{token}", post(push::post))
        .route("/m/{id}", delete(push::withdraw))
        .nest("/sandbox", control::router())
        .fallback(unknown)
        .with_state(service)
}

fn unknown(OriginalUri(uri): OriginalUri) -> impl Future<Output = Problem> {
    let detail = format!("{} is not here: GET / lists what is", uri.path());
    std::future::ready(Problem::new(StatusCode::NOT_FOUND, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_host_is_a_name_or_an_address() {
        let cases = [
            ("localhost", "localhost"),
            ("Push.Example", "push.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
        ];
        for (text, host) in cases {
            assert_eq!(parse_host(text).unwrap().to_string(), host);
        }
        for text in ["", "localhost:8082", "http://localhost", "a b"] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }
}
