use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Parses the address in an element of `X-Forwarded-For`, or in the `for` of `Forwarded`. Returns `None` if the text is
/// not an address, such as `unknown` and `_hidden`.
///
/// Ports and zones are removed. An IPv6 address with a port must be in brackets. IPv4-mapped IPv6 addresses become IPv4
/// addresses.
pub(super) fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']')?;
        let port = after.strip_prefix(':');
        return (after.is_empty() || port.is_some_and(is_port)).then(|| v6(address)).flatten();
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(address.into());
    }
    match text.split_once(':') {
        Some((address, port)) if address.contains('.') => {
            is_port(port).then(|| address.parse::<Ipv4Addr>().ok()).flatten().map(IpAddr::from)
        }
        _ => v6(text),
    }
}

fn v6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        Some((address, zone)) if is_zone(zone) => address,
        Some(_) => return None,
        None => text,
    };
    address.parse::<Ipv6Addr>().ok().map(|address| IpAddr::from(address).to_canonical())
}

/// Whether this is the zone of an IPv6 address. Zones follow `%25` as in RFC 6874, or `%`, which is common.
fn is_zone(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-%".contains(&byte))
}

/// Whether this is a port, or an obfuscated port (RFC 7239, section 6.3).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_parsed_in_all_notations() {
        for (text, address) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:0", "192.0.2.7"),
            ("192.0.2.7:65535", "192.0.2.7"),
            ("192.0.2.7:_port", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]:_x.y-z", "2001:db8::1"),
            ("::", "::"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:c000:207", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:80", "192.0.2.7"),
            ("fe80::1%eth0", "fe80::1"),
            ("fe80::1%25eth0", "fe80::1"),
            ("[fe80::1%eth0.1]:80", "fe80::1"),
        ] {
            assert_eq!(parse(text.as_bytes()), address.parse().ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            "-",
            "unknown",
            "_hidden",
            "localhost",
            "example.com:80",
            "1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "256.1.1.1",
            "1.2.3.4:",
            "1.2.3.4:x",
            "1.2.3.4:+1",
            "1.2.3.4:65536",
            "1.2.3.4:1:2",
            "1.2.3.4 ",
            " 1.2.3.4",
            "1.2.3.4%eth0",
            "1.2.3.4/8",
            "[1.2.3.4]",
            "[1.2.3.4]:80",
            "[::1",
            "::1]",
            "[]",
            "[]:80",
            "[::1]80",
            "[::1]:",
            "[::1]:_",
            "[[::1]]",
            "::1%",
            "::1% ",
            "fe80::1%eth0:80%",
            ":80",
            ":",
            ":::",
            "::1::",
            "12345::",
            "\"::1\"",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"\xff\xfe"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&text);
        }

        #[test]
        fn every_address_is_read_back(address: IpAddr, port: u16) {
            let canonical = Some(address.to_canonical());
            prop_assert_eq!(parse(address.to_string().as_bytes()), canonical);
            prop_assert_eq!(parse(std::net::SocketAddr::new(address, port).to_string().as_bytes()), canonical);
        }
    }
}
