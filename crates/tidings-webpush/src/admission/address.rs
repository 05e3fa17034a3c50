//! Which addresses are public: the IANA special-purpose registries (RFC 6890), as a table.
//!
//! The standard library's `is_global` is not stable.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 blocks that are not global unicast: network and prefix length.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The only IPv6 block that global unicast addresses are assigned from.
const GLOBAL_UNICAST_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Blocks inside it that are not public: protocol assignments and documentation.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0x0db8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const SIX_TO_FOUR: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);
const TEREDO: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32);

/// Whether packets to `address` go to the public internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    let judged = judged(address);
    match address {
        _ if !judged.is_empty() => judged.into_iter().all(is_public),
        IpAddr::V4(address) => !NOT_PUBLIC_V4
            .iter()
            .any(|(network, length)| prefix_v4(address, *length) == prefix_v4(*network, *length)),
        IpAddr::V6(address) => {
            is_inside(address, GLOBAL_UNICAST_V6)
                && !NOT_PUBLIC_V6
                    .into_iter()
                    .any(|block| is_inside(address, block))
        }
    }
}

/// The IPv4 addresses that an IPv6 address stands for; packets to it may end up at each of them.
pub(crate) fn judged(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(address) = address else {
        return Vec::new();
    };
    let [_, second, third, fourth, .., seventh, eighth] = address.segments();
    let embedded = if let Some(mapped) = address.to_ipv4_mapped() {
        vec![mapped]
    } else if is_inside(address, NAT64) {
        vec![ipv4(seventh, eighth)]
    } else if is_inside(address, SIX_TO_FOUR) {
        vec![ipv4(second, third)]
    } else if is_inside(address, TEREDO) {
        // Its server, and the client behind it, which is written inverted (RFC 4380 §4).
        vec![ipv4(third, fourth), ipv4(!seventh, !eighth)]
    } else {
        Vec::new()
    };
    embedded.into_iter().map(IpAddr::V4).collect()
}

fn ipv4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

fn prefix_v4(address: Ipv4Addr, length: u32) -> u32 {
    address.to_bits() >> (32 - length)
}

fn is_inside(address: Ipv6Addr, (network, length): (Ipv6Addr, u32)) -> bool {
    address.to_bits() >> (128 - length) == network.to_bits() >> (128 - length)
}
