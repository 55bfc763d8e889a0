use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, COOKIE, ETAG, SET_COOKIE},
};

use super::*;

mod properties;

const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn cookies(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(COOKIE, HeaderValue::from_str(line).unwrap());
    }
    headers
}

/// The endpoints A and B can take requests. C is down. Other values name no endpoint.
fn find(value: &[u8]) -> CookieMatch<char> {
    match value {
        b"A" | b"B" => CookieMatch::Endpoint(value[0].into()),
        b"C" => CookieMatch::Down,
        _ => CookieMatch::Unknown,
    }
}

fn outcome(cookie: &PersistenceCookie, lines: &[&str]) -> (Option<char>, CookieOutcome) {
    let (endpoint, state) = cookie.on_request(&mut cookies(lines), at(NOW), find);
    (endpoint, state.outcome())
}

fn answer(
    cookie: &PersistenceCookie,
    state: CookieState,
    kept: bool,
    method: Method,
) -> (CookieAction, Vec<HeaderValue>) {
    let value = cookie.value("B").unwrap();
    let mut headers = HeaderMap::new();
    let context = ResponseContext::new(state, Some(&value), &method, at(NOW)).kept(kept);
    let action = cookie.on_response(context, StatusCode::OK, &mut headers);
    (action, headers.get_all(SET_COOKIE).iter().cloned().collect())
}

#[test]
fn every_outcome_says_why() {
    let cookie =
        PersistenceCookie::insert("SRV").idle_timeout(Duration::from_secs(60)).lifetime(Duration::from_secs(600));
    let cookie = cookie.build().unwrap();
    let date = |seconds| String::from_utf8(value::written(seconds).to_vec()).unwrap();
    let (fresh, stale, old) = (date(NOW), date(NOW - 64), date(NOW - 604));
    for (line, expected) in [
        ("srv=A; XSRV=A; SRV", (None, CookieOutcome::Absent)),
        ("SRV=A", (Some('A'), CookieOutcome::Valid)),
        ("SRV=\"A\"", (None, CookieOutcome::Invalid)),
        ("SRV=", (None, CookieOutcome::Invalid)),
        ("SRV=C", (None, CookieOutcome::Down)),
        ("SRV=C; SRV=X", (None, CookieOutcome::Down)),
        ("SRV=C; SRV=B; SRV=A", (Some('B'), CookieOutcome::Valid)),
        (&format!("SRV=A|{fresh}|{fresh}"), (Some('A'), CookieOutcome::Valid)),
        (&format!("SRV=A|{stale}|{fresh}"), (None, CookieOutcome::Expired)),
        (&format!("SRV=A|{fresh}|{old}"), (None, CookieOutcome::Old)),
        (&format!("SRV=A|{stale}; SRV=B"), (Some('B'), CookieOutcome::Valid)),
    ] {
        assert_eq!(outcome(&cookie, &[line]), expected, "{line}");
    }
}

#[test]
fn too_many_cookies_are_no_binding_and_are_still_hidden() {
    let cookie = PersistenceCookie::insert("SRV").indirect().max_cookies(2).build().unwrap();
    let mut asked = 0;
    let mut headers = cookies(&["SRV=X; SRV=X; a=1", "SRV=A; SRV=B"]);
    let (endpoint, state) = cookie.on_request(&mut headers, at(NOW), |value| {
        asked += 1;
        find(value)
    });
    assert_eq!((endpoint, state.outcome(), asked), (None, CookieOutcome::TooMany, 2));
    assert!(headers.get_all(COOKIE).iter().eq(["a=1"]));
    assert_eq!(outcome(&cookie, &["SRV=A; SRV=B"]), (Some('A'), CookieOutcome::Valid));
    assert_eq!(outcome(&cookie, &["SRV=A; SRV=B", "SRV=B"]), (None, CookieOutcome::TooMany));
}

#[test]
fn lines_that_are_too_long_are_no_binding_and_are_still_cleared() {
    let cookie = PersistenceCookie::insert("SRV").indirect().max_bytes(10).build().unwrap();
    assert_eq!(outcome(&cookie, &["SRV=A", "a=123"]), (Some('A'), CookieOutcome::Valid));
    assert_eq!(outcome(&cookie, &["SRV=A", "a=1234"]), (None, CookieOutcome::TooLong));
    let mut headers = cookies(&["SRV=A", "a=1234"]);
    cookie.on_request(&mut headers, at(NOW), find);
    assert!(headers.get_all(COOKIE).iter().eq(["a=1234"]));
}

#[test]
fn a_hundred_thousand_cookies_take_one_pass() {
    let cookie = PersistenceCookie::insert("S").indirect().build().unwrap();
    let mut headers = cookies(&[&"S=1;a=1;".repeat(100_000)]);
    cookie.on_request(&mut headers, at(NOW), find);
    assert_eq!(headers[COOKIE].as_bytes(), ["a=1; ".repeat(99_999), "a=1;".to_owned()].concat().as_bytes());
}

#[test]
fn lines_that_stay_are_not_rewritten() {
    let cookie = PersistenceCookie::insert("SRV").indirect().build().unwrap();
    let mut headers = cookies(&["a=1; b=2", "SRV=A", "c=3"]);
    let place = |headers: &HeaderMap, at| headers.get_all(COOKIE).iter().nth(at).unwrap().as_bytes().as_ptr();
    let (first, last) = (place(&headers, 0), place(&headers, 2));
    cookie.on_request(&mut headers, at(NOW), find);
    assert_eq!((place(&headers, 0), place(&headers, 1)), (first, last));
}

#[test]
fn what_follows_a_removed_cookie_takes_its_place() {
    let cookie = PersistenceCookie::insert("SRV").indirect().build().unwrap();
    for (line, left) in [
        ("SRV=A", None),
        ("SRV=A;", None),
        ("$Version=1; SRV=A; $Path=/", None),
        ("SRV=A;;a=1", Some(";a=1")),
        ("a=1;SRV=A;b=2", Some("a=1; b=2")),
        ("a=1 ; SRV=A;b=2", Some("a=1; b=2")),
        ("a=1; SRV=A;", Some("a=1; ")),
        ("a = 1; SRV = A; $Path=/; b= 2", Some("a = 1; b= 2")),
    ] {
        let mut headers = cookies(&[line]);
        cookie.on_request(&mut headers, at(NOW), find);
        assert_eq!(headers.get(COOKIE).map(|line| line.to_str().unwrap()), left, "{line}");
    }
}

#[test]
fn commas_quotes_and_dollars_of_other_cookies_mean_nothing() {
    let cookie = PersistenceCookie::insert("SRV").indirect().build().unwrap();
    for (line, left, named) in [
        ("list=a,SRV=B; x=1", "list=a,SRV=B; x=1", None),
        ("x=1; SRV=A; list=a,SRV=B,b", "x=1; list=a,SRV=B,b", Some('A')),
        ("a=\"1; SRV=A; b=2", "a=\"1; b=2", Some('A')),
        ("a=\"1; SRV=A\"; SRV=B", "a=\"1", Some('B')),
        ("a=\\\"; SRV=A", "a=\\\"", Some('A')),
        ("SRV=A; $theme=dark", "$theme=dark", Some('A')),
        ("$theme=dark; SRV=A; $path=/; $Paths=1", "$theme=dark; $Paths=1", Some('A')),
        // A comma in the persistence cookie is part of its value.
        ("SRV=A,b=2; c=3", "c=3", None),
    ] {
        let mut headers = cookies(&[line]);
        let (endpoint, _) = cookie.on_request(&mut headers, at(NOW), find);
        assert_eq!((headers[COOKIE].to_str().unwrap(), endpoint), (left, named), "{line}");
    }
}

#[test]
fn what_endpoints_set_with_commas_and_quotes_is_replaced_as_a_whole() {
    let cookie = PersistenceCookie::rewrite("SRV").build().unwrap();
    let value = cookie.value("B").unwrap();
    for (set, seen) in [
        ("SRV=a,b; Path=/", "SRV=B; Path=/"),
        ("SRV=\"a,b\"; Path=\"/;x\"", "SRV=B; Path=\"/;x\""),
        ("list=a,SRV=b; Path=/", "list=a,SRV=b; Path=/"),
    ] {
        let mut headers = HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_str(set).unwrap())]);
        let state = CookieState::default();
        let context = ResponseContext::new(state, Some(&value), &Method::GET, at(NOW));
        cookie.on_response(context, StatusCode::OK, &mut headers);
        assert_eq!(headers[SET_COOKIE], seen);
    }
}

#[test]
fn a_cookie_is_set_unless_the_client_has_it() {
    let cookie = PersistenceCookie::insert("SRV").build().unwrap();
    let line = HeaderValue::from_static("SRV=B; path=/");
    let set = (CookieAction::Inserted, vec![line]);
    assert_eq!(answer(&cookie, CookieState::default(), false, Method::GET), set);
    assert_eq!(answer(&cookie, CookieState::default(), true, Method::GET), (CookieAction::Nothing, vec![]));
    let disregarded = cookie.disregard(&mut cookies(&["SRV=A"]));
    assert_eq!(disregarded.outcome(), CookieOutcome::Disregarded);
    assert_eq!(answer(&cookie, disregarded, false, Method::GET), (CookieAction::Nothing, vec![]));

    let postonly = PersistenceCookie::insert("SRV").postonly().build().unwrap();
    assert_eq!(answer(&postonly, CookieState::default(), false, Method::GET), (CookieAction::Nothing, vec![]));
    assert_eq!(answer(&postonly, CookieState::default(), false, Method::POST), set);
}

#[test]
fn dates_are_brought_up_to_date_and_the_first_one_stays() {
    let build = |builder: PersistenceCookieBuilder| builder.build().unwrap();
    let date = |seconds| String::from_utf8(value::written(seconds).to_vec()).unwrap();
    let (now, before) = (date(NOW), date(NOW - 32));
    let minute = Duration::from_secs(60);
    let idle = build(PersistenceCookie::insert("SRV").idle_timeout(minute));
    let both = build(PersistenceCookie::insert("SRV").idle_timeout(minute).lifetime(minute));
    let none = build(PersistenceCookie::insert("SRV"));
    for (cookie, sent, set) in [
        (&idle, "B".to_owned(), Some(format!("B|{now}"))),
        (&idle, format!("B|{before}"), Some(format!("B|{now}"))),
        (&idle, format!("B|{now}"), None),
        (&both, format!("B|{now}|{before}"), None),
        (&both, format!("B|{before}|{before}"), Some(format!("B|{now}|{before}"))),
        (&both, format!("B|{now}"), Some(format!("B|{now}|{now}"))),
        (&none, format!("B|{before}"), Some("B".to_owned())),
        (&none, "B".to_owned(), None),
    ] {
        let (endpoint, state) = cookie.on_request(&mut cookies(&[&format!("SRV={sent}")]), at(NOW), find);
        assert_eq!(endpoint, Some('B'), "{sent}");
        let (action, lines) = answer(cookie, state, true, Method::GET);
        let expected = set.map(|value| HeaderValue::try_from(format!("SRV={value}; path=/")).unwrap());
        assert_eq!(action == CookieAction::Updated, expected.is_some(), "{sent}");
        assert_eq!(lines, Vec::from_iter(expected), "{sent}");
    }
}

#[test]
fn nocache_goes_with_a_cookie_in_what_a_cache_might_keep() {
    let cookie = PersistenceCookie::insert("SRV").nocache().build().unwrap();
    let value = cookie.value("B").unwrap();
    for (kept, method, status, control, private) in [
        (false, Method::GET, 200, None, true),
        (true, Method::GET, 200, None, false),
        (false, Method::POST, 200, None, false),
        (false, Method::POST, 500, Some("public"), true),
        (false, Method::GET, 302, None, false),
        (false, Method::GET, 200, Some("no-store"), false),
        (false, Method::GET, 200, Some("no-store, public"), true),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"x\""));
        headers.extend(control.map(|control| (CACHE_CONTROL, HeaderValue::from_static(control))));
        let context = ResponseContext::new(CookieState::default(), Some(&value), &method, at(NOW)).kept(kept);
        cookie.on_response(context, StatusCode::from_u16(status).unwrap(), &mut headers);
        let added = headers.get_all(CACHE_CONTROL).iter().any(|line| line == "private");
        assert_eq!(added, private, "{kept} {method} {status} {control:?}");
    }
}

#[test]
fn settings_that_make_no_sense_say_what_would() {
    let insert = || PersistenceCookie::insert("SRV");
    for name in ["", "$SRV", "a b", "a=b", "a;b", "a\r\nb", "é", &"a".repeat(257)] {
        let error = PersistenceCookie::insert(name).build().unwrap_err();
        assert_eq!(error, InvalidCookie::Name { name: name.to_owned() });
    }
    for domain in ["", "a;b", "a b", "a\n"] {
        let error = insert().domain(domain).build().unwrap_err();
        assert_eq!(error, InvalidCookie::Domain { domain: domain.to_owned() });
    }
    for attribute in ["", " ", "a;b", "a\r\nSet-Cookie: b", "é", "\t"] {
        let error = insert().attribute(attribute).build().unwrap_err();
        assert_eq!(error, InvalidCookie::Attribute { attribute: attribute.to_owned() });
    }
    for time in [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(1 << 31), Duration::MAX] {
        let error = insert().lifetime(time).build().unwrap_err();
        assert_eq!(error, InvalidCookie::Time { setting: "lifetime", time });
    }
    assert_eq!(insert().max_cookies(0).build().unwrap_err(), InvalidCookie::NoneAllowed);
    assert_eq!(insert().max_bytes(0).build().unwrap_err(), InvalidCookie::NoneAllowed);
    let error = PersistenceCookie::prefix("SRV").nocache().indirect().secure().build().unwrap_err();
    assert_eq!(error, InvalidCookie::InsertOnly { setting: "indirect", mode: CookieMode::Prefix });
    assert_eq!(
        error.to_string(),
        "`indirect` cannot be set in prefix mode, in which endpoints set the cookie: use insert mode"
    );
    assert!(PersistenceCookie::prefix("SRV").nocache().build().is_ok());
}

#[test]
fn cookies_that_no_browser_keeps_are_refused() {
    let cookie = |name: &str, attributes: &[&str]| {
        let cookie = PersistenceCookie::insert(name);
        attributes.iter().fold(cookie, |cookie, attribute| match *attribute {
            "secure" => cookie.secure(),
            "httponly" => cookie.httponly(),
            "domain" => cookie.domain("example.com"),
            attribute => cookie.attribute(attribute),
        })
    };
    let refused: [(&str, &[&str], &str); 16] = [
        ("lb", &["SameSite=None"], "SameSite=None needs `Secure`"),
        ("lb", &["samesite = none"], "SameSite=None needs `Secure`"),
        ("lb", &["SameSite=Lax", "SameSite=None"], "SameSite=None needs `Secure`"),
        ("lb", &["SameSite=Lax; Partitioned"], "';'"),
        ("lb", &["Partitioned"], "Partitioned needs `Secure`"),
        ("lb", &["PARTITIONED"], "Partitioned needs `Secure`"),
        ("__Secure-lb", &[], "its prefix needs `Secure`"),
        ("__secure-lb", &["httponly"], "its prefix needs `Secure`"),
        ("__Host-lb", &[], "its prefix needs `Secure`"),
        ("__Host-lb", &["secure", "domain"], "\"domain=example.com\""),
        ("__Host-lb", &["secure", "Domain=example.com"], "\"Domain=example.com\""),
        ("__HOST-lb", &["secure", "Path=/app"], "\"Path=/app\""),
        ("__Host-lb", &["secure", "Path"], "\"Path\""),
        ("__Http-lb", &["secure"], "its prefix needs `HttpOnly`"),
        ("__Host-Http-lb", &["secure"], "its prefix needs `HttpOnly`"),
        ("__Host-Http-lb", &["secure", "httponly", "domain"], "\"domain=example.com\""),
    ];
    for (name, attributes, said) in refused {
        let error = cookie(name, attributes).build().unwrap_err().to_string();
        assert!(error.contains(said), "{name} {attributes:?}: {error}");
    }
    let kept: [(&str, &[&str]); 11] = [
        ("lb", &["secure", "SameSite=None"]),
        ("lb", &["SameSite=None", "Secure"]),
        ("lb", &["SameSite=None", "SameSite=Lax"]),
        ("lb", &["secure", "Partitioned", "SameSite=None"]),
        ("__Secure-lb", &["secure", "domain"]),
        ("__Host-lb", &["secure"]),
        ("__Host-lb", &["secure", "Path=/app", "Path=/"]),
        ("__Http-lb", &["secure", "httponly", "domain"]),
        ("__Host-Http-lb", &["secure", "httponly"]),
        ("__Hos", &[]),
        ("lb__Host-", &[]),
    ];
    for (name, attributes) in kept {
        assert!(cookie(name, attributes).build().is_ok(), "{name} {attributes:?}");
    }
    // In rewrite and prefix mode, the endpoint sets the attributes.
    assert!(PersistenceCookie::rewrite("__Host-lb").build().is_ok());
    assert!(PersistenceCookie::prefix("__Secure-lb").build().is_ok());
}

#[test]
fn each_mode_reserves_what_it_separates_with() {
    let (insert, prefix) = (PersistenceCookie::insert("S").build(), PersistenceCookie::prefix("S").build());
    let (insert, prefix) = (insert.unwrap(), prefix.unwrap());
    assert!(insert.value("a~b").is_ok() && prefix.value("a|b").is_ok());
    assert_eq!(insert.value("a|b"), Err(InvalidCookieValue::Byte { byte: b'|', at: 1 }));
    assert_eq!(prefix.value("a~b"), Err(InvalidCookieValue::Byte { byte: b'~', at: 1 }));
}

#[test]
fn no_clock_is_too_far_off() {
    let cookie = PersistenceCookie::insert("SRV").idle_timeout(Duration::from_secs(1)).lifetime(Duration::from_secs(1));
    let cookie = cookie.build().unwrap();
    let value = cookie.value("A").unwrap();
    for now in [SystemTime::UNIX_EPOCH - Duration::from_secs(9), at(0), at(u64::from(u32::MAX) * 9)] {
        let (_, state) = cookie.on_request(&mut cookies(&["SRV=A|/////|/////"]), now, find);
        let context = ResponseContext::new(state, Some(&value), &Method::GET, now);
        let mut headers = HeaderMap::new();
        cookie.on_response(context, StatusCode::OK, &mut headers);
        assert_eq!(headers[SET_COOKIE].len(), "SRV=A|.....|.....; path=/".len());
    }
}
