use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The networks of the proxies in front of this balancer that are trusted to report the addresses of their clients.
///
/// The text form is a list whose elements are separated by commas or white space. The elements are networks
/// (`10.0.0.0/8`), addresses, and the words `loopback`, `link-local` and `private`. The words stand for the networks of
/// [`loopback`](Self::loopback), [`link_local`](Self::link_local) and [`private`](Self::private). An empty text trusts
/// no proxy.
///
/// Only proxies should have addresses in these networks. Any other machine with such an address can pretend to be any
/// client. [`contains`](Self::contains) takes O(log n) time for n networks.
///
/// ```
/// use equipoise_affinity::source::TrustedProxies;
///
/// let trusted: TrustedProxies = "10.1.0.0/16, 2001:db8::/32, 192.0.2.7, loopback".parse()?;
/// assert!(trusted.contains("10.1.2.3".parse()?));
/// assert!(!trusted.contains("10.2.2.3".parse()?));
///
/// let error = "10.1.2.3/16".parse::<TrustedProxies>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "10.1.2.3/16 is not a network, because bits after the prefix are set: use 10.1.0.0/16 for the network, or \
///      10.1.2.3 for one address",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// The networks. They do not overlap. IPv4 networks come before IPv6 networks, and each group is sorted by address.
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Creates an empty list: no proxy is trusted.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Creates a list with the networks of the same machine: `127.0.0.0/8` and `::1`.
    #[must_use]
    pub fn loopback() -> Self {
        Self::of([v4([127, 0, 0, 0], 8), v6([0, 0, 0, 0, 0, 0, 0, 1], 128)])
    }

    /// Creates a list with the networks of machines on the same link: `169.254.0.0/16` and `fe80::/10`.
    #[must_use]
    pub fn link_local() -> Self {
        Self::of([v4([169, 254, 0, 0], 16), v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10)])
    }

    /// Creates a list with the private networks of RFC 1918 (`10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`) and RFC
    /// 4193 (`fc00::/7`). The networks of [`loopback`](Self::loopback) are not included.
    #[must_use]
    pub fn private() -> Self {
        Self::of([
            v4([10, 0, 0, 0], 8),
            v4([172, 16, 0, 0], 12),
            v4([192, 168, 0, 0], 16),
            v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
        ])
    }

    /// Returns a list with the networks of this list and of `others`.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        self.networks.into_iter().chain(others.networks).collect()
    }

    /// Returns whether `address` is in one of the networks. An IPv4-mapped IPv6 address is treated as an IPv4 address.
    /// The network `::/0` contains every IPv6 address and no IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let after = self.networks.partition_point(|network| network.network() <= address);
        self.networks.get(..after).and_then(<[IpNet]>::last).is_some_and(|network| network.contains(&address))
    }

    fn of<const N: usize>(networks: [Option<IpNet>; N]) -> Self {
        networks.into_iter().flatten().collect()
    }
}

fn v4(address: [u8; 4], length: u8) -> Option<IpNet> {
    Ipv4Net::new(Ipv4Addr::from(address), length).ok().map(IpNet::from)
}

fn v6(address: [u16; 8], length: u8) -> Option<IpNet> {
    Ipv6Net::new(Ipv6Addr::from(address), length).ok().map(IpNet::from)
}

/// Converts a network of IPv4-mapped IPv6 addresses to an IPv4 network, because IPv4-mapped addresses are compared as
/// IPv4 addresses.
fn undressed(network: IpNet) -> IpNet {
    if let IpNet::V6(network) = network
        && let (Some(address), Some(length)) =
            (network.network().to_ipv4_mapped(), network.prefix_len().checked_sub(96))
        && let Ok(network) = Ipv4Net::new(address, length)
    {
        return network.into();
    }
    network
}

impl FromIterator<IpNet> for TrustedProxies {
    /// Creates a list of `networks`. Bits of an address after the network's prefix length are ignored: `10.0.0.1/8`
    /// becomes `10.0.0.0/8`.
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let networks: Vec<IpNet> = networks.into_iter().map(undressed).collect();
        let mut networks = IpNet::aggregate(&networks);
        networks.sort_unstable_by_key(IpNet::network);
        Self { networks }
    }
}

impl FromStr for TrustedProxies {
    type Err = InvalidProxies;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut networks = Vec::new();
        for word in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty()) {
            match word {
                "loopback" => networks.extend(Self::loopback().networks),
                "link-local" => networks.extend(Self::link_local().networks),
                "private" => networks.extend(Self::private().networks),
                _ => networks.push(network(word)?),
            }
        }
        Ok(networks.into_iter().collect())
    }
}

fn network(word: &str) -> Result<IpNet, InvalidProxies> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = word.parse().map_err(|_| InvalidProxies::Network { network: word.to_owned() })?;
    let trunc = network.trunc();
    if trunc == network {
        Ok(network)
    } else {
        Err(InvalidProxies::HostBits { address: network.addr(), network: trunc })
    }
}

/// Why a text is not a list of trusted proxies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProxies {
    /// An element of the list is not an address, not a network, and not one of the words `loopback`, `link-local` and
    /// `private`.
    #[error(
        "{network:?} is not a network: use a text such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7, or private, loopback \
         or link-local"
    )]
    Network {
        /// The element that was refused.
        network: String,
    },
    /// An element of the list is ambiguous, such as `10.0.0.1/8`: it could mean the address `10.0.0.1` or the network
    /// `10.0.0.0/8`. The bits of a network's address after the prefix length must be zero.
    #[error(
        "{address}/{} is not a network, because bits after the prefix are set: use {network} for the network, or \
         {address} for one address",
        network.prefix_len()
    )]
    HostBits {
        /// The address in the refused element, such as `10.0.0.1`.
        address: IpAddr,
        /// The network that contains the address, such as `10.0.0.0/8`.
        network: IpNet,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusts(networks: &str, address: &str) -> bool {
        networks.parse::<TrustedProxies>().expect("networks").contains(address.parse().expect("an address"))
    }

    #[test]
    fn only_addresses_in_the_networks_are_trusted() {
        for (networks, address, trusted) in [
            ("", "127.0.0.1", false),
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "9.255.255.255", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("10.0.0.0/8 10.1.0.0/16\n192.0.2.0/25,192.0.2.128/25", "10.200.0.1", true),
            ("10.0.0.0/8,192.0.2.0/25,192.0.2.128/25", "192.0.2.200", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.1", false),
            ("::/0", "2001:db8::1", true),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.0.0.1", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("private", "172.31.255.255", true),
            ("private", "172.32.0.0", false),
            ("private", "fd00::1", true),
            ("private", "127.0.0.1", false),
            ("loopback", "::1", true),
            ("loopback", "::2", false),
            ("link-local", "fe80::1", true),
            ("link-local private", "169.254.1.1", true),
        ] {
            assert_eq!(trusts(networks, address), trusted, "{address} of {networks}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for word in ["10.0.0.0/33", "10.0.0/8", "localhost", "10.0.0.0-10.0.0.9", "::/129", "10.0.0.0/", "Private", "*"]
        {
            let refused = InvalidProxies::Network { network: word.to_owned() };
            assert_eq!(format!("10.0.0.0/8,{word}").parse::<TrustedProxies>(), Err(refused));
        }
        assert!(matches!("10.0.0.1/8".parse::<TrustedProxies>(), Err(InvalidProxies::HostBits { .. })));
    }

    #[test]
    fn presets_join() {
        let both = TrustedProxies::private().and(TrustedProxies::loopback());
        assert_eq!(both, "loopback, private".parse().unwrap());
        assert_eq!(TrustedProxies::none().and(TrustedProxies::none()), "".parse().unwrap());
    }

    fn any_network() -> impl Strategy<Value = IpNet> {
        // Only the first 4 bits differ, so that many networks overlap.
        let v4 = (0..16_u32, 0..=32_u8).prop_map(|(bits, length)| (IpAddr::V4((bits << 28).into()), length));
        let v6 = (0..16_u128, 0..=128_u8).prop_map(|(bits, length)| (IpAddr::V6((bits << 124).into()), length));
        prop_oneof![v4, v6].prop_map(|(address, length)| IpNet::new(address, length).expect("in range"))
    }

    proptest! {
        #[test]
        fn many_networks_trust_an_address_if_one_of_them_contains_it(
            networks in proptest::collection::vec(any_network(), 0..8), address: IpAddr,
        ) {
            let address = address.to_canonical();
            let trusted: TrustedProxies = networks.iter().copied().collect();
            prop_assert_eq!(trusted.contains(address), networks.iter().any(|network| network.contains(&address)));
        }

        #[test]
        fn no_text_is_too_much(text in "[0-9a-f:./, p]{0,24}") {
            let _ = text.parse::<TrustedProxies>();
        }
    }
}
