//! Any rules, any text for a host and any addresses to which it resolves: what is allowed is public, or a rule names a
//! network for it, and no text is a name here and an address for the system.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arbitrary::Arbitrary;
use equipoise_proxy::forward::{Access, Destination, Host, Rule, Rules};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    rules: Vec<Condition<'a>>,
    target: &'a str,
    host: Written,
    is_connect: bool,
    user: Option<&'a str>,
    addresses: Vec<IpAddr>,
}

#[derive(Arbitrary, Debug)]
struct Condition<'a> {
    allows: bool,
    host: Option<&'a str>,
    network: Option<Network>,
    ports: Option<(u16, u16)>,
    user: Option<&'a str>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Network {
    address: IpAddr,
    length: u8,
}

/// An address in a form that some programs read.
#[derive(Arbitrary, Debug)]
enum Written {
    Text,
    Address(IpAddr),
    Dotted(Vec<(u32, Radix)>),
    Mapped(Ipv4Addr),
    Zone(Ipv6Addr, u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Radix {
    Decimal,
    Octal,
    Hexadecimal,
}

impl Network {
    fn length(self) -> u32 {
        u32::from(self.length) % if self.address.is_ipv4() { 33 } else { 129 }
    }

    /// The first and the last address.
    fn ends(self) -> [IpAddr; 2] {
        match self.address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(self.length()).unwrap_or(0);
                [address.to_bits() & !host, address.to_bits() | host].map(|bits| Ipv4Addr::from_bits(bits).into())
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(self.length()).unwrap_or(0);
                [address.to_bits() & !host, address.to_bits() | host].map(|bits| Ipv6Addr::from_bits(bits).into())
            }
        }
    }

    fn contains(self, address: IpAddr) -> bool {
        let [first, last] = self.ends();
        first.is_ipv4() == address.is_ipv4() && first <= address && address <= last
    }

    fn text(self) -> String {
        format!("{}/{}", self.ends()[0], self.length())
    }
}

impl Written {
    fn text(&self, text: &str) -> String {
        let number = |(number, radix): &(u32, Radix)| match radix {
            Radix::Decimal => number.to_string(),
            Radix::Octal => format!("0{number:o}"),
            Radix::Hexadecimal => format!("0x{number:x}"),
        };
        match self {
            Self::Text => text.to_owned(),
            Self::Address(IpAddr::V4(address)) => address.to_string(),
            Self::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Self::Dotted(numbers) => numbers.iter().take(5).map(number).collect::<Vec<_>>().join("."),
            Self::Mapped(address) => format!("[::ffff:{address}]"),
            Self::Zone(address, zone) => format!("[{address}%{zone}]"),
        }
    }
}

/// What `inet_aton` reads: one to four numbers, the last of which fills the rest.
fn is_address_for_inet_aton(text: &str) -> bool {
    let is_number = |part: &str| match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(digits) => digits.is_empty() || u128::from_str_radix(digits, 16).is_ok(),
        None => u128::from_str_radix(part, if part.starts_with('0') && part.len() > 1 { 8 } else { 10 }).is_ok(),
    };
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() <= 4 && parts.into_iter().all(is_number)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            !(a == 0
                || address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
                || address.is_documentation()
                || a >= 240
                || a == 100 && (64..128).contains(&b)
                || a == 198 && (b == 18 || b == 19)
                || (a, b, c) == (192, 0, 0)
                || (a, b, c) == (192, 88, 99)
                || (a, b, c, d) == (168, 63, 129, 16))
        }
        IpAddr::V6(address) => {
            let segments = address.segments();
            segments[0] & 0xe000 == 0x2000
                && !(segments[0] == 0x2001 && segments[1] < 0x200
                    || segments[0] == 0x2001 && segments[1] == 0xdb8
                    || segments[0] == 0x2002
                    || segments[0] == 0x3fff && segments[1] < 0x1000)
        }
    }
}

fn is_metadata(address: IpAddr) -> bool {
    ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"]
        .iter()
        .any(|text| text.parse() == Ok(address))
}

/// The IPv4 address that a gateway takes from an IPv6 address.
fn inner(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let bits = address.to_bits();
    let low = Ipv4Addr::from_bits(bits as u32);
    let starts = |text: &str, length: u32| {
        let prefix: Ipv6Addr = text.parse().expect("an address");
        bits >> (128 - length) == prefix.to_bits() >> (128 - length)
    };
    if ["::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::"].iter().any(|prefix| starts(prefix, 96)) {
        Some(low.into())
    } else if starts("2001::", 32) {
        Some(Ipv4Addr::from_bits(!bits as u32).into())
    } else if starts("2002::", 16) {
        Some(Ipv4Addr::from_bits((bits >> 80) as u32).into())
    } else {
        None
    }
}

fuzz_target!(|input: Input<'_>| {
    let mut networks = Vec::new();
    let rules = input.rules.iter().take(8).filter_map(|condition| {
        let mut rule = if condition.allows { Rule::allow() } else { Rule::deny() };
        if let Some(host) = condition.host {
            rule = rule.host(host).ok()?;
        }
        if let Some((from, to)) = condition.ports {
            rule = rule.ports(from..=to);
        }
        if let Some(user) = condition.user {
            rule = rule.user(user);
        }
        if let Some(network) = condition.network {
            rule = rule.network(&network.text()).expect("a network");
            if condition.allows {
                networks.push(network);
            }
        }
        Some(rule)
    });
    let rules: Rules = rules.collect();

    let text = input.host.text(input.target);
    let Some(destination) = Destination::parse(&text, Some(443)) else { return };
    let mut addresses = input.addresses;
    addresses.truncate(16);
    match destination.host() {
        Host::Name(name) => assert!(!is_address_for_inet_aton(name), "{text:?} is an address for the system"),
        Host::Address(address) => {
            assert!(
                text.starts_with(&destination.host().to_string()) || address.is_ipv6(),
                "{text:?} has another form"
            );
            addresses = vec![*address];
        }
    }
    let access = if input.is_connect { Access::tunnel(&destination) } else { Access::http(&destination) };
    let access = access.user(input.user);
    if rules.decide_unresolved(&access).is_ok() {
        assert_eq!(rules.decide_name(&access), Ok(()), "{text:?} is allowed only if it is not resolved");
        let without = input.rules.iter().any(|condition| condition.allows && condition.network.is_none());
        assert!(without, "{text:?} is allowed because of a network that it may not be in");
    }
    for address in addresses {
        assert!(Rules::none().decide(&access, address).is_err());
        if rules.decide(&access, address).is_err() {
            continue;
        }
        assert_eq!(rules.decide_name(&access), Ok(()), "{address} is allowed, and its name is not");
        for address in [Some(address), inner(address)].into_iter().flatten() {
            if is_public(address) {
                continue;
            }
            // A network for it, all of which is closed by default.
            let opens = |network: &&Network| {
                network.contains(address) && network.ends().iter().all(|address| !is_public(*address))
            };
            let opened = networks.iter().find(opens);
            assert!(opened.is_some(), "{address} is allowed, and no rule names its network");
            let is_named = |network: &Network| network.ends() == [address; 2];
            assert!(!is_metadata(address) || networks.iter().any(is_named), "{address} is allowed with its network");
        }
    }
});
