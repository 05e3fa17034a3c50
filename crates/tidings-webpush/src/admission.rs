pub(crate) mod address;
pub(crate) mod host_pattern;

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use thiserror::Error;
use url::Host;

use crate::push_service::is_below;
use crate::{HostPattern, PushResource, PushService};

const HTTPS_PORT: u16 = 443;

/// Names that no public push service has; an entry of its own admits them all the same.
const NOT_PUBLIC: [&str; 7] = [
    "localhost",
    "local",
    "internal",
    "invalid",
    "test",
    "onion",
    "home.arpa",
];

/// Which push resources are used, and which addresses are connected to.
///
/// Endpoints come from strangers: each is a request that the server makes in their name. By
/// default only the known push services are admitted, by `https:`, on port 443, at public
/// addresses. Everything looks at the parsed host, never at the text.
///
/// Two checks belong together: [`admit`](Self::admit) when a push resource arrives, and
/// [`may_connect`](Self::may_connect) on the very address that is about to be connected to, with
/// no second look-up in between.
///
/// Spec: RFC 8030 §8.3; the IANA special-purpose address registries of RFC 6890.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    hosts: Vec<HostPattern>,
    networks: Vec<IpNet>,
    insecure: bool,
}

impl Admission {
    /// Admits the known push services and nothing else.
    pub fn new() -> Self {
        Self::default()
    }

    /// Admits further hosts.
    #[must_use]
    pub fn with_hosts(mut self, patterns: impl IntoIterator<Item = HostPattern>) -> Self {
        self.hosts.extend(patterns);
        self
    }

    /// Allows connections to networks outside the public internet. A push resource with a literal
    /// address inside one needs no host entry and may have any port; so does `localhost` if
    /// 127.0.0.1 is inside.
    #[must_use]
    pub fn with_networks(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.networks.extend(networks);
        self
    }

    /// Allows `http:` inside the networks of [`with_networks`](Self::with_networks), for
    /// sandboxes and tests.
    #[must_use]
    pub fn with_insecure(mut self, allowed: bool) -> Self {
        self.insecure = allowed;
        self
    }

    /// Whether push messages may be sent to `resource`, as far as its URL tells.
    pub fn admit(&self, resource: &PushResource) -> Result<(), AdmissionError> {
        if !resource.scheme_is_https() && !self.insecure {
            return Err(AdmissionError::Insecure);
        }
        match literal(&resource.host()) {
            Some(address) => self.admit_address(resource, address),
            None => self.admit_name(resource),
        }
    }

    /// Whether an `https:` connection to `address` may be made: it is public, or inside the
    /// networks that were allowed. For `http:` see
    /// [`may_connect_insecurely`](Self::may_connect_insecurely).
    ///
    /// Addresses that stand for an IPv4 address (mapped, NAT64, 6to4, Teredo) are judged by it.
    ///
    /// Spec: RFC 6890 §2.2.
    pub fn may_connect(&self, address: IpAddr) -> bool {
        self.is_listed(address) || address::is_public(address)
    }

    /// Whether an `http:` connection to `address` may be made: `http:` is allowed, and the address
    /// is inside the networks that were allowed.
    pub fn may_connect_insecurely(&self, address: IpAddr) -> bool {
        self.insecure && self.is_listed(address)
    }

    fn admit_address(
        &self,
        resource: &PushResource,
        address: IpAddr,
    ) -> Result<(), AdmissionError> {
        if self.is_listed(address) {
            return Ok(());
        }
        if !resource.scheme_is_https() {
            return Err(AdmissionError::Insecure);
        }
        if !address::is_public(address) {
            return Err(AdmissionError::NotPublic { address });
        }
        self.admit_host(resource)
    }

    fn admit_name(&self, resource: &PushResource) -> Result<(), AdmissionError> {
        let Host::Domain(name) = resource.host() else {
            return Err(AdmissionError::UnknownHost);
        };
        if (name == "localhost" || is_below(name, "localhost"))
            && self.is_listed(IpAddr::V4(Ipv4Addr::LOCALHOST))
        {
            return Ok(());
        }
        if name == "android.googleapis.com" {
            return Err(AdmissionError::Retired);
        }
        self.admit_host(resource)
    }

    /// Looks host and port up among the known push services and the operator's entries.
    fn admit_host(&self, resource: &PushResource) -> Result<(), AdmissionError> {
        let host = resource.host();
        let port = resource.port();
        let is_known = resource.push_service() != PushService::Other;
        let is_reserved = is_reserved_name(&host);
        let matching = || {
            self.hosts
                .iter()
                .filter(|pattern| pattern.names(&host) || (pattern.is_any_host() && !is_reserved))
        };
        if (is_known && port == HTTPS_PORT) || matching().any(|pattern| pattern.port() == port) {
            Ok(())
        } else if is_known || matching().next().is_some() {
            Err(AdmissionError::Port { port })
        } else if is_reserved {
            Err(AdmissionError::NotPublicName)
        } else {
            Err(AdmissionError::UnknownHost)
        }
    }

    fn is_listed(&self, address: IpAddr) -> bool {
        let inside = |address: IpAddr| self.networks.iter().any(|net| net.contains(&address));
        let judged = address::judged(address);
        inside(address) || (!judged.is_empty() && judged.into_iter().all(inside))
    }
}

fn literal(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
    }
}

fn is_reserved_name(host: &Host<&str>) -> bool {
    let Host::Domain(name) = host else {
        return false;
    };
    !name.contains('.') || NOT_PUBLIC.iter().any(|suffix| is_below(name, suffix))
}

/// Why a push resource is not used. The messages are for whoever registers a subscription: they
/// say nothing about the server's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// `http:` where it is not allowed.
    #[error(
        "the endpoint must be https:; http: is for sandboxes, in networks that the operator allows"
    )]
    Insecure,
    /// A host that is not on the list.
    #[error("the endpoint's host is not a known push service: the operator can admit it")]
    UnknownHost,
    /// A port that is not open for this host.
    #[error(
        "the endpoint's port {port} is not the one of this push service: the operator can admit host and port together"
    )]
    Port {
        /// The port.
        port: u16,
    },
    /// A literal address outside the public internet.
    #[error("the endpoint's address {address} is not public: the operator can allow its network")]
    NotPublic {
        /// The address.
        address: IpAddr,
    },
    /// A name that only means something inside a network.
    #[error("the endpoint's host is not a public name: the operator can admit it by name")]
    NotPublicName,
    /// Google Cloud Messaging, switched off in 2019.
    #[error(
        "android.googleapis.com was switched off in 2019: subscribe again in a current browser"
    )]
    Retired,
}
