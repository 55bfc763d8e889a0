use std::net::SocketAddr;

use http::{HeaderValue, Request, Uri};
use proptest::prelude::*;

use super::*;
use crate::source::PeerAddr;

fn get(uri: &str, headers: &[(&'static str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = uri.parse().expect("a URI");
    for &(name, value) in headers {
        request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    request
}

fn extracted(key: &SessionKey, request: &Request<()>) -> String {
    match key.of(RequestHead::of(request)) {
        Extracted::Found(key) => String::from_utf8_lossy(&key).into_owned(),
        Extracted::Absent => "(absent)".to_owned(),
        Extracted::Oversized => "(oversized)".to_owned(),
    }
}

#[test]
fn headers_are_keys() {
    let key = SessionKey::header("X-User").unwrap();
    for (lines, expected) in [
        (&[][..], "(absent)"),
        (&["ada"], "ada"),
        (&["Ada, Bob"], "Ada, Bob"),
        (&[" ada\t"], "ada"),
        (&[""], "(absent)"),
        (&["  "], "(absent)"),
        (&["ada", "bob"], "bob"),
        (&["%61da=\u{e4}"], "%61da=\u{e4}"),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("x-user", *line)).collect();
        assert_eq!(extracted(&key, &get("/", &headers)), expected, "{lines:?}");
    }
}

#[test]
fn query_parameters_are_keys() {
    let key = SessionKey::query_parameter("sid").unwrap();
    for (uri, expected) in [
        ("/", "(absent)"),
        ("/?", "(absent)"),
        ("/?sid=3f", "3f"),
        ("/?a=b&sid=3f&c", "3f"),
        ("/?sid=1&sid=2", "1"),
        ("/?sid=&sid=2", "2"),
        ("/?sid&sid=2", "2"),
        ("/?sid", "(absent)"),
        ("/?SID=3f", "(absent)"),
        ("/?sids=3f&xsid=3f", "(absent)"),
        ("/?sid=a=b", "a=b"),
        ("/?sid=%33f+a;b", "%33f+a;b"),
        ("/?%73id=3f", "(absent)"),
        ("/sid=3f", "(absent)"),
        ("https://a.example/?sid=3f#sid=4", "3f"),
    ] {
        assert_eq!(extracted(&key, &get(uri, &[])), expected, "{uri}");
    }
}

#[test]
fn path_parameters_are_keys() {
    let key = SessionKey::path_parameter("jsessionid").unwrap();
    for (uri, expected) in [
        ("/", "(absent)"),
        ("/cart;jsessionid=3f", "3f"),
        ("/cart;jsessionid=3f.node1?jsessionid=x", "3f.node1"),
        ("/shop;v=1;jsessionid=3f;w/cart;jsessionid=4", "3f"),
        ("/cart;jsessionid=", "(absent)"),
        ("/cart;jsessionid", "(absent)"),
        ("/jsessionid=3f", "(absent)"),
        ("/cart?;jsessionid=3f", "(absent)"),
        ("/;jsessionid=3f", "3f"),
    ] {
        assert_eq!(extracted(&key, &get(uri, &[])), expected, "{uri}");
    }
}

#[test]
fn paths_and_their_segments_are_keys() {
    let segment = SessionKey::path_segment;
    let prefix = |segments| SessionKey::path_prefix(segments).unwrap();
    for (key, uri, expected) in [
        (SessionKey::path(), "/", "/"),
        (SessionKey::path(), "/a/B%20/?q", "/a/B%20/"),
        (SessionKey::path(), "*", "*"),
        (SessionKey::path(), "https://a.example/b", "/b"),
        (SessionKey::path(), "a.example:443", "(absent)"),
        (segment(0), "/", "(absent)"),
        (segment(0), "/t/acme", "t"),
        (segment(1), "/t/acme", "acme"),
        (segment(1), "/t/acme/?q", "acme"),
        (segment(2), "/t/acme/", "(absent)"),
        (segment(2), "/t/acme", "(absent)"),
        (segment(1), "/t//acme", "(absent)"),
        (segment(0), "*", "(absent)"),
        (segment(usize::MAX), "/t/acme", "(absent)"),
        (prefix(1), "/", "(absent)"),
        (prefix(1), "/t", "/t"),
        (prefix(1), "/t/acme", "/t"),
        (prefix(2), "/t/acme", "/t/acme"),
        (prefix(2), "/t/acme/", "/t/acme"),
        (prefix(2), "/t/acme/users?q", "/t/acme"),
        (prefix(2), "/t", "/t"),
        (prefix(2), "/t/", "/t"),
        (prefix(1), "//t", "(absent)"),
        (prefix(usize::MAX), "/t/acme", "/t/acme"),
    ] {
        assert_eq!(extracted(&key, &get(uri, &[])), expected, "{key:?} {uri}");
    }
}

#[test]
fn cookies_are_keys() {
    let key = SessionKey::cookie("SID").unwrap();
    for (lines, expected) in [
        (&[][..], "(absent)"),
        (&["SID=3f"], "3f"),
        (&["a=b; SID=3f; c=d"], "3f"),
        (&["a=b;SID=3f;c"], "3f"),
        (&["a=b", "SID=3f"], "3f"),
        (&["SID=1; SID=2"], "1"),
        (&["SID=; SID=2"], "2"),
        (&["SID"], "(absent)"),
        (&["sid=3f"], "(absent)"),
        (&["XSID=3f; SIDX=3f"], "(absent)"),
        (&["SID=\"3f\""], "3f"),
        (&["SID=a=b "], "a=b"),
        (&["a=SID=3f"], "(absent)"),
        (&[";;=;SID=3f"], "3f"),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
        assert_eq!(extracted(&key, &get("/", &headers)), expected, "{lines:?}");
    }
}

#[test]
fn hosts_are_keys() {
    for (uri, header, expected) in [
        ("/", None, "(absent)"),
        ("/", Some(""), "(absent)"),
        ("/", Some(":80"), "(absent)"),
        ("/", Some("a.example"), "a.example"),
        ("/", Some("A.Example:8080"), "a.example"),
        ("/", Some("a.example."), "a.example"),
        ("/", Some("a.example.:80"), "a.example"),
        ("/", Some("[2001:DB8::1]:80"), "[2001:db8::1]"),
        ("/", Some("[2001:db8::1]"), "[2001:db8::1]"),
        ("https://B.example:443/", Some("a.example"), "b.example"),
        ("https://ada@b.example/", None, "b.example"),
        ("https://[::1]:80/", None, "[::1]"),
    ] {
        let headers: Vec<_> = header.map(|value| ("host", value)).into_iter().collect();
        assert_eq!(extracted(&SessionKey::host(), &get(uri, &headers)), expected, "{uri} {header:?}");
    }
}

#[test]
fn sources_are_keys_by_their_networks() {
    let key = SessionKey::source(ClientAddress::connection(), SourcePrefix::new(24, 64).unwrap());
    let mut request = get("/", &[]);
    assert_eq!(key.of(RequestHead::of(&request)), Extracted::Absent);
    for (peer, expected) in [
        ("192.0.2.7:1", &[0, 192, 0, 2, 0][..]),
        ("[::ffff:192.0.2.7]:1", &[0, 192, 0, 2, 0]),
        ("[2001:db8::7]:1", &[0, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        request.extensions_mut().insert(PeerAddr(peer.parse::<SocketAddr>().unwrap()));
        assert_eq!(key.of(RequestHead::of(&request)), Extracted::Found(expected.into()), "{peer}");
    }
}

#[test]
fn a_header_cannot_be_taken_for_a_source() {
    let key = SessionKey::header("x-user").unwrap();
    let key = key.or(SessionKey::source(ClientAddress::connection(), SourcePrefix::default()));
    let mut request = get("/", &[]);
    request.extensions_mut().insert(PeerAddr("65.66.67.68:1".parse().unwrap()));
    assert_eq!(extracted(&key, &request), "\0ABCD");
    assert_eq!(extracted(&key, &get("/", &[("x-user", "ABCD")])), "ABCD");
    assert!(HeaderValue::from_bytes(b"\0ABCD").is_err() && HeaderValue::from_bytes(b"\x01").is_err());
    assert!("/\0".parse::<Uri>().is_err() && "/\u{1}".parse::<Uri>().is_err());
}

#[test]
fn the_first_that_is_there_is_the_key() {
    let key = SessionKey::cookie("s").unwrap().or(SessionKey::query_parameter("s").unwrap()).or(SessionKey::path());
    assert_eq!(extracted(&key, &get("/p?s=q", &[("cookie", "s=c")])), "c");
    assert_eq!(extracted(&key, &get("/p?s=q", &[("cookie", "s=")])), "q");
    assert_eq!(extracted(&key, &get("/p?s=", &[])), "/p");
}

#[test]
fn several_parts_are_one_key_that_can_be_read_in_one_way_only() {
    let header = |name| SessionKey::header(name).unwrap();
    let key = header("a").and(header("b"));
    assert_eq!(extracted(&key, &get("/", &[("a", "ab"), ("b", "c")])), "\u{1}\0\u{2}ab\0\u{1}c");
    assert_eq!(extracted(&key, &get("/", &[("a", "a"), ("b", "bc")])), "\u{1}\0\u{1}a\0\u{2}bc");
    assert_eq!(extracted(&key, &get("/", &[("a", "a")])), "(absent)");
    assert_eq!(extracted(&key, &get("/", &[("b", "b")])), "(absent)");
    let key = key.and(header("c")).or(header("d"));
    assert_eq!(extracted(&key, &get("/", &[("a", "a"), ("b", "b"), ("d", "d")])), "d");
    assert_eq!(extracted(&key, &get("/", &[("a", "a"), ("b", "b"), ("c", "c")])), "\u{1}\0\u{1}a\0\u{1}b\0\u{1}c");
}

#[test]
fn keys_over_the_limit_are_distinguished_from_absent_keys() {
    let header = |name| SessionKey::header(name).unwrap();
    let long = |bytes| "x".repeat(bytes);
    assert_eq!(extracted(&header("a"), &get("/", &[("a", &long(4096))])), long(4096));
    assert_eq!(extracted(&header("a"), &get("/", &[("a", &long(4097))])), "(oversized)");

    let either = header("a").or(header("b")).max_len(8).unwrap();
    assert_eq!(extracted(&either, &get("/", &[("a", &long(9)), ("b", "b")])), "b");
    assert_eq!(extracted(&either, &get("/", &[("a", &long(9))])), "(oversized)");
    assert_eq!(extracted(&either, &get("/", &[("b", &long(9))])), "(oversized)");

    let both = header("a").and(header("b")).max_len(8).unwrap();
    assert_eq!(extracted(&both, &get("/", &[("a", "a"), ("b", "bb")])), "\u{1}\0\u{1}a\0\u{2}bb");
    assert_eq!(extracted(&both, &get("/", &[("a", "aa"), ("b", "bb")])), "(oversized)");
    assert_eq!(extracted(&both, &get("/", &[("a", &long(9)), ("b", "b")])), "(oversized)");

    let larger = header("a").max_len(5000).unwrap().or(header("b"));
    assert_eq!(extracted(&larger, &get("/", &[("b", &long(5000))])), long(5000));
}

#[test]
fn a_closure_that_panics_or_finds_nothing_is_absent() {
    assert_eq!(extracted(&SessionKey::by(|_| panic!("on purpose")), &get("/", &[])), "(absent)");
    assert_eq!(extracted(&SessionKey::by(|_| None), &get("/", &[])), "(absent)");
    assert_eq!(extracted(&SessionKey::by(|_| Some(Cow::Borrowed(b""))), &get("/", &[])), "(absent)");
    assert_eq!(extracted(&SessionKey::by(|head| Some(head.method.as_str().as_bytes().into())), &get("/", &[])), "GET");
}

#[test]
fn what_can_never_be_found_is_refused() {
    for name in ["", " ", "a b", "a:", "\u{e4}"] {
        assert_eq!(SessionKey::header(name).unwrap_err(), InvalidSessionKey::Header { name: name.to_owned() });
        assert_eq!(SessionKey::cookie(name).unwrap_err(), InvalidSessionKey::Cookie { name: name.to_owned() });
    }
    for name in ["", "a=", "a&b", "a#", "a b"] {
        let refused = InvalidSessionKey::Parameter { name: name.to_owned() };
        assert_eq!(SessionKey::query_parameter(name).unwrap_err(), refused);
    }
    for name in ["", "a=", "a;b", "a/b", "a?", "a\n"] {
        let refused = InvalidSessionKey::Parameter { name: name.to_owned() };
        assert_eq!(SessionKey::path_parameter(name).unwrap_err(), refused);
    }
    assert_eq!(SessionKey::path_prefix(0).unwrap_err(), InvalidSessionKey::NoSegments);
    for bytes in [0, 65_536, usize::MAX] {
        let refused = InvalidSessionKey::MaxLen { bytes, max: 65_535 };
        assert_eq!(SessionKey::path().max_len(bytes).unwrap_err(), refused);
    }
    assert!(SessionKey::path().max_len(65_535).is_ok());
}

fn every_rule() -> Vec<SessionKey> {
    let cookie = SessionKey::cookie("s").unwrap();
    vec![
        SessionKey::header("host").unwrap(),
        SessionKey::query_parameter("s").unwrap(),
        SessionKey::path_parameter("s").unwrap(),
        SessionKey::path(),
        SessionKey::path_segment(1),
        SessionKey::path_prefix(2).unwrap(),
        SessionKey::host(),
        cookie.clone().and(SessionKey::host()).or(SessionKey::path_segment(0)),
        cookie,
    ]
}

proptest! {
    #[test]
    fn no_request_is_too_much(
        uri in "(/|;|s=|s|&|\\?|[a-zA-Z0-9%.:@*\\[\\]-]){1,24}",
        cookie in proptest::collection::vec(any::<u8>(), 0..40),
        host in "([a-zA-Z.:]|\\[|\\]|\u{e4}){0,12}",
        max_len in 1..20_usize,
    ) {
        let mut request = Request::new(());
        if let Ok(uri) = uri.parse() {
            *request.uri_mut() = uri;
        }
        for (name, value) in [(http::header::COOKIE, &cookie[..]), (http::header::HOST, host.as_bytes())] {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request.headers_mut().append(name, value);
            }
        }
        for key in every_rule() {
            if let Some(key) = key.max_len(max_len).unwrap().of(RequestHead::of(&request)).found() {
                prop_assert!(!key.is_empty() && key.len() <= max_len);
            }
        }
    }

    #[test]
    fn pairs_are_one_key_if_and_only_if_they_are_the_same(one in ("[ab]{1,3}", "[ab]{1,3}"), other in ("[ab]{1,3}", "[ab]{1,3}")) {
        let key = SessionKey::header("a").unwrap().and(SessionKey::header("b").unwrap());
        let of = |pair: &(String, String)| extracted(&key, &get("/", &[("a", &pair.0), ("b", &pair.1)]));
        prop_assert_eq!(of(&one) == of(&other), one == other);
    }
}
