use proptest::prelude::*;

use super::*;

fn header(length: usize, addresses: Option<(&str, &str)>) -> Result<Option<ProxyHeader>, InvalidProxyHeader> {
    let addresses = addresses.map(|(source, destination)| (source.parse().unwrap(), destination.parse().unwrap()));
    Ok(Some(ProxyHeader { length, addresses }))
}

fn binary(command: u8, kind: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[command, kind], &length, block].concat()
}

const IPV4: &[u8] = &[203, 0, 113, 9, 192, 0, 2, 1, 0x9d, 0x78, 0x01, 0xbb];

fn ipv6() -> Vec<u8> {
    let (source, destination): (Ipv6Addr, Ipv6Addr) = ("2001:db8::9".parse().unwrap(), "2001:db8::1".parse().unwrap());
    [&source.octets()[..], &destination.octets(), &[0x9d, 0x78, 0x01, 0xbb]].concat()
}

#[test]
fn version_1_names_addresses() {
    for (line, addresses) in [
        ("PROXY TCP4 203.0.113.9 192.0.2.1 40312 443\r\n", Some(("203.0.113.9:40312", "192.0.2.1:443"))),
        ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", Some(("0.0.0.0:0", "255.255.255.255:65535"))),
        ("PROXY TCP6 2001:db8::9 2001:db8::1 40312 443\r\n", Some(("[2001:db8::9]:40312", "[2001:db8::1]:443"))),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff:: whatever it is\r\n", None),
    ] {
        assert_eq!(ProxyHeader::parse(line.as_bytes()), header(line.len(), addresses), "{line}");
        let more = format!("{line}PROXY TCP4 6.6.6.6 6.6.6.6 6 6\r\n");
        assert_eq!(ProxyHeader::parse(more.as_bytes()), header(line.len(), addresses), "{more}");
        for end in 0..line.len() {
            assert_eq!(ProxyHeader::parse(&line.as_bytes()[..end]), Ok(None), "{line} {end}");
        }
    }
}

#[test]
fn version_1_that_is_wrong_is_refused() {
    for (line, why) in [
        ("PROXY \r\n", InvalidProxyHeader::Protocol),
        ("PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", InvalidProxyHeader::Protocol),
        ("PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n", InvalidProxyHeader::Protocol),
        ("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", InvalidProxyHeader::Protocol),
        ("PROXY TCP4\r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 1.1.1.01 2.2.2.2 1 2\r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", InvalidProxyHeader::Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n\r\n", InvalidProxyHeader::Addresses),
        ("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", InvalidProxyHeader::Signature),
        ("PROXX", InvalidProxyHeader::Signature),
        ("GET / HTTP/1.1\r\n", InvalidProxyHeader::Signature),
        ("\u{16}\u{3}\u{1}", InvalidProxyHeader::Signature),
    ] {
        assert_eq!(ProxyHeader::parse(line.as_bytes()), Err(why), "{line}");
    }
}

#[test]
fn version_1_is_at_most_107_bytes() {
    let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(ProxyHeader::parse(line.as_bytes()), header(107, None));
    let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(ProxyHeader::parse(line.as_bytes()), Err(InvalidProxyHeader::TooLong { max: 107 }));
    assert_eq!(ProxyHeader::parse(&line.as_bytes()[..107]), Err(InvalidProxyHeader::TooLong { max: 107 }));
    assert_eq!(ProxyHeader::parse(&line.as_bytes()[..106]), Ok(None));
}

#[test]
fn version_2_names_addresses() {
    let unix = [b'/'; 216];
    let v4 = Some(("203.0.113.9:40312", "192.0.2.1:443"));
    let v6 = Some(("[2001:db8::9]:40312", "[2001:db8::1]:443"));
    let tlv = [4, 0, 3, 1, 2, 3];
    for (bytes, addresses) in [
        (binary(0x21, 0x11, IPV4), v4),
        (binary(0x21, 0x12, IPV4), v4),
        (binary(0x21, 0x11, &[IPV4, &tlv].concat()), v4),
        (binary(0x21, 0x11, &[IPV4, &[4, 0xff]].concat()), v4),
        (binary(0x21, 0x21, &ipv6()), v6),
        (binary(0x21, 0x22, &[&ipv6()[..], &tlv].concat()), v6),
        (binary(0x21, 0x31, &unix), None),
        (binary(0x21, 0x00, &[]), None),
        (binary(0x21, 0x00, IPV4), None),
        (binary(0x20, 0x00, &[]), None),
        (binary(0x20, 0x11, IPV4), None),
        (binary(0x20, 0x11, &[1]), None),
        (binary(0x20, 0xff, &tlv), None),
    ] {
        assert_eq!(ProxyHeader::parse(&bytes), header(bytes.len(), addresses), "{bytes:?}");
        let more = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(ProxyHeader::parse(&more), header(bytes.len(), addresses), "{bytes:?}");
        for end in 0..bytes.len() {
            assert_eq!(ProxyHeader::parse(&bytes[..end]), Ok(None), "{bytes:?} {end}");
        }
    }
}

#[test]
fn version_2_that_is_wrong_is_refused() {
    for (bytes, why) in [
        (binary(0x11, 0x11, IPV4), InvalidProxyHeader::Version),
        (binary(0x31, 0x11, IPV4), InvalidProxyHeader::Version),
        (binary(0x22, 0x11, IPV4), InvalidProxyHeader::Command),
        (binary(0x2f, 0x11, IPV4), InvalidProxyHeader::Command),
        (binary(0x21, 0x41, IPV4), InvalidProxyHeader::Protocol),
        (binary(0x21, 0x13, IPV4), InvalidProxyHeader::Protocol),
        (binary(0x21, 0x11, &IPV4[..11]), InvalidProxyHeader::Addresses),
        (binary(0x21, 0x21, &ipv6()[..35]), InvalidProxyHeader::Addresses),
        (binary(0x21, 0x31, &[0; 215]), InvalidProxyHeader::Addresses),
    ] {
        assert_eq!(ProxyHeader::parse(&bytes), Err(why), "{bytes:?}");
        // The error is reported before the header is complete.
        assert_eq!(ProxyHeader::parse(&bytes[..V2_FIXED]), Err(why), "{bytes:?}");
    }
}

#[test]
fn version_2_is_at_most_16_kibibytes() {
    let longest = binary(0x21, 0x11, &[IPV4, &vec![0; ProxyHeader::MAX_LEN - V2_FIXED - IPV4.len()]].concat());
    assert_eq!(longest.len(), ProxyHeader::MAX_LEN);
    assert_eq!(ProxyHeader::parse(&longest), header(longest.len(), Some(("203.0.113.9:40312", "192.0.2.1:443"))));
    let longer = binary(0x20, 0x00, &vec![0; ProxyHeader::MAX_LEN - V2_FIXED + 1]);
    let too_long = Err(InvalidProxyHeader::TooLong { max: ProxyHeader::MAX_LEN });
    assert_eq!(ProxyHeader::parse(&longer[..V2_FIXED]), too_long);
}

const BEGINNINGS: &[&[u8]] =
    &[b"", V1_PREFIX, b"PROXY TCP4 ", V2_SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00", b"\r\n\r\n\0\r\nQUIT\n\x20"];

proptest! {
    #[test]
    fn no_bytes_are_too_much_and_more_of_them_change_no_verdict(
        begin in proptest::sample::select(BEGINNINGS),
        rest in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' ')], 0..300),
    ) {
        let bytes = [begin, &rest].concat();
        let mut before = Ok(None);
        for end in 0..=bytes.len() {
            let now = ProxyHeader::parse(&bytes[..end]);
            if before != Ok(None) {
                prop_assert_eq!(now, before);
            }
            if let Ok(Some(header)) = now {
                prop_assert!(header.length() <= end);
            }
            before = now;
        }
    }

    #[test]
    fn addresses_are_read_back(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16)) {
        let line = format!("PROXY TCP4 {} {} {} {}\r\n", source.0, destination.0, source.1, destination.1);
        let ports = [source.1.to_be_bytes(), destination.1.to_be_bytes()].concat();
        let block = [&source.0.octets()[..], &destination.0.octets(), &ports].concat();
        for bytes in [line.into_bytes(), binary(0x21, 0x11, &block)] {
            let header = ProxyHeader::parse(&bytes).unwrap().unwrap();
            prop_assert_eq!(header.source(), Some(source.into()));
            prop_assert_eq!(header.destination(), Some(destination.into()));
            prop_assert_eq!(header.length(), bytes.len());
        }
    }
}
