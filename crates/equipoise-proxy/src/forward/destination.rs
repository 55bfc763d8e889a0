use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use crate::check::host_and_port;

/// The maximum length of a name, and of each of its labels (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The host that a client asks for: an IP address, or a name of the DNS.
///
/// There is one parser for all hosts, so that no text is an address for one part of the proxy and a name for another:
///
/// - An IPv4 address has four decimal numbers without leading zeros. An IPv6 address is in brackets, and has no zone.
/// - A name consists of labels of 1 to 63 letters, digits, `-` and `_`, with at most 253 bytes in total. It is compared in
///   lower case and without the dot that may end it. Names in other scripts have the form `xn--…` (RFC 3490).
/// - If the last label of a text is a number, also a hexadecimal one, the text must be an IPv4 address. So `127.1`,
///   `0177.0.0.1`, `2130706433`, `0x7f.0.0.1` and `0x7f000001` are no hosts, although `getaddrinfo` takes them for
///   addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower case and without a dot at its end.
    Name(Arc<str>),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// Parses a host without a port. Returns `None` if it is neither an address nor a name.
    ///
    /// ```
    /// use equipoise_proxy::forward::Host;
    ///
    /// assert_eq!(Host::parse("WWW.App.Test."), Host::parse("www.app.test"));
    /// assert_eq!(Host::parse("[::1]"), Some(Host::Address([0, 0, 0, 0, 0, 0, 0, 1].into())));
    /// for text in ["127.1", "0x7f000001", "[fe80::1%eth0]", "a..b", ""] {
    ///     assert_eq!(Host::parse(text), None);
    /// }
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        // The port belongs to the destination.
        let parsed = host_and_port(text.as_bytes()).filter(|parsed| parsed.host.len() == text.len())?;
        if let Some(address) = parsed.host.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return address.parse::<Ipv6Addr>().ok().map(|address| Self::Address(address.into()));
        }
        if let Ok(address) = parsed.host.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let name = parsed.host.strip_suffix('.').unwrap_or(parsed.host);
        let is_name = name.len() <= MAX_NAME
            && name.split('.').all(|label| (1..=MAX_LABEL).contains(&label.len()))
            && name.rsplit('.').next().is_some_and(|label| !is_number(label));
        is_name.then(|| Self::Name(name.to_ascii_lowercase().into()))
    }
}

/// Returns whether `inet_aton` could read the label as a number.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Where a client wants to connect to: a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Destination {
    /// Parses `host:port`, or `host` if there is a default port. Returns `None` if the [host](Host) is invalid, the port
    /// is missing, or it is 0.
    ///
    /// ```
    /// use equipoise_proxy::forward::Destination;
    ///
    /// let destination = Destination::parse("App.Test:8443", None).unwrap();
    /// assert_eq!(destination.to_string(), "app.test:8443");
    /// assert_eq!(Destination::parse("app.test", Some(80)).unwrap().port(), 80);
    /// assert_eq!(Destination::parse("app.test", None), None);
    /// ```
    pub fn parse(text: &str, default_port: Option<u16>) -> Option<Self> {
        let parsed = host_and_port(text.as_bytes())?;
        let port = parsed.port.or(default_port).filter(|port| *port != 0)?;
        Some(Self { host: Host::parse(parsed.host)?, port })
    }

    /// Returns the host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the port, which is not 0.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_some_parser_takes_for_an_address_is_no_name() {
        for text in [
            "127.1",
            "0177.0.0.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0x7f.0.0.1",
            "0X7F000001",
            "0x",
            "a.0x1",
            "127.0.0.0x1",
            "127.0.0.1.",
            "0x7f000001.",
            "127.0.0.01",
            "::1",
            "[::1%lo]",
            "[::1%25lo]",
            "[::ffff:127.1]",
            "127.0.0.1:80",
            "%31%32%37.0.0.1",
            "\u{ff11}27.0.0.1",
            "127\u{3002}0.0.1",
            "u@a",
            "a b",
            ".",
            ".a",
            "a..b",
            "a:",
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
        let label = "a".repeat(63);
        assert!(Host::parse(&format!("{label}.test")).is_some());
        assert_eq!(Host::parse(&format!("{label}a.test")), None);
        assert_eq!(Host::parse(&format!("{label}.{label}.{label}.{label}")), None);
    }

    #[test]
    fn names_have_one_form() {
        for text in ["app.test", "APP.TEST", "App.Test."] {
            assert_eq!(Host::parse(text).map(|host| host.to_string()).as_deref(), Some("app.test"));
        }
        for text in ["xn--bcher-kva.test", "0x7g", "a1", "1.a", "_x.test"] {
            assert!(matches!(Host::parse(text), Some(Host::Name(_))), "{text}");
        }
    }

    #[test]
    fn destinations_have_a_port() {
        assert_eq!(Destination::parse("a:", Some(80)).map(|destination| destination.port), Some(80));
        for text in ["a", "a:0", "a:65536", "a:+1", ":1", "a:1:2", "[::1]"] {
            assert_eq!(Destination::parse(text, None), None, "{text}");
        }
        assert_eq!(
            Destination::parse("[::1]:1", None).map(|destination| destination.to_string()),
            Some("[::1]:1".into())
        );
    }

    proptest! {
        #[test]
        fn a_host_is_written_as_it_is_read(text in "[a-zA-Z0-9.:%\\[\\]xX_-]{0,24}") {
            if let Some(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Some(host));
            }
        }

        /// `getaddrinfo` reads what `inet_aton` does as an address.
        #[test]
        fn no_name_is_an_address_for_the_system(text in "((0x|0X|0)?[0-9a-fA-F]{0,4}\\.){0,3}(0x|0X|0)?[0-9a-fA-F]{0,9}\\.?") {
            match Host::parse(&text) {
                Some(Host::Name(_)) => prop_assert!(!is_address_for_inet_aton(&text)),
                Some(Host::Address(address)) => prop_assert_eq!(address.to_string(), text),
                None => {}
            }
        }
    }

    /// One to four numbers in decimal, octal or hexadecimal.
    fn is_address_for_inet_aton(text: &str) -> bool {
        let is_number = |part: &str| {
            let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
                Some(digits) => (digits, 16),
                None if part.len() > 1 && part.starts_with('0') => (part, 8),
                None => (part, 10),
            };
            u32::from_str_radix(digits, radix).is_ok()
        };
        let parts: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
        parts.len() <= 4 && parts.into_iter().all(is_number)
    }
}
