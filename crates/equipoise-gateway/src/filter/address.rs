use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A set of IP addresses, for rules that allow or deny clients by their address.
///
/// The text form has one or more elements in each line, separated by commas or white space: networks (`10.0.0.0/8`),
/// addresses, ranges of addresses (`192.0.2.10-192.0.2.20`, without spaces), and the words `loopback`, `link-local` and
/// `private` of [`TrustedProxies`](equipoise_affinity::source::TrustedProxies). What follows a `#` in a line is a
/// comment.
///
/// IPv4-mapped IPv6 addresses (`::ffff:192.0.2.7`) are IPv4 addresses, in the text and in lookups. `::/0` contains all
/// IPv6 addresses and no IPv4 address.
///
/// Overlapping and adjacent ranges are merged. A lookup takes O(log n) time for n ranges, and does not
/// allocate. Clones share the ranges.
///
/// ```
/// use equipoise_gateway::filter::AddressRanges;
///
/// let office: AddressRanges = "192.0.2.0/24, 2001:db8::/32 # the office\n203.0.113.7".parse()?;
/// assert!(office.contains("192.0.2.9".parse()?) && office.contains("::ffff:192.0.2.9".parse()?));
/// assert!(!office.contains("203.0.113.8".parse()?));
///
/// let error = "10.0.0.0/8\n10.1.2.3/16".parse::<AddressRanges>().unwrap_err();
/// assert_eq!(error.to_string(), "line 2: \"10.1.2.3/16\": bits after the prefix are set; write 10.1.0.0/16");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRanges {
    /// First and last addresses. Sorted, and neither overlapping nor adjacent.
    v4: Arc<[(u32, u32)]>,
    v6: Arc<[(u128, u128)]>,
}

/// Why a text is not a set of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {element:?}: {valid}")]
#[non_exhaustive]
pub struct InvalidRange {
    /// The number of the line. The first line has number 1.
    pub line: usize,
    /// The element that was refused.
    pub element: String,
    /// What would be valid.
    pub valid: String,
}

impl AddressRanges {
    /// Creates the empty set.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns whether the set contains an address. An IPv4-mapped IPv6 address is treated as an IPv4 address.
    /// O(log n) for n ranges.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_in(&self.v4, address.into()),
            IpAddr::V6(address) => is_in(&self.v6, address.into()),
        }
    }

    /// Returns whether the set contains no address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Returns the number of ranges after overlapping and adjacent ones were merged.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

/// Returns whether one of the sorted ranges contains an address.
fn is_in<A: Copy + Ord>(ranges: &[(A, A)], address: A) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    ranges.get(..after).and_then(<[_]>::last).is_some_and(|(_, last)| address <= *last)
}

/// Sorts ranges and merges those that overlap or are adjacent. `next` returns the address after another one.
fn merged<A: Copy + Ord>(mut ranges: Vec<(A, A)>, next: impl Fn(A) -> Option<A>) -> Arc<[(A, A)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(A, A)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

/// Collects ranges of both families.
#[derive(Default)]
struct Collected {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// The addresses `::ffff:0:0/96`.
const MAPPED: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);

impl Collected {
    fn add_v6(&mut self, first: u128, last: u128) {
        // A range that lies in the IPv4-mapped addresses is a range of IPv4 addresses. A larger one, such as ::/0, is
        // not.
        match (u32::try_from(first.wrapping_sub(MAPPED.0)), u32::try_from(last.wrapping_sub(MAPPED.0))) {
            (Ok(first), Ok(last)) => self.v4.push((first, last)),
            _ => self.v6.push((first, last)),
        }
    }

    fn add_net(&mut self, network: IpNet) {
        match network {
            IpNet::V4(network) => self.v4.push((network.network().into(), network.broadcast().into())),
            IpNet::V6(network) => self.add_v6(network.network().into(), network.broadcast().into()),
        }
    }

    /// Adds an element of the text. The error says what would be valid.
    fn add(&mut self, element: &str) -> Result<(), String> {
        const VALID: &str = "write a network such as 10.0.0.0/8 or 2001:db8::/32, an address, a range such as \
                             192.0.2.1-192.0.2.9, or private, loopback or link-local";
        match element {
            "loopback" => self.add_words(&[v4([127, 0, 0, 0], 8)], &[v6([0, 0, 0, 0, 0, 0, 0, 1], 128)]),
            "link-local" => self.add_words(&[v4([169, 254, 0, 0], 16)], &[v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10)]),
            "private" => self.add_words(
                &[v4([10, 0, 0, 0], 8), v4([172, 16, 0, 0], 12), v4([192, 168, 0, 0], 16)],
                &[v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7)],
            ),
            _ => {
                if let Ok(address) = element.parse::<IpAddr>() {
                    self.add_net(address.into());
                } else if let Ok(network) = element.parse::<IpNet>() {
                    if network.trunc() != network {
                        return Err(format!("bits after the prefix are set; write {}", network.trunc()));
                    }
                    self.add_net(network);
                } else if let Some((first, last)) = element.split_once('-') {
                    match (first.parse(), last.parse()) {
                        (Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last))) if first <= last => {
                            self.v4.push((first.into(), last.into()));
                        }
                        (Ok(IpAddr::V6(first)), Ok(IpAddr::V6(last))) if first <= last => {
                            self.add_v6(first.into(), last.into());
                        }
                        (Ok(_), Ok(_)) => {
                            return Err("the first address of a range is not above the last one, and both have the \
                                        same family"
                                .to_owned());
                        }
                        _ => return Err(VALID.to_owned()),
                    }
                } else {
                    return Err(VALID.to_owned());
                }
            }
        }
        Ok(())
    }

    fn add_words(&mut self, v4: &[Option<Ipv4Net>], v6: &[Option<Ipv6Net>]) {
        for network in v4.iter().flatten() {
            self.add_net(IpNet::V4(*network));
        }
        for network in v6.iter().flatten() {
            self.add_net(IpNet::V6(*network));
        }
    }

    fn finish(self) -> AddressRanges {
        AddressRanges {
            v4: merged(self.v4, |address| address.checked_add(1)),
            v6: merged(self.v6, |address| address.checked_add(1)),
        }
    }
}

fn v4(address: [u8; 4], length: u8) -> Option<Ipv4Net> {
    Ipv4Net::new(Ipv4Addr::from(address), length).ok()
}

fn v6(address: [u16; 8], length: u8) -> Option<Ipv6Net> {
    Ipv6Net::new(Ipv6Addr::from(address), length).ok()
}

impl FromIterator<IpNet> for AddressRanges {
    /// Creates a set of networks. Bits of an address after the prefix length are ignored.
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mut collected = Collected::default();
        for network in networks {
            collected.add_net(network);
        }
        collected.finish()
    }
}

impl FromStr for AddressRanges {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let mut collected = Collected::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            for element in line.split(|c: char| c == ',' || c.is_whitespace()).filter(|element| !element.is_empty()) {
                collected.add(element).map_err(|valid| InvalidRange {
                    line: at + 1,
                    element: element.to_owned(),
                    valid,
                })?;
            }
        }
        Ok(collected.finish())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(ranges: &str, address: &str) -> bool {
        ranges.parse::<AddressRanges>().expect("ranges").contains(address.parse().expect("an address"))
    }

    #[test]
    fn an_address_is_found_in_every_form() {
        for (ranges, address, found) in [
            ("", "127.0.0.1", false),
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.0.0.1", true),
            ("::ffff:10.0.0.1-::ffff:10.0.0.3", "10.0.0.2", true),
            ("::/0", "10.0.0.1", false),
            ("::/0", "::ffff:10.0.0.1", false),
            ("0.0.0.0/0", "::1", false),
            ("192.0.2.5-192.0.2.9", "192.0.2.9", true),
            ("192.0.2.5-192.0.2.9", "192.0.2.10", false),
            ("private # and no other\nloopback", "::1", true),
            ("private", "172.32.0.0", false),
            ("255.255.255.255,0.0.0.0", "255.255.255.255", true),
        ] {
            assert_eq!(contains(ranges, address), found, "{address} of {ranges}");
        }
    }

    #[test]
    fn adjacent_ranges_are_merged() {
        let ranges: AddressRanges =
            "10.0.0.0/9 10.128.0.0/9 10.1.0.0/16 0.0.0.0/0 255.255.255.255".parse().expect("ranges");
        assert_eq!(ranges.len(), 1);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line) in
            [("10.0.0.0/33", 1), ("\n\n10.0.0.9-10.0.0.1", 3), ("::1\n10.0.0.1-::2", 2), ("a-b", 1), ("*", 1)]
        {
            assert_eq!(text.parse::<AddressRanges>().expect_err(text).line, line, "{text}");
        }
    }

    #[test]
    fn ten_thousand_networks_are_one_sorted_list() {
        let text: String = (0..10_000_u32).map(|n| format!("{}/32\n", Ipv4Addr::from(n * 8))).collect();
        let ranges: AddressRanges = text.parse().expect("ranges");
        assert_eq!(ranges.len(), 10_000);
        assert!(ranges.contains(Ipv4Addr::from(9_999 * 8).into()));
        assert!(!ranges.contains(Ipv4Addr::from(9_999 * 8 + 1).into()));
    }

    proptest! {
        #[test]
        fn a_set_contains_what_its_networks_contain(
            nets in proptest::collection::vec((0..16_u32, 0..=32_u8), 0..8), address: u32,
        ) {
            let nets: Vec<IpNet> = nets
                .into_iter()
                .filter_map(|(bits, length)| Ipv4Net::new((bits << 28).into(), length).ok())
                .map(IpNet::from)
                .collect();
            let ranges: AddressRanges = nets.iter().copied().collect();
            let address = IpAddr::V4(address.into());
            prop_assert_eq!(ranges.contains(address), nets.iter().any(|net| net.contains(&address)));
        }

        #[test]
        fn no_text_is_too_much(text in "[0-9a-f:./,# \n-]{0,24}") {
            let _ = text.parse::<AddressRanges>();
        }
    }
}
