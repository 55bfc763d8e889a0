//! Checks that each parser of bytes from outside takes linear time.

use std::{cell::Cell, time::SystemTime};

use equipoise_tower::{RequestHead, ResponseHead};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, COOKIE, FORWARDED, HOST, SET_COOKIE},
};

use crate::{
    cookie::{CookieMatch, CookieState, PersistenceCookie, PersistenceCookieBuilder, ResponseContext},
    key::SessionKey,
    learn::{Learn, Route},
    source::{ClientAddress, ForwardedHeader, PeerAddr, TrustedProxies},
};

thread_local! {
    static LOOKED_AT: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn count() {
    LOOKED_AT.set(LOOKED_AT.get() + 1);
}

fn work(parse: impl FnOnce()) -> u64 {
    let before = LOOKED_AT.get();
    parse();
    LOOKED_AT.get() - before
}

/// Checks that `parse` takes linear time for a text that repeats `part`: each byte is read at most `most` times on
/// average, and twice the text causes at most twice the work.
pub(crate) fn is_linear(part: &str, most: u64, parse: impl Fn(&[u8])) {
    let of = |length: usize| {
        let text = part.repeat(length / part.len());
        (work(|| parse(text.as_bytes())), text.len() as u64)
    };
    let ((once, length), (twice, _)) = (of(10_000), of(20_000));
    assert!(once <= most * length, "{part:?}: {once} looks at {length} bytes");
    assert!(twice <= 2 * once + 100, "{part:?}: {once} looks, and {twice} at twice the text");
}

fn headers(name: HeaderName, line: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_bytes(line).unwrap());
    headers
}

/// `Cookie` lines are made by repeating these texts. Repeating the last ones gives a single word of 10 000 bytes.
const COOKIES: [&str; 12] =
    [";", "; ", "a; ", "a;", "a=1; ", "=", "a=1; SRV=x; ", "SRV=x~y; ", "\"; ", "a= \t; ", " ", "a"];

#[test]
fn cookies_of_requests_are_read_in_linear_time() {
    let modes: [fn(&'static str) -> PersistenceCookieBuilder; 4] = [
        PersistenceCookie::insert,
        |name| PersistenceCookie::insert(name).indirect(),
        PersistenceCookie::rewrite,
        PersistenceCookie::prefix,
    ];
    for mode in modes {
        let cookie = mode("SRV").build().unwrap();
        for part in COOKIES {
            is_linear(part, 8, |line| {
                let find = |_: &[u8]| CookieMatch::<()>::Unknown;
                cookie.on_request(&mut headers(COOKIE, line), SystemTime::UNIX_EPOCH, find);
            });
            is_linear(part, 8, |line| {
                cookie.disregard(&mut headers(COOKIE, line));
            });
        }
    }
}

#[test]
fn a_cookie_line_without_an_assignment_is_not_searched_again_for_each_word() {
    let cookie = PersistenceCookie::insert("SRV").indirect().build().unwrap();
    for (line, looks) in [(";".repeat(65_536), 400_000), ("a; ".repeat(20_000), 400_000)] {
        let mut headers = headers(COOKIE, line.as_bytes());
        let work = work(|| {
            cookie.on_request(&mut headers, SystemTime::UNIX_EPOCH, |_| CookieMatch::<()>::Unknown);
        });
        assert!((60_000..looks).contains(&work), "{work}");
    }
}

#[test]
fn responses_are_read_in_linear_time() {
    let cookie = PersistenceCookie::insert("SRV").nocache().build().unwrap();
    let value = cookie.value("A").unwrap();
    let context = ResponseContext::new(CookieState::default(), Some(&value), &Method::GET, SystemTime::UNIX_EPOCH);
    for part in COOKIES.into_iter().chain([",", ", ", "\"a, ", "\\,", "max-age=1, "]) {
        is_linear(part, 8, |line| {
            cookie.on_response(context, StatusCode::OK, &mut headers(SET_COOKIE, line));
        });
        is_linear(part, 8, |line| {
            cookie.on_response(context, StatusCode::OK, &mut headers(CACHE_CONTROL, line));
        });
    }
}

#[test]
fn what_backends_set_is_read_in_linear_time() {
    let learn = Learn::new().cookie("sid").unwrap();
    for part in COOKIES.into_iter().chain(["1", "1:", "1 ", "jan", ": ", "sid=1; Max-Age=0; "]) {
        for begin in ["", "sid=1; Expires=", "sid=1; Max-Age=", "sid=1; Path="] {
            is_linear(part, 12, |rest| {
                let mut response = Response::new(());
                *response.headers_mut() = headers(SET_COOKIE, &[begin.as_bytes(), rest].concat());
                let _ = learn.response(ResponseHead::of(&response).headers, SystemTime::UNIX_EPOCH);
            });
        }
    }
    for route in [Route::default(), Route::AfterLast(b'.'), Route::Whole] {
        for part in [".", "a.", "a"] {
            is_linear(part, 1, |key| {
                route.of(key);
            });
        }
    }
}

#[test]
fn keys_are_read_in_linear_time() {
    let of_cookie = SessionKey::cookie("sid").unwrap();
    for part in COOKIES {
        is_linear(part, 6, |line| {
            let mut request = Request::new(());
            *request.headers_mut() = headers(COOKIE, line);
            drop(of_cookie.of(RequestHead::of(&request)));
        });
    }
    let keys = [
        SessionKey::query_parameter("sid").unwrap(),
        SessionKey::path_parameter("sid").unwrap(),
        SessionKey::path(),
        SessionKey::path_segment(9_999),
        SessionKey::path_prefix(9_999).unwrap(),
    ];
    for key in keys {
        for part in ["/", "a/", ";", "/;", ";=", "/a;b", "a=b&", "&", "=", "a"] {
            for begin in ["/", "/?"] {
                is_linear(part, 6, |rest| {
                    let target = format!("{begin}{}", std::str::from_utf8(rest).unwrap());
                    drop(key.of(RequestHead::of(&Request::get(target).body(()).unwrap())));
                });
            }
        }
    }
    let of_host = SessionKey::host();
    for part in ["]", "[", ":", "a", "A", ".", " "] {
        is_linear(part, 6, |host| {
            let mut request = Request::new(());
            *request.headers_mut() = headers(HOST, host);
            drop(of_host.of(RequestHead::of(&request)));
        });
    }
}

#[test]
fn forwarded_addresses_are_read_in_linear_time() {
    let all: TrustedProxies = "0.0.0.0/0".parse().unwrap();
    let client = |header| ClientAddress::behind(all.clone()).header(header).max_hops(usize::MAX);
    let parts = [",", ", ", "1.2.3.4, ", "1.2.3.4:5,", "for=1.2.3.4,", "for=\"1.2.3.4\", ", ";", "for=1.2.3.4;,"];
    for part in parts.into_iter().chain(["\"", "\\\"", "\\", "\"\\\\\",", "for=\"\\1.2.3.4\",", "[", ":", "%", "a"]) {
        for (header, name) in [
            (ForwardedHeader::XForwardedFor, HeaderName::from_static("x-forwarded-for")),
            (ForwardedHeader::Forwarded, FORWARDED),
            (ForwardedHeader::Single(HeaderName::from_static("x-real-ip")), HeaderName::from_static("x-real-ip")),
        ] {
            let client = client(header);
            is_linear(part, 8, |line| {
                let mut request = Request::new(());
                *request.headers_mut() = headers(name.clone(), line);
                request.extensions_mut().insert(PeerAddr("10.0.0.1:1".parse().unwrap()));
                let _ = client.of(RequestHead::of(&request));
            });
        }
    }
}
