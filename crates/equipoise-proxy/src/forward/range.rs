use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(address: [u16; 8], length: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = address;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length))
}

/// The ranges that are closed unless a rule opens them: all that are not for hosts of the internet (IANA's registries of
/// special-purpose addresses, RFC 6890), and the addresses at which clouds tell a machine its secrets.
static CLOSED: [IpNet; 52] = [
    // "This network".
    v4(0, 0, 0, 0, 8),
    // Private (RFC 1918), and shared behind carrier-grade NAT (RFC 6598).
    v4(10, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
    v4(100, 64, 0, 0, 10),
    // Loopback and link-local.
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    // Protocol assignments, 6to4 relays, documentation, benchmarks.
    v4(192, 0, 0, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(198, 18, 0, 0, 15),
    // Multicast, reserved, and broadcast.
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    v4(255, 255, 255, 255, 32),
    // Metadata of AWS and most others, of containers in AWS, of Tencent, Alibaba, Oracle and Azure.
    v4(169, 254, 169, 254, 32),
    v4(169, 254, 170, 2, 32),
    v4(169, 254, 170, 23, 32),
    v4(169, 254, 0, 23, 32),
    v4(100, 100, 100, 200, 32),
    v4(192, 0, 0, 192, 32),
    v4(168, 63, 129, 16, 32),
    // All but the global unicast addresses 2000::/3. The ranges below are more specific.
    v6([0, 0, 0, 0, 0, 0, 0, 0], 3),
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2),
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1),
    // Unspecified and loopback.
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
    // IPv4 in IPv6: compatible, mapped, translated (RFC 2765), NAT64 (RFC 6052 and 8215), Teredo and 6to4.
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    // Discarded, protocol assignments, benchmarks, ORCHID, documentation, segment routing.
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),
    // Unique local, link-local, site-local, multicast.
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    // Metadata of AWS, Google and Scaleway.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
];

/// Returns whether an address is one of the public internet, or `opened` opens it.
///
/// A network opens a closed range if it lies in this range. So `10.0.0.0/8` opens private addresses, and neither
/// `0.0.0.0/0` nor `8.0.0.0/5` does. If ranges lie in each other, the narrowest one must be opened: `169.254.0.0/16` does
/// not open `169.254.169.254`. An IPv6 address that contains an IPv4 address leads to both, so both must be open.
pub(super) fn is_open(address: IpAddr, opened: &[IpNet]) -> bool {
    let is_open = |address: IpAddr| match narrowest(address) {
        Some(range) => opened.iter().any(|network| range.contains(network) && network.contains(&address)),
        None => true,
    };
    is_open(address) && embedded(address).is_none_or(is_open)
}

/// Returns whether a network contains an address, or the IPv4 address in it.
pub(super) fn leads_into(address: IpAddr, networks: &[IpNet]) -> bool {
    let is_in = |address: IpAddr| networks.iter().any(|network| network.contains(&address));
    is_in(address) || embedded(address).is_some_and(is_in)
}

fn narrowest(address: IpAddr) -> Option<&'static IpNet> {
    CLOSED.iter().filter(|range| range.contains(&address)).max_by_key(|range| range.prefix_len())
}

/// Returns the IPv4 address to which an IPv6 address leads.
fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let [.., y, z] = address.segments();
    let at = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)).into());
    match address.segments() {
        [0, 0, 0, 0, 0, 0, _, _]
        | [0, 0, 0, 0, 0, 0xffff, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, 0, 0, 0, 0, _, _]
        | [0x64, 0xff9b, 1, ..] => at(y, z),
        // Teredo inverts the bits.
        [0x2001, 0, ..] => at(!y, !z),
        [0x2002, high, low, ..] => at(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().expect("a network")).collect()
    }

    fn open(address: &str, opened: &[&str]) -> bool {
        is_open(address.parse().expect("an address"), &networks(opened))
    }

    #[test]
    fn public_addresses_are_open() {
        for address in ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "2001:4860::8888"]
        {
            assert!(open(address, &[]), "{address}");
        }
    }

    #[test]
    fn all_other_addresses_are_closed() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "8000::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!open(address, &[]), "{address}");
            assert!(!open(address, &["0.0.0.0/0", "::/0"]), "{address}");
        }
    }

    #[test]
    fn a_network_opens_what_it_contains_of_a_range_in_which_it_lies() {
        assert!(open("10.1.2.3", &["10.0.0.0/8"]) && open("10.1.2.3", &["10.1.2.3/32"]));
        assert!(!open("10.1.2.3", &["10.2.0.0/16"]) && !open("10.1.2.3", &["8.0.0.0/5"]));
        assert!(open("169.254.1.1", &["169.254.0.0/16"]) && !open("169.254.169.254", &["169.254.0.0/16"]));
        assert!(open("169.254.169.254", &["169.254.169.254/32"]));
        assert!(open("fd12::1", &["fd00::/8"]) && !open("fd00:ec2::254", &["fd00::/8"]));
        assert!(open("::1", &["::/0", "::1/128", "0.0.0.1/32"]) && !open("::1", &["::/96", "0.0.0.1/32"]));
    }

    #[test]
    fn an_ipv4_address_in_an_ipv6_address_must_be_open_too() {
        assert!(open("64:ff9b::8.8.8.8", &["64:ff9b::/96"]));
        assert!(!open("64:ff9b::10.0.0.1", &["64:ff9b::/96"]));
        assert!(open("64:ff9b::10.0.0.1", &["64:ff9b::/96", "10.0.0.0/8"]));
        assert!(!open("::ffff:127.0.0.1", &["127.0.0.0/8"]));
        assert!(!open("2002:7f00:1::", &["2002::/16"]) && open("2002:808:808::", &["2002::/16"]));
        // The client 127.0.0.1, inverted.
        assert!(!open("2001::80ff:fffe", &["2001::/32"]));
    }

    #[test]
    fn a_network_of_ipv4_addresses_matches_them_in_every_form() {
        let denied = networks(&["10.0.0.0/8"]);
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::1"] {
            assert!(leads_into(address.parse().expect("an address"), &denied), "{address}");
        }
        assert!(!leads_into("::ffff:11.1.2.3".parse().expect("an address"), &denied));
    }
}
