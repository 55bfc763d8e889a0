use std::{
    num::NonZeroUsize,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use equipoise_tower::RequestHead;
use http::{HeaderMap, HeaderValue, Request, Uri};
use proptest::prelude::*;

use super::*;

fn now() -> SystemTime {
    // 2023-11-14 22:13:20
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn tomcat() -> Learn {
    Learn::new().cookie("JSESSIONID").unwrap().path_parameter("jsessionid").unwrap()
}

fn headers(name: &'static str, lines: &[&[u8]]) -> HeaderMap {
    let value = |line: &&[u8]| HeaderValue::from_bytes(line).unwrap();
    let mut headers = HeaderMap::new();
    lines.iter().map(value).for_each(|line| _ = headers.append(name, line));
    headers
}

fn request(uri: &str, headers: HeaderMap) -> Request<()> {
    let mut request = Request::get(uri).body(()).unwrap();
    *request.headers_mut() = headers;
    request
}

fn key(learn: &Learn, uri: &str, cookies: &[&[u8]]) -> Option<String> {
    let request = request(uri, headers("cookie", cookies));
    let key = learn.request_key(RequestHead::of(&request)).unwrap();
    key.map(|key| String::from_utf8_lossy(key).into_owned())
}

fn learned(lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
    match tomcat().response(&headers("set-cookie", &lines), now()).unwrap() {
        Learned::Key(key) => String::from_utf8_lossy(key).into_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_request_brings_its_key_in_the_cookie() {
    for (cookies, expected) in [
        (&[b"JSESSIONID=abc".as_slice()][..], Some("abc")),
        (&[b"a=1; JSESSIONID=abc; b=2"], Some("abc")),
        (&[b"a=1;JSESSIONID=abc;b=2"], Some("abc")),
        (&[b" JSESSIONID = abc \t; b=2"], Some("abc")),
        (&[b"JSESSIONID=\"abc\""], Some("abc")),
        (&[b"JSESSIONID=a=b=="], Some("a=b==")),
        (&[b"a=1", b"JSESSIONID=abc"], Some("abc")),
        (&[b"JSESSIONID=; JSESSIONID=abc; JSESSIONID=def"], Some("abc")),
        (&[b"\xff\xfe=\x80; JSESSIONID=abc"], Some("abc")),
        (&[b"JSESSIONID=\"abc"], Some("\"abc")),
        (&[b"JSESSIONID=\""], Some("\"")),
        (&[b"JSESSIONID=\"\""], None),
        (&[b"JSESSIONID"], None),
        (&[b"XJSESSIONID=abc; JSESSIONIDX=abc; jsessionid=abc"], None),
        (&[b"a=JSESSIONID=abc"], None),
        (&[b""], None),
        (&[], None),
    ] {
        assert_eq!(key(&tomcat(), "/", cookies).as_deref(), expected, "{cookies:?}");
    }
}

#[test]
fn a_key_need_not_be_text() {
    let request = request("/", headers("cookie", &[b"JSESSIONID=\xff\x80"]));
    assert_eq!(tomcat().request_key(RequestHead::of(&request)), Ok(Some(b"\xff\x80".as_slice())));
}

#[test]
fn a_request_brings_its_key_in_a_path_parameter() {
    for (uri, expected) in [
        ("/cart;jsessionid=abc", Some("abc")),
        ("/cart;jsessionid=abc.node1;v=1?x=1", Some("abc.node1")),
        ("/cart;v=1;jsessionid=abc/items", Some("abc")),
        ("/;jsessionid=abc", Some("abc")),
        ("http://host/cart;jsessionid=abc?jsessionid=no", Some("abc")),
        ("/cart;jsessionid=;jsessionid=abc", Some("abc")),
        ("/cart;jsessionid=a%2Fb", Some("a%2Fb")),
        ("/jsessionid=abc", None),
        ("/cart;JSESSIONID=abc", None),
        ("/cart;jsessionid", None),
        ("/cart?;jsessionid=abc", None),
        ("*", None),
    ] {
        assert_eq!(key(&tomcat(), uri, &[]).as_deref(), expected, "{uri}");
    }
}

#[test]
fn a_request_brings_its_key_in_the_query() {
    let php = Learn::new().query_parameter("sid").unwrap();
    for (uri, expected) in [
        ("/?sid=abc", Some("abc")),
        ("/?a=1&sid=abc&sid=def", Some("abc")),
        ("/?sid=&sid=abc%20", Some("abc%20")),
        ("/?xsid=abc&sid", None),
        ("/;sid=abc", None),
    ] {
        assert_eq!(key(&php, uri, &[]).as_deref(), expected, "{uri}");
    }
}

#[test]
fn places_are_tried_in_their_order() {
    let cookies: &[&[u8]] = &[b"JSESSIONID=cookie"];
    let apache = Learn::new().path_parameter("jsessionid").unwrap().cookie("JSESSIONID").unwrap();
    let uri = "/;jsessionid=path";
    assert_eq!(key(&apache, uri, cookies).as_deref(), Some("path"));
    assert_eq!(key(&tomcat(), uri, cookies).as_deref(), Some("cookie"));
    assert_eq!(key(&tomcat(), uri, &[b"JSESSIONID="]).as_deref(), Some("path"));
    assert_eq!(key(&Learn::default(), uri, cookies), None);
}

#[test]
fn headers_are_read_both_ways() {
    let learn = Learn::new().header("X-Session").unwrap();
    let lines = headers("x-session", &[b"one", b" two ", b""]);
    assert_eq!(learn.response(&lines, now()), Ok(Learned::Key(b"two")));
    let request = request("/", lines);
    assert_eq!(learn.request_key(RequestHead::of(&request)), Ok(Some(b"two".as_slice())));
    assert_eq!(learn.response(&headers("x-session", &[b""]), now()), Ok(Learned::Nothing));
}

#[test]
fn a_response_sets_the_key() {
    for (lines, expected) in [
        (&["JSESSIONID=abc"][..], "abc"),
        (&["JSESSIONID=abc.node1; Path=/; Secure; HttpOnly; SameSite=Lax"], "abc.node1"),
        (&["JSESSIONID=\"abc\";Version=1"], "abc"),
        (&["  JSESSIONID = abc ; Path=/"], "abc"),
        (&["a=1", "JSESSIONID=abc; Max-Age=3600", "b=2; Max-Age=0"], "abc"),
        (&["JSESSIONID=abc", "JSESSIONID=def"], "def"),
        (&["JSESSIONID=abc; Expires=Wed, 15 Nov 2023 00:00:00 GMT"], "abc"),
        (&["JSESSIONID=abc; Expires=0"], "abc"),
        (&["JSESSIONID=abc; Max-Age=soon; Max-Age="], "abc"),
        (&["JSESSIONID=abc; Max-Age=99999999999999999999999999"], "abc"),
        (&["JSESSIONID=abc; X-Max-Age=0"], "abc"),
        (&["JSESSIONID=Max-Age=0"], "Max-Age=0"),
        (&["XJSESSIONID=abc", "jsessionid=abc", "a=1; JSESSIONID=abc", "JSESSIONID", ""], "Nothing"),
        (&[], "Nothing"),
    ] {
        assert_eq!(learned(lines), expected, "{lines:?}");
    }
}

#[test]
fn a_cookie_taken_back_ends_the_session() {
    for lines in [
        &["JSESSIONID="][..],
        &["JSESSIONID=\"\"; Path=/"],
        &["JSESSIONID=abc; Max-Age=0"],
        &["JSESSIONID=abc; max-age = -1"],
        &["JSESSIONID=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/"],
        &["JSESSIONID=abc; Expires=Tue, 14 Nov 2023 22:13:20 GMT"],
        &["JSESSIONID=abc; Max-Age=10; Max-Age=0"],
        &["JSESSIONID=abc; Max-Age=0; Expires=Fri, 31 Dec 9999 23:59:59 GMT"],
        &["JSESSIONID=abc; Path=/", "JSESSIONID=; Path=/; Max-Age=0"],
        &["JSESSIONID=abc; Domain=.Example.org", "JSESSIONID=; Domain=example.org"],
    ] {
        assert_eq!(learned(lines), "Ended", "{lines:?}");
    }
}

#[test]
fn max_age_counts_before_expires() {
    assert_eq!(learned(&["JSESSIONID=abc; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]), "abc");
}

#[test]
fn a_cookie_taken_back_and_set_anew_is_set() {
    assert_eq!(learned(&["JSESSIONID=; Max-Age=0", "JSESSIONID=abc"]), "abc");
}

#[test]
fn a_cookie_taken_back_elsewhere_is_another() {
    assert_eq!(learned(&["JSESSIONID=abc; Path=/app", "JSESSIONID=; Path=/; Max-Age=0"]), "abc");
    assert_eq!(learned(&["JSESSIONID=abc", "JSESSIONID=; Domain=example.org; Max-Age=0"]), "abc");
}

#[test]
fn a_key_of_another_place_outweighs_an_end() {
    let learn = tomcat().header("x-session").unwrap();
    let mut both = headers("set-cookie", &[b"JSESSIONID=; Max-Age=0"]);
    assert_eq!(learn.response(&both, now()), Ok(Learned::Ended));
    both.insert("x-session", HeaderValue::from_static("abc"));
    assert_eq!(learn.response(&both, now()), Ok(Learned::Key(b"abc")));
}

#[test]
fn a_clock_before_1970_ends_nothing_that_lives() {
    let lines = headers("set-cookie", &[b"JSESSIONID=abc; Expires=Thu, 01 Jan 1970 00:00:01 GMT"]);
    let early = UNIX_EPOCH - Duration::from_secs(100);
    assert_eq!(tomcat().response(&lines, early), Ok(Learned::Key(b"abc")));
}

#[test]
fn a_key_above_the_limit_is_none() {
    let learn = tomcat().max_key_len(NonZeroUsize::new(4).unwrap());
    let too_long = KeyTooLong { len: 5, limit: 4 };
    let request = |uri| request(uri, HeaderMap::new());
    let (fits, exceeds) = (request("/;jsessionid=1234"), request("/;jsessionid=12345"));
    assert_eq!(learn.request_key(RequestHead::of(&fits)), Ok(Some(b"1234".as_slice())));
    assert_eq!(learn.request_key(RequestHead::of(&exceeds)), Err(too_long));
    assert_eq!(learn.response(&headers("set-cookie", &[b"JSESSIONID=12345"]), now()), Err(too_long));
    assert_eq!(learn.response(&headers("set-cookie", &[b"JSESSIONID=12345; Max-Age=0"]), now()), Ok(Learned::Ended));

    let long = [b"JSESSIONID=".as_slice(), &[b'a'; 4097]].concat();
    assert_eq!(tomcat().response(&headers("set-cookie", &[&long]), now()), Err(KeyTooLong { len: 4097, limit: 4096 }));
}

#[test]
fn names_are_checked() {
    for name in ["", "a b", "a=b", "a;b", "ä", "a\n", "a,b", "\"a\""] {
        assert_eq!(Learn::new().cookie(name).unwrap_err(), InvalidName::Cookie { name: name.into() });
        assert_eq!(Learn::new().header(name).unwrap_err(), InvalidName::Header { name: name.into() });
    }
    for name in ["", "a b", "a=b", "a;b", "a/b", "a?", "a#", "a&b", "ä"] {
        assert_eq!(Learn::new().path_parameter(name).unwrap_err(), InvalidName::Parameter { name: name.into() });
        assert_eq!(Learn::new().query_parameter(name).unwrap_err(), InvalidName::Parameter { name: name.into() });
    }
    assert!(Learn::new().cookie("__Host-sid").is_ok());
    assert!(Learn::new().query_parameter("session[id]").is_ok());
}

#[test]
fn a_key_names_its_route() {
    for (route, key, expected) in [
        (Route::default(), b"abc.node1".as_slice(), Some("node1")),
        (Route::default(), b"abc.10.0.0.1:80", Some("10.0.0.1:80")),
        (Route::AfterLast(b'.'), b"a.b.c.node1", Some("node1")),
        (Route::Whole, b"abc.node1", Some("abc.node1")),
        (Route::default(), b"abc.", None),
        (Route::default(), b"abc", None),
        (Route::default(), b"abc.\xff", None),
        (Route::default(), b"\xff.node1", Some("node1")),
        (Route::AfterLast(b'.'), b"", None),
        (Route::Whole, b"", None),
    ] {
        assert_eq!(route.of(key), expected, "{route:?} {key:?}");
    }
}

/// Bytes that headers can have, many of them delimiters.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(b';'),
        Just(b'='),
        Just(b'"'),
        Just(b' '),
        Just(b'\t'),
        Just(b'.'),
        0x20..=0x7e_u8,
        0x80..=0xff_u8,
    ];
    let part = prop_oneof![
        prop::collection::vec(byte, 0..12),
        Just(b"JSESSIONID".to_vec()),
        Just(b"Max-Age=".to_vec()),
        Just(b"Expires=".to_vec()),
        Just(b";".to_vec()),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_head_is_read_without_a_panic(
        lines in prop::collection::vec(line(), 0..4), path in "/[;=/a-z.]{0,30}(;jsessionid=[a-z.;/]{0,8})?",
    ) {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let request = request(&path, headers("cookie", &lines));
        let key = tomcat().request_key(RequestHead::of(&request)).unwrap();
        prop_assert!(key.is_none_or(|key| !key.is_empty() && !key.contains(&b';')));
        let headers = headers("set-cookie", &lines);
        if let Learned::Key(key) = tomcat().response(&headers, now()).unwrap() {
            prop_assert!(!key.is_empty() && !key.contains(&b';'));
        }
    }

    #[test]
    fn any_uri_is_read_without_a_panic(text in "\\PC{0,60}") {
        if let Ok(uri) = text.parse::<Uri>() {
            let request = request(&uri.to_string(), HeaderMap::new());
            let learn = tomcat().query_parameter("sid").unwrap();
            prop_assert!(learn.request_key(RequestHead::of(&request)).is_ok());
        }
    }

    #[test]
    fn what_a_response_sets_a_request_brings(value in "[!#-+\\--:<-\\[\\]-~]{1,40}", quoted: bool, before in "[a-z]{1,5}") {
        let value = if quoted { format!("\"{value}\"") } else { value };
        let set = headers("set-cookie", &[format!("JSESSIONID={value}; Path=/").as_bytes()]);
        let request = request("/", headers("cookie", &[format!("{before}=1; JSESSIONID={value}").as_bytes()]));
        let brought = tomcat().request_key(RequestHead::of(&request)).unwrap().unwrap();
        prop_assert_eq!(tomcat().response(&set, now()), Ok(Learned::Key(brought)));
        prop_assert_eq!(value.trim_matches('"').as_bytes(), brought);
    }

    #[test]
    fn any_key_has_a_route_or_none(key: Vec<u8>, separator: u8) {
        for route in [Route::AfterFirst(separator), Route::AfterLast(separator), Route::Whole] {
            prop_assert!(route.of(&key).is_none_or(|route| !route.is_empty()));
        }
    }
}
