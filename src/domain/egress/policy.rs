//! The rule about addresses: what the Internet reaches may be called, anything else only if the operator named it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::address::{Reach, reach, shares_prefix};

/// Which addresses may be called. Everything that is not globally reachable is refused unless named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    allow: Vec<Network>,
}

/// An address with the number of its bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl EgressPolicy {
    /// Reads addresses and networks with commas or blanks between them: `127.0.0.1, 10.1.0.0/16, ::1, fd00::/8`. Empty
    /// text names nothing. The error says which item is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(|character: char| character == ',' || character.is_whitespace());
        let allow = items.filter(|item| !item.is_empty()).map(Network::parse).collect::<Result<_, _>>()?;
        Ok(Self { allow })
    }

    /// Whether this address may be called; the error says what the address is, and what the operator can do.
    pub fn check(&self, address: IpAddr) -> Result<(), String> {
        if self.allow.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        match reach(address) {
            Reach::Global => Ok(()),
            Reach::Special(what) => Err(format!("{address} is {what}; COUNTERSIGN_EGRESS_ALLOW can name it")),
            Reach::Carried(carried) => carried
                .into_iter()
                .try_for_each(|inner| self.check(inner.into()))
                .map_err(|refusal| format!("{address} leads to another address: {refusal}")),
        }
    }
}

impl Network {
    /// Reads `10.1.0.0/16`, or one address alone. An IPv4-mapped network is taken as the IPv4 network that it is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let base: IpAddr = address.parse().map_err(|_| {
            format!("{text:?} is not an address or a network; right would be 10.1.2.3, 10.1.0.0/16, ::1 or fd00::/8")
        })?;
        let widest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => widest,
            Some(digits) => parse_prefix(digits, widest).ok_or_else(|| {
                format!("{text:?} has no right prefix: after {base}/ comes a number from 0 to {widest}")
            })?,
        };
        let network = Self { base: cut(base, prefix), prefix };
        if network.base != base {
            return Err(format!("{text:?} has bits beyond its prefix; right would be {network} or {base}"));
        }
        Ok(network.unmapped())
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        shares_prefix(self.base, address, self.prefix)
    }

    fn unmapped(self) -> Self {
        let mapped = match self.base {
            IpAddr::V6(base) if self.prefix >= MAPPED_PREFIX => base.to_ipv4_mapped(),
            _ => None,
        };
        mapped.map_or(self, |base| Self { base: base.into(), prefix: self.prefix - MAPPED_PREFIX })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.base, self.prefix)
    }
}

/// Digits only: `+8` is a number to the standard library.
fn parse_prefix(digits: &str, widest: u8) -> Option<u8> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|prefix| is_plain && *prefix <= widest)
}

/// The address with all bits after the prefix at zero.
fn cut(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

/// The length of `::ffff:0:0/96` (RFC 4291, 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> String {
        EgressPolicy::default().check(text.parse().unwrap()).expect_err(text)
    }

    #[test]
    fn what_is_not_globally_reachable_is_refused_with_words() {
        for (what, addresses) in [
            ("is the unspecified address", "0.0.0.0 ::"),
            ("is an address of \"this network\"", "0.0.0.1 0.255.255.255"),
            ("is a private address", "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255"),
            ("is a private address", "fc00:: fd00:ec2::254 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("is an address shared behind a carrier's NAT", "100.64.0.0 100.100.100.200 100.127.255.255"),
            ("is a loopback address", "127.0.0.0 127.0.0.1 127.255.255.255 ::1"),
            ("is a link-local address", "169.254.0.0 169.254.169.254 169.254.255.255 fe80:: fe80::1 febf::1"),
            ("is an address for protocols", "192.0.0.0 192.0.0.192 2001:1::1 2001:2::1 2001:10::1 2001:1ff::1"),
            ("is a documentation address", "192.0.2.1 198.51.100.1 203.0.113.255 2001:db8::1 3fff::1 3fff:fff::1"),
            ("is a 6to4 relay address", "192.88.99.1"),
            ("is a benchmarking address", "198.18.0.0 198.19.255.255"),
            ("is a multicast address", "224.0.0.1 239.255.255.255 ff02::1 ff0e::1"),
            ("is a reserved address", "240.0.0.1 255.255.255.254 5f00::1 4000::1 1::1 e000::1 ::ffff:0:8.8.8.8"),
            ("is the broadcast address", "255.255.255.255"),
            ("is a cloud platform's own address", "168.63.129.16"),
            ("is an IPv4-compatible address", "::2 ::8.8.8.8 ::127.0.0.1"),
            ("is a local translation address", "64:ff9b:1::7f00:1"),
            ("is a discard address", "100::1 100:0:0:1::1"),
            ("is a site-local address", "fec0::1 feff::1"),
        ] {
            for address in addresses.split(' ') {
                let message = refusal(address);
                assert!(message.contains(what), "{address}: {message}");
                assert!(message.ends_with("; COUNTERSIGN_EGRESS_ALLOW can name it"), "{message}");
            }
        }
        assert_eq!(refusal("10.0.0.7"), "10.0.0.7 is a private address; COUNTERSIGN_EGRESS_ALLOW can name it");
    }

    #[test]
    fn what_the_internet_reaches_is_permitted_up_to_the_edges() {
        for address in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert_eq!(EgressPolicy::default().check(address.parse().unwrap()), Ok(()), "{address}");
        }
    }

    /// `inverted` is Teredo's way to write the client's address.
    #[test]
    fn an_ipv6_address_is_judged_by_the_ipv4_address_that_it_carries() {
        for carrier in ["::ffff:", "64:ff9b::"] {
            for (inner, is_permitted) in [("8.8.8.8", true), ("127.0.0.1", false), ("169.254.169.254", false)] {
                let address = format!("{carrier}{inner}").parse().unwrap();
                assert_eq!(EgressPolicy::default().check(address).is_ok(), is_permitted, "{address}");
            }
        }
        assert!(EgressPolicy::default().check("2002:808:808::1".parse().unwrap()).is_ok());
        assert!(refusal("2002:7f00:1::1").contains("127.0.0.1 is a loopback address"));
        let teredo = |server: &str, client: [u8; 4]| {
            let inverted = Ipv4Addr::from(client.map(|byte| !byte));
            let server = server.parse::<Ipv4Addr>().unwrap().to_bits();
            format!("2001:0:{:x}:{:x}::{inverted}", server >> 16, server & 0xffff).parse::<IpAddr>().unwrap()
        };
        assert!(EgressPolicy::default().check(teredo("8.8.8.8", [9, 9, 9, 9])).is_ok());
        assert!(EgressPolicy::default().check(teredo("8.8.8.8", [10, 0, 0, 1])).is_err());
        assert!(EgressPolicy::default().check(teredo("10.0.0.1", [9, 9, 9, 9])).is_err());
    }

    #[test]
    fn what_is_named_is_permitted_and_its_neighbours_are_not() {
        let policy = EgressPolicy::parse("127.0.0.1, 10.1.0.0/16  ::1,fd00::/8\n192.168.7.0/25,").unwrap();
        for address in ["127.0.0.1", "10.1.255.255", "::1", "fd12::1", "192.168.7.127", "::ffff:10.1.2.3"] {
            assert_eq!(policy.check(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in ["127.0.0.2", "10.2.0.0", "::2", "fc00::1", "192.168.7.128", "::ffff:127.0.0.2", "::127.0.0.1"] {
            assert!(policy.check(address.parse().unwrap()).is_err(), "{address}");
        }
        assert_eq!(EgressPolicy::parse(" , \n").unwrap(), EgressPolicy::default());
        assert_eq!(EgressPolicy::parse("::ffff:10.0.0.0/104"), EgressPolicy::parse("10.0.0.0/8"));
        let all = EgressPolicy::parse("0.0.0.0/0 ::/0").unwrap();
        assert!(all.check("169.254.169.254".parse().unwrap()).is_ok());
        assert!(all.check("fe80::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_wrong_item_is_named_with_what_would_be_right() {
        for (text, expected) in [
            ("10.0.0.0/8, localhost", "\"localhost\" is not an address or a network; right would be"),
            ("010.1.1.1", "\"010.1.1.1\" is not an address or a network"),
            ("10.1/16", "\"10.1/16\" is not an address or a network"),
            ("fe80::1%eth0", "is not an address or a network"),
            ("10.0.0.0/33", "after 10.0.0.0/ comes a number from 0 to 32"),
            ("fd00::/129", "after fd00::/ comes a number from 0 to 128"),
            ("10.0.0.0/", "after 10.0.0.0/ comes a number"),
            ("10.0.0.0/+8", "after 10.0.0.0/ comes a number"),
            ("10.1.2.3/16", "has bits beyond its prefix; right would be 10.1.0.0/16 or 10.1.2.3"),
        ] {
            let message = EgressPolicy::parse(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f:./, ]{0,40}") {
            let _ = EgressPolicy::parse(&text);
        }

        #[test]
        fn a_network_contains_what_it_was_cut_from(bits: u128, prefix in 0u8..=128) {
            let address = IpAddr::V6(Ipv6Addr::from_bits(bits));
            let network = Network::parse(&format!("{}/{prefix}", cut(address, prefix))).unwrap();
            let canonical = match address { IpAddr::V6(v6) => v6.to_canonical(), v4 => v4 };
            prop_assert!(network.contains(address) || network.contains(canonical));
        }
    }
}
