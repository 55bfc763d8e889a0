use std::net::{Ipv4Addr, Ipv6Addr};

/// The parts of the text in a `Host` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostAndPort<'a> {
    /// The host, as it was sent. An IPv6 address is in brackets.
    pub(crate) host: &'a str,
    /// The port. `None` if the text has no port, or an empty one.
    pub(crate) port: Option<u16>,
}

impl HostAndPort<'_> {
    /// Returns whether both name the same host and port. `default_port` is the port of a text without one.
    pub(crate) fn is_same(&self, other: &Self, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// Parses `host` or `host:port`. Returns `None` if the text is empty, has user information, a port that is not a number
/// below 65 536, or a host that is neither an address nor a name.
///
/// A name consists of labels of letters, digits, `-` and `_` between dots, with at most 255 bytes. RFC 3986 allows more
/// characters, such as `!` and `%41`. They occur in no name of the DNS, and servers disagree about them. A dot at the
/// end is allowed.
pub(crate) fn host_and_port(text: &[u8]) -> Option<HostAndPort<'_>> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        let port = match after.strip_prefix(':') {
            Some(port) => self::port(port)?,
            None if after.is_empty() => None,
            None => return None,
        };
        return Some(HostAndPort { host: text.get(..address.len() + 2)?, port });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, self::port(port)?),
        None => (text, None),
    };
    is_host(host).then_some(HostAndPort { host, port })
}

/// Reads the name of the server that a client has asked for: in lower case, and without a dot at its end. `Some(None)` for
/// an IP address, which is no name (RFC 6066, section 3). `None` if it is not a host.
#[cfg(any(feature = "proxy-protocol", feature = "sni"))]
pub(crate) fn server_name(text: &[u8]) -> Option<Option<Box<str>>> {
    let text = std::str::from_utf8(text).ok()?;
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Some(None);
    }
    is_host(text).then(|| Some(text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase().into()))
}

/// Parses a port. An empty port is allowed by RFC 3986 and means the default.
fn port(text: &str) -> Option<Option<u16>> {
    if text.is_empty() {
        return Some(None);
    }
    // `parse` alone would accept a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten().map(Some)
}

fn is_host(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() || name.len() > 255 {
        return false;
    }
    // Of the label that was read last.
    let (mut length, mut numeric) = (0, true);
    for byte in name.bytes() {
        match byte {
            b'.' if length > 0 => (length, numeric) = (0, true),
            b'0'..=b'9' => length += 1,
            b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' => (length, numeric) = (length + 1, false),
            _ => return false,
        }
    }
    if length == 0 {
        return false;
    }
    // A name whose last label is a number is an address to some parsers (`127.1`), and a name to others.
    !numeric || host.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_an_optional_port() {
        for (text, host, port) in [
            ("app.test", "app.test", None),
            ("APP.Test:8080", "APP.Test", Some(8080)),
            ("app.test.", "app.test.", None),
            ("app.test:", "app.test", None),
            ("a_b-c.test", "a_b-c.test", None),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:65535", "[2001:db8::1]", Some(65535)),
            ("localhost", "localhost", None),
            ("1password.com", "1password.com", None),
        ] {
            assert_eq!(host_and_port(text.as_bytes()), Some(HostAndPort { host, port }), "{text}");
        }
    }

    #[cfg(any(feature = "proxy-protocol", feature = "sni"))]
    #[test]
    fn a_server_name_has_one_form() {
        let name = |text: &str| server_name(text.as_bytes()).map(|name| name.map(String::from));
        assert_eq!(name("Shop.Example."), Some(Some("shop.example".to_owned())));
        assert_eq!(name("a_b.test"), Some(Some("a_b.test".to_owned())));
        for address in ["192.0.2.1", "::1", "2001:db8::1"] {
            assert_eq!(name(address), Some(None), "{address}");
        }
        for text in ["", ".", "..", ".a", "a..b", "*.a", "a/b", "a:1", "u@a", "a b", "a\n", "[::1]", "127.1", "é"] {
            assert_eq!(name(text), None, "{text}");
        }
        assert_eq!(server_name(b"\xff"), None);
    }

    #[test]
    fn what_parsers_disagree_about_is_no_host() {
        for text in [
            "",
            " ",
            "a b",
            "u@app.test",
            "app.test:abc",
            "app.test:65536",
            "app.test:+1",
            "app.test:1:2",
            ":80",
            "[::1",
            "::1",
            "[::1]x",
            "[app.test]",
            "[::1%eth0]",
            "..",
            ".",
            "a..b",
            ".a",
            "app.test/",
            "app.test?x",
            "a#b",
            "a,b",
            "127.1",
            "1",
            "0x7f.1",
            "256.1.1.1",
            "127.0.0.1.",
            "a%41",
            "\u{e4}.test",
            "a\\b",
        ] {
            assert_eq!(host_and_port(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(host_and_port(b"a\xff"), None);
        assert_eq!(host_and_port("a".repeat(256).as_bytes()), None);
    }

    #[test]
    fn the_default_port_is_the_port_of_a_text_without_one() {
        let parsed = |text: &'static str| host_and_port(text.as_bytes()).expect("a host");
        assert!(parsed("a:80").is_same(&parsed("A"), 80));
        assert!(!parsed("a:80").is_same(&parsed("a"), 443));
        assert!(!parsed("a").is_same(&parsed("b"), 80));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = host_and_port(&text);
        }
    }
}
