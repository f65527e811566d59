//! What an address is for, by IANA's registries of special-purpose addresses (RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a connection to an address ends up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anywhere on the Internet.
    Global,
    /// Not on the Internet: what the address is instead, with its article.
    Special(&'static str),
    /// Where these IPv4 addresses lead: an IPv6 address that carries them.
    Carried(Vec<Ipv4Addr>),
}

pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_of_v4(address),
        IpAddr::V6(address) => reach_of_v6(address),
    }
}

/// Whether the first `prefix` bits of both are the same; addresses of different families have none in common.
pub(super) fn shares_prefix(left: IpAddr, right: IpAddr, prefix: u8) -> bool {
    let (left, right, width) = match (left, right) {
        (IpAddr::V4(left), IpAddr::V4(right)) => (u128::from(left.to_bits()), u128::from(right.to_bits()), 32),
        (IpAddr::V6(left), IpAddr::V6(right)) => (left.to_bits(), right.to_bits(), 128),
        _ => return false,
    };
    let beyond = u32::from(u8::saturating_sub(width, prefix));
    (left ^ right).checked_shr(beyond).unwrap_or(0) == 0
}

fn reach_of_v4(address: Ipv4Addr) -> Reach {
    let found = SPECIAL_V4.iter().find(|(base, prefix, _)| shares_prefix(address.into(), (*base).into(), *prefix));
    found.map_or(Reach::Global, |(_, _, what)| Reach::Special(what))
}

fn reach_of_v6(address: Ipv6Addr) -> Reach {
    if let Some(carried) = carried(address) {
        return Reach::Carried(carried);
    }
    let is_in = |base: Ipv6Addr, prefix| shares_prefix(address.into(), base.into(), prefix);
    let found = SPECIAL_V6.iter().find(|(base, prefix, _)| is_in(*base, *prefix));
    match found {
        Some((_, _, what)) => Reach::Special(what),
        None if is_in(GLOBAL_UNICAST, 3) => Reach::Global,
        None => Reach::Special("a reserved address"),
    }
}

/// The IPv4 addresses that an IPv6 address stands for, where it does: IPv4-mapped (RFC 4291, 2.5.5.2; the kernel connects
/// to the IPv4 address), NAT64 (RFC 6052, 2.1), 6to4 (RFC 3056, 2) and Teredo (RFC 4380, 4; server, and client inverted).
fn carried(address: Ipv6Addr) -> Option<Vec<Ipv4Addr>> {
    let [first, second, third, fourth, _, _, seventh, eighth] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    let is_in = |base: Ipv6Addr, prefix| shares_prefix(address.into(), base.into(), prefix);
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(vec![mapped]);
    }
    if is_in(NAT64, 96) {
        return Some(vec![v4(seventh, eighth)]);
    }
    if first == 0x2002 {
        return Some(vec![v4(second, third)]);
    }
    (first == 0x2001 && second == 0).then(|| vec![v4(third, fourth), v4(!seventh, !eighth)])
}

/// Other IPv6 space than this has not been given out (RFC 4291, 2.4).
const GLOBAL_UNICAST: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// The first that fits is the one named.
const SPECIAL_V4: [(Ipv4Addr, u8, &str); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 32, "the unspecified address"),
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an address of \"this network\""),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "an address shared behind a carrier's NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "an address for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "a documentation address"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay address"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "a benchmarking address"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "a documentation address"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "a documentation address"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "the broadcast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
    // Azure's platform services (metadata, health probes, key protection) answer here, from inside its networks only.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud platform's own address"),
];

const SPECIAL_V6: [(Ipv6Addr, u8, &str); 12] = [
    (Ipv6Addr::UNSPECIFIED, 128, "the unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4-compatible address"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "a local translation address"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 32, "a discard address"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "a documentation address"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "an address for protocols"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "a documentation address"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "a private address"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "a link-local address"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "a site-local address"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "a multicast address"),
];
