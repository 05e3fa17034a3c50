//! Whose request it is: the other end of the connection, or whom a trusted proxy names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::{FORWARDED, HeaderName};
use http::{Extensions, HeaderMap};
use ipnet::IpNet;

/// The header that proxies name their clients in.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The bits of an IPv6 address that name a network; who has one has all addresses in it.
const IPV6_NETWORK_BITS: u32 = 64;

/// The other end of a request's connection.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(SocketAddr);

impl PeerAddress {
    /// For the extensions of a request that came over `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// What a request's extensions say; `None` for one that came over no connection.
    pub(crate) fn of(extensions: &Extensions) -> Option<IpAddr> {
        let Self(address) = extensions.get::<Self>()?;
        Some(address.ip().to_canonical())
    }
}

/// The networks of reverse proxies: what these say about whose request it is, is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Proxies inside `networks`.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// These and `further` ones.
    #[must_use]
    pub fn and(mut self, further: impl IntoIterator<Item = IpNet>) -> Self {
        self.0.extend(further);
        self
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` is a proxy's.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whose request it is. Each proxy appends whom it was connected from, so the header is read
    /// from its end, and only as far as those who wrote it are trusted. Without a header, or with
    /// nonsense where it counts, it is the peer's.
    ///
    /// `Forwarded` (RFC 7239) is not read: a proxy that writes one of the two headers passes the
    /// other on as the client wrote it, so believing both would be believing the client.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.contains(peer) {
            return peer;
        }
        let mut client = peer;
        for line in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            let Ok(line) = line.to_str() else {
                return peer;
            };
            for entry in line.rsplit(',').map(str::trim) {
                let Some(address) = read_entry(entry) else {
                    return peer;
                };
                client = address;
                if !self.contains(address) {
                    return client;
                }
            }
        }
        client
    }
}

/// Whether a proxy has been at the request.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED)
}

/// Whether only this machine, or the network of whoever runs the server, has the address.
pub(crate) fn is_nearby(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// An address as proxies write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:80`.
fn read_entry(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: IpAddr = text
        .parse()
        .ok()
        .or_else(bracketed)
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientNetwork(IpAddr);

impl ClientNetwork {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(first_bits(address, IPV6_NETWORK_BITS)),
        })
    }

    /// Those it shares a fate with when there are too many to tell apart: an IPv4 /16, an IPv6 /32,
    /// which is what one provider gets.
    pub(crate) fn neighbourhood(self) -> [u8; 4] {
        match self.0 {
            IpAddr::V4(address) => {
                let [first, second, ..] = address.octets();
                [first, second, 0, 0]
            }
            IpAddr::V6(address) => {
                let [first, second, third, fourth, ..] = address.octets();
                [first, second, third, fourth]
            }
        }
    }
}

fn first_bits(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or_default();
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        name: &'static str,
        peer: &'static str,
        lines: &'static [&'static str],
        client: &'static str,
    }

    const fn case(
        name: &'static str,
        peer: &'static str,
        lines: &'static [&'static str],
        client: &'static str,
    ) -> Case {
        Case {
            name,
            peer,
            lines,
            client,
        }
    }

    /// Proxies are in `10.0.0.0/8` and `fd00::/8`.
    const CASES: &[Case] = &[
        case("no header", "10.0.0.1", &[], "10.0.0.1"),
        case(
            "a stranger's header",
            "192.0.2.9",
            &["192.0.2.1"],
            "192.0.2.9",
        ),
        case("one entry", "10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
        case(
            "an invented entry",
            "10.0.0.1",
            &["198.51.100.7, 192.0.2.1"],
            "192.0.2.1",
        ),
        case(
            "two proxies",
            "10.0.0.1",
            &["192.0.2.1, 10.0.0.2"],
            "192.0.2.1",
        ),
        case(
            "an invented proxy",
            "10.0.0.1",
            &["10.9.9.9, 192.0.2.1, 10.0.0.2"],
            "192.0.2.1",
        ),
        case(
            "several lines",
            "10.0.0.1",
            &["198.51.100.7", "192.0.2.1", "10.0.0.2"],
            "192.0.2.1",
        ),
        case(
            "lines and lists",
            "10.0.0.1",
            &["x, 192.0.2.1", "10.0.0.3,10.0.0.2"],
            "192.0.2.1",
        ),
        case(
            "nothing but proxies",
            "10.0.0.1",
            &["10.0.0.3, 10.0.0.2"],
            "10.0.0.3",
        ),
        case("a port", "10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
        case("IPv6", "fd00::1", &["2001:db8::7"], "2001:db8::7"),
        case(
            "IPv6 in brackets",
            "fd00::1",
            &["[2001:db8::7]"],
            "2001:db8::7",
        ),
        case(
            "IPv6 with a port",
            "fd00::1",
            &["[2001:db8::7]:443"],
            "2001:db8::7",
        ),
        case(
            "IPv4 inside IPv6",
            "10.0.0.1",
            &["::ffff:192.0.2.1"],
            "192.0.2.1",
        ),
        case(
            "a peer that is IPv4 inside IPv6",
            "::ffff:10.0.0.1",
            &["192.0.2.1"],
            "192.0.2.1",
        ),
        case(
            "a proxy that is IPv4 inside IPv6",
            "10.0.0.1",
            &["192.0.2.1, ::ffff:10.0.0.2"],
            "192.0.2.1",
        ),
        case("garbage", "10.0.0.1", &["unknown"], "10.0.0.1"),
        case(
            "garbage before the client",
            "10.0.0.1",
            &["unknown, 192.0.2.1"],
            "192.0.2.1",
        ),
        case(
            "garbage behind the client",
            "10.0.0.1",
            &["192.0.2.1, unknown"],
            "10.0.0.1",
        ),
        case(
            "garbage behind a proxy",
            "10.0.0.1",
            &["192.0.2.1, unknown, 10.0.0.2"],
            "10.0.0.1",
        ),
        case("an empty header", "10.0.0.1", &[""], "10.0.0.1"),
        case("an empty entry", "10.0.0.1", &["192.0.2.1,"], "10.0.0.1"),
        case("a half bracket", "10.0.0.1", &["[2001:db8::7"], "10.0.0.1"),
        case("a name", "10.0.0.1", &["host.example"], "10.0.0.1"),
        case("a zone", "10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
        case(
            "octets that are no text",
            "10.0.0.1",
            &["192.0.2.1\u{e9}"],
            "10.0.0.1",
        ),
    ];

    #[test]
    fn a_client_is_whom_the_trusted_proxies_name() {
        let proxies =
            TrustedProxies::new(["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap()));
        for case in CASES {
            let mut headers = HeaderMap::new();
            for line in case.lines {
                headers.append(
                    X_FORWARDED_FOR,
                    http::HeaderValue::from_bytes(line.as_bytes()).unwrap(),
                );
            }
            let peer: IpAddr = case.peer.parse().unwrap();
            let client = proxies.client(peer.to_canonical(), &headers);
            assert_eq!(
                client,
                case.client.parse::<IpAddr>().unwrap(),
                "{}",
                case.name
            );
        }
    }

    #[test]
    fn nobody_is_a_proxy_by_default() {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, "192.0.2.1".parse().unwrap());
        let loopback = "127.0.0.1".parse().unwrap();
        assert_eq!(
            TrustedProxies::default().client(loopback, &headers),
            loopback
        );
    }

    #[test]
    fn ipv6_counts_by_its_network() {
        let of = |text: &str| ClientNetwork::of(text.parse().unwrap());
        assert!(of("2001:db8:1:2::1") == of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert!(of("2001:db8:1:2::1") != of("2001:db8:1:3::1"));
        assert!(of("192.0.2.1") != of("192.0.2.2"));
        assert!(of("::ffff:192.0.2.1") == of("192.0.2.1"));
        let near = of("2001:db8:1:2::1").neighbourhood();
        assert_eq!(near, of("2001:db8:ffff::1").neighbourhood());
        assert_ne!(near, of("2001:db9:1:2::1").neighbourhood());
    }
}
