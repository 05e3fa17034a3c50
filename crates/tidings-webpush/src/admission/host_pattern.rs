use std::fmt;

use thiserror::Error;
use url::Host;

use crate::push_service::is_below;

const HTTPS_PORT: u16 = 443;

/// An operator's entry in the list of hosts that push resources may have.
///
/// `push.example.org`, `*.example.org` (every name below, not the name itself), `*` (every public
/// host), or a literal address; port 443 unless another is written behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    hosts: Hosts,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Hosts {
    Any,
    Below(Box<str>),
    One(Host),
}

impl HostPattern {
    /// Reads an entry.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        let (host, port) = split_port(text)?;
        let hosts = if host == "*" {
            Hosts::Any
        } else if let Some(domain) = host.strip_prefix("*.") {
            match parse_host(domain)? {
                Host::Domain(name) => Hosts::Below(name.into()),
                _ => return Err(HostPatternError::Host),
            }
        } else {
            Hosts::One(parse_host(host)?)
        };
        Ok(Self { hosts, port })
    }

    pub(crate) fn is_any_host(&self) -> bool {
        self.hosts == Hosts::Any
    }

    /// Whether the entry names this host, by itself or by its domain.
    pub(crate) fn names(&self, host: &Host<&str>) -> bool {
        match (&self.hosts, host) {
            (Hosts::Below(domain), Host::Domain(name)) => is_below(name, domain),
            (Hosts::One(Host::Domain(one)), Host::Domain(name)) => one == name,
            (Hosts::One(Host::Ipv4(one)), Host::Ipv4(address)) => one == address,
            (Hosts::One(Host::Ipv6(one)), Host::Ipv6(address)) => one == address,
            _ => false,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Any => formatter.write_str("*")?,
            Hosts::Below(domain) => write!(formatter, "*.{domain}")?,
            Hosts::One(host) => write!(formatter, "{host}")?,
        }
        if self.port == HTTPS_PORT {
            Ok(())
        } else {
            write!(formatter, ":{}", self.port)
        }
    }
}

fn split_port(text: &str) -> Result<(&str, u16), HostPatternError> {
    if text.contains('/') {
        return Err(HostPatternError::Host);
    }
    let is_bare = text.ends_with(']') || !text.contains(':');
    if is_bare {
        return Ok((text, HTTPS_PORT));
    }
    let (host, port) = text.rsplit_once(':').ok_or(HostPatternError::Port)?;
    if port.is_empty() || !port.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(HostPatternError::Port);
    }
    match port.parse() {
        Ok(port) if port != 0 => Ok((host, port)),
        _ => Err(HostPatternError::Port),
    }
}

/// Parses as a URL's host is parsed, so that both sides of a comparison have the same form.
fn parse_host(text: &str) -> Result<Host, HostPatternError> {
    match Host::parse(text) {
        Ok(Host::Domain(name)) if name.is_empty() || name.ends_with('.') || name.contains('*') => {
            Err(HostPatternError::Host)
        }
        Ok(host) => Ok(host),
        Err(_) => Err(HostPatternError::Host),
    }
}

/// Why an entry was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HostPatternError {
    /// Not a host.
    #[error(
        "not a host: write push.example.org, *.example.org, * or an address, without scheme and path"
    )]
    Host,
    /// Not a port.
    #[error("not a port between 1 and 65535 behind the colon (IPv6 addresses go in brackets)")]
    Port,
}
