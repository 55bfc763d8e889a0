//! Client addresses, and addresses that a client cannot claim.

use std::net::{IpAddr, SocketAddr};

use equipoise_tower::RequestHead;
use http::{HeaderName, HeaderValue, Request};
use proptest::prelude::*;

use super::{ClientAddress, ForwardedHeader, PeerAddr, ProxiedAddr, TrustedProxies};

const CLIENT: &str = "203.0.113.9";

fn behind_proxies(header: ForwardedHeader) -> ClientAddress {
    ClientAddress::behind("10.0.0.0/8, 2001:db8:f::/48".parse().expect("networks")).header(header)
}

fn request(peer: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a name");
        request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    let peer: IpAddr = peer.parse().expect("an address");
    request.extensions_mut().insert(PeerAddr(SocketAddr::new(peer, 40312)));
    request
}

fn address_of(client: &ClientAddress, request: &Request<()>) -> String {
    client.of(RequestHead::of(request)).map_or("none".to_owned(), |address| address.to_string())
}

#[test]
fn x_forwarded_for_is_believed_as_far_as_proxies_are_trusted() {
    let client = behind_proxies(ForwardedHeader::XForwardedFor);
    for (peer, lines, expected) in [
        // Without a proxy, the header is ignored.
        (CLIENT, &[][..], CLIENT),
        (CLIENT, &["6.6.6.6"], CLIENT),
        (CLIENT, &["6.6.6.6, 10.0.0.1"], CLIENT),
        (CLIENT, &["10.0.0.1"], CLIENT),
        // One proxy.
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &[CLIENT], CLIENT),
        ("10.0.0.1", &["6.6.6.6, 203.0.113.9"], CLIENT),
        ("10.0.0.1", &["10.0.0.2, 203.0.113.9"], CLIENT),
        ("10.0.0.1", &["6.6.6.6, 10.0.0.2, 203.0.113.9:1234"], CLIENT),
        ("10.0.0.1", &["6.6.6.6", CLIENT], CLIENT),
        ("10.0.0.1", &["6.6.6.6,", CLIENT], CLIENT),
        ("10.0.0.1", &["\"6.6.6.6", CLIENT], CLIENT),
        ("10.0.0.1", &["garbage, 203.0.113.9"], CLIENT),
        ("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], CLIENT),
        ("2001:db8:f::1", &["6.6.6.6, [2001:db8::9]:80"], "2001:db8::9"),
        // Two and more proxies.
        ("10.0.0.1", &["203.0.113.9, 10.0.0.2"], CLIENT),
        ("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"], CLIENT),
        ("10.0.0.1", &["6.6.6.6", "203.0.113.9 ,10.0.0.2:80"], CLIENT),
        ("10.0.0.1", &["203.0.113.9", "10.0.0.2", "[2001:db8:f::3]:80, 10.0.0.4"], CLIENT),
        ("10.0.0.1", &["6.6.6.6, 203.0.113.9, , 10.0.0.2,"], CLIENT),
        ("10.0.0.1", &["6.6.6.6, 203.0.113.9", "", "10.0.0.2"], CLIENT),
        // The client's own proxy is not trusted, so its address is used as the client's.
        ("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.0.0.2"], CLIENT),
        // All addresses are trusted.
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        // An element is not an address.
        ("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["203.0.113.9, _hidden"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.9", "\u{fc}", "10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["203.0.113.9 10.0.0.2"], "10.0.0.1"),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        assert_eq!(address_of(&client, &request(peer, &headers)), expected, "{peer} {lines:?}");
    }
}

#[test]
fn forwarded_is_believed_as_far_as_proxies_are_trusted() {
    let client = behind_proxies(ForwardedHeader::Forwarded);
    for (peer, lines, expected) in [
        (CLIENT, &["for=6.6.6.6"][..], CLIENT),
        (CLIENT, &["for=6.6.6.6, for=10.0.0.1"], CLIENT),
        ("10.0.0.1", &["for=203.0.113.9"], CLIENT),
        ("10.0.0.1", &["for=6.6.6.6, for=203.0.113.9;proto=https;host=\"a,b\""], CLIENT),
        ("10.0.0.1", &["for=6.6.6.6;host=\"", "for=203.0.113.9"], CLIENT),
        ("10.0.0.1", &["for=\"6.6.6.6, for=203.0.113.9"], CLIENT),
        ("10.0.0.1", &["for=\"\\, for=\"203.0.113.9:80\""], CLIENT),
        ("10.0.0.1", &["for=203.0.113.9;by=\",for=6.6.6.6,\", for=10.0.0.2"], CLIENT),
        ("10.0.0.1", &["for=6.6.6.6, for=203.0.113.9, For=\"10.0.0.2:80\""], CLIENT),
        ("10.0.0.1", &["for=6.6.6.6", "for=\"[2001:db8::9]\"", "for=\"[2001:db8:f::2]:80\""], "2001:db8::9"),
        ("10.0.0.1", &["for=203.0.113.9, for=unknown, for=10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["for=203.0.113.9, for=_hidden"], "10.0.0.1"),
        ("10.0.0.1", &["for=203.0.113.9, by=10.0.0.1"], "10.0.0.1"),
        ("10.0.0.1", &["for=203.0.113.9;for=6.6.6.6"], "10.0.0.1"),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
        assert_eq!(address_of(&client, &request(peer, &headers)), expected, "{peer} {lines:?}");
    }
}

#[test]
fn a_single_address_is_used_only_from_a_trusted_proxy() {
    let client = behind_proxies(ForwardedHeader::Single(HeaderName::from_static("x-real-ip")));
    for (peer, lines, expected) in [
        (CLIENT, &["6.6.6.6"][..], CLIENT),
        ("10.0.0.1", &[CLIENT], CLIENT),
        ("10.0.0.1", &["[2001:db8::9]:80"], "2001:db8::9"),
        ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &[""], "10.0.0.1"),
        ("10.0.0.1", &["6.6.6.6, 203.0.113.9"], "10.0.0.1"),
        ("10.0.0.1", &["6.6.6.6", CLIENT], "10.0.0.1"),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("x-real-ip", *line)).collect();
        assert_eq!(address_of(&client, &request(peer, &headers)), expected, "{peer} {lines:?}");
    }
}

#[test]
fn only_the_header_that_was_named_is_believed() {
    let said = [("x-forwarded-for", "6.6.6.1"), ("forwarded", "for=6.6.6.2"), ("x-real-ip", "6.6.6.3")];
    let request = request("10.0.0.1", &said);
    assert_eq!(address_of(&behind_proxies(ForwardedHeader::XForwardedFor), &request), "6.6.6.1");
    assert_eq!(address_of(&behind_proxies(ForwardedHeader::Forwarded), &request), "6.6.6.2");
    assert_eq!(address_of(&ClientAddress::behind(TrustedProxies::private()), &request), "10.0.0.1");
    assert_eq!(address_of(&ClientAddress::connection().header(ForwardedHeader::XForwardedFor), &request), "10.0.0.1");
}

#[test]
fn the_proxy_protocol_is_believed_if_the_peer_is_trusted() {
    let client = behind_proxies(ForwardedHeader::XForwardedFor);
    for (peer, proxied, said, expected) in [
        ("10.0.0.1", CLIENT, "6.6.6.6", CLIENT),
        ("10.0.0.1", "::ffff:203.0.113.9", "6.6.6.6", CLIENT),
        ("10.0.0.1", "10.0.0.2", "6.6.6.6, 203.0.113.9", CLIENT),
        (CLIENT, "6.6.6.6", "6.6.6.6", CLIENT),
        (CLIENT, "10.0.0.1", "6.6.6.6", CLIENT),
    ] {
        let mut request = request(peer, &[("x-forwarded-for", said)]);
        let proxied: IpAddr = proxied.parse().unwrap();
        request.extensions_mut().insert(ProxiedAddr(SocketAddr::new(proxied, 1)));
        assert_eq!(address_of(&client, &request), expected, "{peer} {proxied} {said}");
    }
}

#[test]
fn without_a_peer_address_no_header_is_used() {
    let mut request = request("10.0.0.1", &[("x-forwarded-for", CLIENT)]);
    request.extensions_mut().remove::<PeerAddr>();
    request.extensions_mut().insert(ProxiedAddr("203.0.113.9:1".parse().unwrap()));
    assert_eq!(address_of(&behind_proxies(ForwardedHeader::XForwardedFor), &request), "none");
}

#[test]
fn the_connections_address_is_where_the_user_says() {
    #[derive(Clone)]
    struct ConnectInfo(SocketAddr);

    let client = behind_proxies(ForwardedHeader::XForwardedFor);
    let client = client.peer(|head| head.extensions.get::<ConnectInfo>().map(|peer| peer.0.ip()));
    let mut request = request("10.0.0.1", &[("x-forwarded-for", "6.6.6.6")]);
    assert_eq!(address_of(&client, &request), "none");
    request.extensions_mut().insert(ConnectInfo("203.0.113.9:1".parse().unwrap()));
    assert_eq!(address_of(&client, &request), CLIENT);
}

#[test]
fn a_panic_where_the_user_looks_for_the_address_is_none() {
    let client = ClientAddress::connection().peer(|_| panic!("on purpose"));
    assert_eq!(address_of(&client, &request(CLIENT, &[])), "none");
}

#[test]
fn so_many_hops_are_looked_at() {
    let client = behind_proxies(ForwardedHeader::XForwardedFor);
    let list = |proxies: usize| [&[CLIENT][..], &vec!["10.0.0.2"; proxies]].concat().join(", ");
    assert_eq!(address_of(&client, &request("10.0.0.1", &[("x-forwarded-for", &list(31))])), CLIENT);
    assert_eq!(address_of(&client, &request("10.0.0.1", &[("x-forwarded-for", &list(32))])), "10.0.0.2");
    assert_eq!(
        address_of(&client.clone().max_hops(33), &request("10.0.0.1", &[("x-forwarded-for", &list(32))])),
        CLIENT
    );
    assert_eq!(
        address_of(&client.clone().max_hops(0), &request("10.0.0.1", &[("x-forwarded-for", CLIENT)])),
        "10.0.0.1"
    );
    let commas = ",".repeat(32);
    assert_eq!(
        address_of(&client, &request("10.0.0.1", &[("x-forwarded-for", &format!("{CLIENT}{commas}"))])),
        "10.0.0.1"
    );
}

#[test]
fn a_list_of_megabytes_is_read_from_the_right() {
    let long = "6.6.6.6,".repeat(1 << 18);
    for (header, name, end) in [
        (ForwardedHeader::XForwardedFor, "x-forwarded-for", "203.0.113.9"),
        (ForwardedHeader::Forwarded, "forwarded", "for=203.0.113.9"),
    ] {
        let request = request("10.0.0.1", &[(name, &format!("{long}{end}"))]);
        assert_eq!(address_of(&behind_proxies(header), &request), CLIENT);
    }
}

proptest! {
    /// The first proxy appends the client's address to what the client wrote, in the same line or in a new line. The second
    /// proxy appends the address of the first. The result is the client's address, with every text of the client.
    #[test]
    fn no_header_that_a_client_sends_changes_its_address(
        forged in proptest::collection::vec(
            prop_oneof![
                "[\t -~\u{80}-\u{ff}]{0,60}",
                "(10\\.0\\.0\\.1|6\\.6\\.6\\.6|for=|\"|\\\\|,|;| |\\[::1\\]){0,12}",
            ],
            0..3,
        ),
        same_line: bool,
        proxies in 1..3_usize,
    ) {
        for (header, name, client, proxy) in [
            (ForwardedHeader::XForwardedFor, "x-forwarded-for", "203.0.113.9", "10.0.0.2"),
            (ForwardedHeader::Forwarded, "forwarded", "for=\"203.0.113.9:80\";host=\"a,b\"", "for=10.0.0.2"),
        ] {
            let mut lines = forged.clone();
            for said in [client, proxy].into_iter().take(proxies) {
                match lines.last_mut() {
                    Some(line) if same_line => *line = format!("{line}, {said}"),
                    _ => lines.push(said.to_owned()),
                }
            }
            let headers: Vec<_> = lines.iter().map(|line| (name, line.as_str())).collect();
            prop_assert_eq!(address_of(&behind_proxies(header.clone()), &request("10.0.0.1", &headers)), CLIENT);
            prop_assert_eq!(address_of(&behind_proxies(header), &request(CLIENT, &headers)), CLIENT);
        }
    }
}
