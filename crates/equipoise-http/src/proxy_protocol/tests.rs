use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::{collection::vec, prelude::*};

use super::{decode::V2_SIGNATURE, *};

type Read = Result<Option<(ProxyHeader, usize)>, InvalidProxyHeader>;

fn addresses(read: Read) -> Option<(Option<(SocketAddr, SocketAddr)>, usize)> {
    let (header, length) = read.expect("valid")?;
    Some((header.source().zip(header.destination()), length))
}

fn expected(text: Option<(&str, &str)>) -> Option<(SocketAddr, SocketAddr)> {
    text.map(|(source, destination)| (source.parse().unwrap(), destination.parse().unwrap()))
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

fn client() -> ProxyHeader {
    ProxyHeader::proxied("203.0.113.9:40312".parse().unwrap(), "192.0.2.1:443".parse().unwrap())
}

#[test]
fn version_1_names_addresses() {
    for (line, named) in [
        ("PROXY TCP4 203.0.113.9 192.0.2.1 40312 443\r\n", Some(("203.0.113.9:40312", "192.0.2.1:443"))),
        ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", Some(("0.0.0.0:0", "255.255.255.255:65535"))),
        ("PROXY TCP6 2001:db8::9 2001:db8::1 40312 443\r\n", Some(("[2001:db8::9]:40312", "[2001:db8::1]:443"))),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff:: whatever it is\r\n", None),
    ] {
        let read = Some((expected(named), line.len()));
        assert_eq!(addresses(ProxyHeader::decode(line.as_bytes())), read, "{line}");
        let more = format!("{line}PROXY TCP4 6.6.6.6 6.6.6.6 6 6\r\n");
        assert_eq!(addresses(ProxyHeader::decode(more.as_bytes())), read, "{more}");
        for end in 0..line.len() {
            assert_eq!(ProxyHeader::decode(&line.as_bytes()[..end]), Ok(None), "{line} {end}");
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
        ("PROXY UNKNOWNX\r\n", InvalidProxyHeader::Protocol),
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
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\r\n", InvalidProxyHeader::Addresses),
        ("PROXYXTCP4 1.1.1.1 2.2.2.2 1 2\r\n", InvalidProxyHeader::Signature),
        ("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", InvalidProxyHeader::Signature),
        ("PROXX", InvalidProxyHeader::Signature),
        ("GET / HTTP/1.1\r\n", InvalidProxyHeader::Signature),
        ("\u{16}\u{3}\u{1}", InvalidProxyHeader::Signature),
    ] {
        assert_eq!(ProxyHeader::decode(line.as_bytes()), Err(why), "{line}");
    }
}

#[test]
fn version_1_is_at_most_107_bytes() {
    let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(ProxyHeader::decode(line.as_bytes()), Ok(Some((ProxyHeader::unknown(), 107))));
    let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(ProxyHeader::decode(line.as_bytes()), Err(InvalidProxyHeader::TooLong { max: 107 }));
    assert_eq!(ProxyHeader::decode(&line.as_bytes()[..107]), Err(InvalidProxyHeader::TooLong { max: 107 }));
    assert_eq!(ProxyHeader::decode(&line.as_bytes()[..106]), Ok(None));
}

#[test]
fn version_2_names_addresses() {
    let v4 = Some(("203.0.113.9:40312", "192.0.2.1:443"));
    let v6 = Some(("[2001:db8::9]:40312", "[2001:db8::1]:443"));
    let tlv = [4, 0, 3, 1, 2, 3];
    for (bytes, named, transport) in [
        (binary(0x21, 0x11, IPV4), v4, Some(Transport::Stream)),
        (binary(0x21, 0x12, IPV4), v4, Some(Transport::Datagram)),
        (binary(0x21, 0x11, &[IPV4, &tlv].concat()), v4, Some(Transport::Stream)),
        (binary(0x21, 0x21, &ipv6()), v6, Some(Transport::Stream)),
        (binary(0x21, 0x22, &[&ipv6()[..], &tlv].concat()), v6, Some(Transport::Datagram)),
        (binary(0x21, 0x31, &[b'/'; 216]), None, Some(Transport::Stream)),
        (binary(0x21, 0x32, &[b'/'; 216]), None, Some(Transport::Datagram)),
        (binary(0x21, 0x00, &[]), None, None),
        (binary(0x21, 0x00, IPV4), None, None),
        (binary(0x20, 0x00, &[]), None, None),
        (binary(0x20, 0x11, IPV4), None, None),
        (binary(0x20, 0x11, &[1]), None, None),
        (binary(0x20, 0xff, &tlv), None, None),
        // Addresses that would be a name, or a malformed checksum, if they were read as extensions.
        (binary(0x20, 0x11, &[2, 0, 9, 1, 192, 0, 2, 1, 0x9d, 0x78, 0x01, 0xbb]), None, None),
        (binary(0x20, 0x11, &[3, 0, 4, 1, 192, 0, 2, 1, 2, 0, 1, 0xbb]), None, None),
        (binary(0x21, 0x00, &[3, 0, 4, 1, 192, 0, 2, 1, 2, 0, 1, 0xbb]), None, None),
    ] {
        let read = Some((expected(named), bytes.len()));
        assert_eq!(addresses(ProxyHeader::decode(&bytes)), read, "{bytes:?}");
        let more = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(addresses(ProxyHeader::decode(&more)), read, "{bytes:?}");
        let (header, _) = ProxyHeader::decode(&bytes).unwrap().unwrap();
        assert_eq!((header.transport(), header.is_local()), (transport, bytes[12] == 0x20), "{bytes:?}");
        for end in 0..bytes.len() {
            assert_eq!(ProxyHeader::decode(&bytes[..end]), Ok(None), "{bytes:?} {end}");
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
        (binary(0x21, 0x10, IPV4), InvalidProxyHeader::Protocol),
        (binary(0x21, 0x01, IPV4), InvalidProxyHeader::Protocol),
        (binary(0x21, 0x13, IPV4), InvalidProxyHeader::Protocol),
        (binary(0x21, 0x11, &IPV4[..11]), InvalidProxyHeader::Addresses),
        (binary(0x21, 0x21, &ipv6()[..35]), InvalidProxyHeader::Addresses),
        (binary(0x21, 0x31, &[0; 215]), InvalidProxyHeader::Addresses),
    ] {
        assert_eq!(ProxyHeader::decode(&bytes), Err(why), "{bytes:?}");
        // The error is reported before the header is complete.
        assert_eq!(ProxyHeader::decode(&bytes[..16]), Err(why), "{bytes:?}");
    }
}

#[test]
fn version_2_is_at_most_4_kibibytes() {
    let padding =
        |length: usize| [&[4][..], &u16::try_from(length - 3).unwrap().to_be_bytes(), &vec![0; length - 3]].concat();
    let longest = binary(0x21, 0x11, &[IPV4, &padding(ProxyHeader::MAX_LEN - 16 - IPV4.len())].concat());
    assert_eq!(longest.len(), ProxyHeader::MAX_LEN);
    assert!(ProxyHeader::decode(&longest).unwrap().is_some());
    let longer = binary(0x20, 0x00, &padding(ProxyHeader::MAX_LEN - 16 + 1));
    let too_long = Err(InvalidProxyHeader::TooLong { max: ProxyHeader::MAX_LEN });
    assert_eq!(ProxyHeader::decode(&longer[..16]), too_long);
}

#[test]
fn extensions_that_are_malformed_are_refused() {
    let ssl = [0x20, 0, 9, 1, 0, 0, 0, 0, 0x21, 0, 2, b'x'];
    for (tlvs, why) in [
        (&[4, 0xff][..], InvalidProxyHeader::Tlvs),
        (&[4, 0, 2, 1], InvalidProxyHeader::Tlvs),
        (&[3, 0, 3, 1, 2, 3], InvalidProxyHeader::Tlv { kind: 3 }),
        (&[3, 0, 4, 1, 2, 3, 4], InvalidProxyHeader::Checksum),
        (&[&[5, 0, 129][..], &[b'x'; 129]].concat(), InvalidProxyHeader::Tlv { kind: 5 }),
        (&[0x20, 0, 4, 1, 0, 0, 0], InvalidProxyHeader::Tlv { kind: 0x20 }),
        (&ssl, InvalidProxyHeader::Tlv { kind: 0x20 }),
    ] {
        let bytes = binary(0x21, 0x11, &[IPV4, tlvs].concat());
        assert_eq!(ProxyHeader::decode(&bytes), Err(why), "{tlvs:?}");
    }
}

#[test]
fn extensions_are_kept_in_order() {
    let ssl = Ssl::new().client_certificate(true);
    let ssl = ssl.tlv(kind::SSL_VERSION, b"TLSv1.3").and_then(|ssl| ssl.tlv(kind::SSL_CN, "Zoë".as_bytes())).unwrap();
    let header = client().tlv(kind::ALPN, b"h2").unwrap().tlv(0xEA, &[1, 2]).unwrap().ssl_tlv(&ssl).unwrap();
    let header = header.tlv(kind::UNIQUE_ID, &[b'x'; 128]).unwrap().tlv(0xEA, &[3]).unwrap().checksum().unwrap();
    let sent = header.encode(Version::V2);
    let (read, length) = ProxyHeader::decode(&sent).unwrap().unwrap();
    assert_eq!((length, read.source(), read.alpn()), (sent.len(), client().source(), Some(&b"h2"[..])));
    let kinds: Vec<_> = read.tlvs().map(|tlv| tlv.kind).collect();
    assert_eq!(kinds, [kind::ALPN, 0xEA, kind::SSL, kind::UNIQUE_ID, 0xEA, kind::CRC32C]);
    assert_eq!((read.value(0xEA), read.netns(), read.authority()), (Some(&[1, 2][..]), None, None));
    assert_eq!(read.ssl(), Some(ssl));
    assert_eq!(read.ssl().unwrap().common_name(), Some("Zoë"));
    // The checksum is of all bytes. It cannot protect its own type and length.
    for at in (16..sent.len()).filter(|at| !(sent.len() - 7..sent.len() - 4).contains(at)) {
        let mut changed = sent.to_vec();
        changed[at] ^= 1;
        assert!(ProxyHeader::decode(&changed).is_err(), "{at}");
    }
}

#[test]
fn the_checksum_is_that_of_other_implementations() {
    // From the tests of the crate `proxy-header`.
    let local = b"\r\n\r\n\0\r\nQUIT\n \0\0\x0f\x03\0\x04\x88\x9d\xa1\xdf \0\x05\0\0\0\0\0";
    let (header, length) = ProxyHeader::decode(local).unwrap().unwrap();
    assert!(header.is_local() && length == local.len() && header.tlvs().count() == 2);
    assert_eq!(header.encode(Version::V2), &local[..]);
}

#[test]
fn extensions_after_ignored_addresses_are_read() {
    let bytes = binary(0x20, 0x11, &[IPV4, &[2, 0, 1, b'a']].concat());
    let (header, _) = ProxyHeader::decode(&bytes).unwrap().unwrap();
    assert!(header.is_local() && header.authority() == Some("a"));
    // Without their size, it is not known where the extensions begin.
    let bytes = binary(0x20, 0xff, &[2, 0, 1, b'a']);
    assert_eq!(ProxyHeader::decode(&bytes), Ok(Some((ProxyHeader::local(), bytes.len()))));
    let (header, _) =
        ProxyHeader::decode(&binary(0x20, 0x11, &[2, 0, 9, 1, 192, 0, 2, 1, 0x9d, 0x78, 0x01, 0xbb])).unwrap().unwrap();
    assert_eq!(header, ProxyHeader::local());
}

#[test]
fn the_rest_of_an_unknown_line_is_ignored() {
    let line = b"PROXY UNKNOWN \xff\xfe \0\r\n";
    assert_eq!(ProxyHeader::decode(line), Ok(Some((ProxyHeader::unknown(), line.len()))));
    assert_eq!(ProxyHeader::decode(b"PROXY TCP4 \xff\r\n"), Err(InvalidProxyHeader::Addresses));
}

#[test]
fn extensions_that_do_not_fit_are_refused_and_leave_the_header_as_it_is() {
    let mut header = client();
    header.append(kind::AUTHORITY, b"a.example").unwrap();
    let before = header.clone();
    let max = ProxyHeader::MAX_LEN - 16 - 12 - (3 + 9) - 3;
    let error = header.append(0xE0, &vec![0; max + 1]).unwrap_err();
    assert_eq!((error.kind, error.length, error.max), (0xE0, max + 1, max));
    assert_eq!(header.append(kind::UNIQUE_ID, &[0; 129]).unwrap_err().max, 128);
    assert!(header.append(0xE0, &vec![0; 70_000]).is_err() && header == before);
    header.append(0xE0, &vec![0; max]).unwrap();
    assert_eq!(header.encode(Version::V2).len(), ProxyHeader::MAX_LEN);
    assert_eq!(header.append(0xE0, &[]).unwrap_err().max, 0);
}

#[test]
fn version_1_says_unknown_for_all_but_tcp() {
    let of = |header: &ProxyHeader| String::from_utf8(header.encode(Version::V1).to_vec()).unwrap();
    let (v4, v6): (SocketAddr, SocketAddr) = ("192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap());
    assert_eq!(of(&client().tlv(kind::ALPN, b"h2").unwrap()), "PROXY TCP4 203.0.113.9 192.0.2.1 40312 443\r\n");
    assert_eq!(of(&ProxyHeader::proxied(v6, v4)), "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 2 1\r\n");
    for header in [ProxyHeader::local(), ProxyHeader::unknown(), ProxyHeader::datagram(v4, v4)] {
        assert_eq!(of(&header), "PROXY UNKNOWN\r\n");
    }
    let longest = SocketAddr::new(IpAddr::from([0xff; 16]), u16::MAX);
    assert_eq!(of(&ProxyHeader::proxied(longest, longest)).len(), 104);
}

#[test]
fn paths_of_unix_sockets_are_read_and_written() {
    let mut block = [0; 216];
    block[..9].copy_from_slice(b"\0abstract");
    block[108..121].copy_from_slice(b"/run/app.sock");
    let bytes = binary(0x21, 0x31, &block);
    let (header, _) = ProxyHeader::decode(&bytes).unwrap().unwrap();
    assert_eq!(header.unix_paths(), Some((&b"\0abstract"[..], &b"/run/app.sock"[..])));
    assert_eq!(header.encode(Version::V2), bytes);
    assert_eq!(client().unix_paths(), None);
}

const BEGINNINGS: &[&[u8]] =
    &[b"", b"PROXY ", b"PROXY TCP4 ", V2_SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00", b"\r\n\r\n\0\r\nQUIT\n\x20"];

fn any_header() -> impl Strategy<Value = ProxyHeader> {
    let ips = prop_oneof![
        any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        any::<(Ipv6Addr, Ipv4Addr)>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
    ];
    let addresses = (ips, any::<(u16, u16, bool)>()).prop_map(|((from, to), (source, destination, is_stream))| {
        let (source, destination) = (SocketAddr::new(from, source), SocketAddr::new(to, destination));
        let of = if is_stream { ProxyHeader::proxied } else { ProxyHeader::datagram };
        of(source, destination)
    });
    let header = prop_oneof![addresses, Just(ProxyHeader::local()), Just(ProxyHeader::unknown())];
    // All types whose values have no form of their own.
    let kinds = prop_oneof![Just(kind::ALPN), Just(kind::NOOP), 0x30_u8..];
    (header, vec((kinds, vec(any::<u8>(), 0..40)), 0..5)).prop_map(|(mut header, tlvs)| {
        for (kind, value) in tlvs {
            header.append(kind, &value).expect("short enough");
        }
        header
    })
}

proptest! {
    #[test]
    fn no_bytes_are_too_much_and_more_of_them_change_no_verdict(
        begin in proptest::sample::select(BEGINNINGS),
        rest in vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' ')], 0..300),
    ) {
        let bytes = [begin, &rest].concat();
        let mut before = Ok(None);
        for end in 0..=bytes.len() {
            let now = ProxyHeader::decode(&bytes[..end]);
            if before != Ok(None) {
                prop_assert_eq!(&now, &before);
            }
            if let Ok(Some((_, length))) = now {
                prop_assert!(length <= end);
            }
            before = now;
        }
    }

    #[test]
    fn headers_are_read_back(header in any_header()) {
        let sent = header.encode(Version::V2);
        prop_assert_eq!(ProxyHeader::decode(&sent), Ok(Some((header.clone(), sent.len()))));
        let sent = header.encode(Version::V1);
        let (read, length) = ProxyHeader::decode(&sent).unwrap().unwrap();
        prop_assert_eq!(length, sent.len());
        if header.transport() == Some(Transport::Stream) {
            prop_assert_eq!((read.source(), read.destination()), (header.source(), header.destination()));
        } else {
            prop_assert_eq!(read, ProxyHeader::unknown());
        }
    }

    #[test]
    fn another_implementation_reads_the_same(header in any_header()) {
        for version in [Version::V1, Version::V2] {
            let sent = header.encode(version);
            let (ours, length) = ProxyHeader::decode(&sent).unwrap().unwrap();
            let (theirs, their_length) = proxy_header::ProxyHeader::parse(&sent, Default::default()).unwrap();
            prop_assert_eq!(length, their_length);
            let their_addresses = theirs.proxied_address().map(|addresses| {
                let is_stream = addresses.protocol == proxy_header::Protocol::Stream;
                let transport = if is_stream { Transport::Stream } else { Transport::Datagram };
                (addresses.source, addresses.destination, transport)
            });
            let our_addresses = ours.source().zip(ours.destination()).zip(ours.transport());
            prop_assert_eq!(our_addresses.map(|((from, to), transport)| (from, to, transport)), their_addresses);
            prop_assert_eq!(ours.alpn(), theirs.alpn());
            // It reads some types as text, and fails if they are none.
            let kinds = theirs.tlvs().map_while(|tlv| Some(tlv.ok()?.kind()));
            prop_assert!(kinds.zip(ours.tlvs()).all(|(theirs, ours)| theirs == ours.kind));
        }
    }
}
