//! Whatever a client or an endpoint sends, what is forwarded follows the rules.

use std::cell::Cell;

use equipoise_proxy::ReverseProxyLayer;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::{Forwarded, full, send};

const NAMES: [&str; 27] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "content_length",
    "x_forwarded_for",
    "x.real.ip",
    "x-forwarded-for",
    "x-real-ip",
    "forwarded",
    "via",
    "max-forwards",
    "expect",
    "cookie",
    "proxy",
    "proxy-authorization",
    "http2-settings",
    "accept",
    "x-a",
    "x-b",
    "sec-websocket-key",
    "retry-after",
];

const VALUES: [&str; 24] = [
    "",
    "app.test",
    "evil.test:80",
    "close",
    "upgrade",
    "keep-alive, upgrade",
    "x-a, x-b",
    "host, content-length",
    "chunked",
    "gzip, chunked",
    "0",
    "5",
    "5, 5",
    "-1",
    "trailers",
    "gzip",
    "websocket",
    "h2c",
    "100-continue",
    "a=1",
    "for=6.6.6.6",
    "\u{e4}\u{e4}",
    " padded ",
    "1.1 edge",
];

fn fields() -> impl Strategy<Value = HeaderMap> {
    let field = (0..NAMES.len(), 0..VALUES.len());
    proptest::collection::vec(field, 0..10).prop_map(|fields| {
        let field = |(name, value): (usize, usize)| {
            let value = HeaderValue::from_bytes(VALUES[value].as_bytes()).expect("a value");
            (HeaderName::from_static(NAMES[name]), value)
        };
        fields.into_iter().map(field).collect()
    })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

/// Checks what is true of requests and responses.
fn check(headers: &HeaderMap) {
    for name in
        ["keep-alive", "proxy-connection", "transfer-encoding", "proxy", "proxy-authorization", "http2-settings"]
    {
        assert!(!headers.contains_key(name), "{headers:?}");
    }
    let lengths: Vec<_> = headers.get_all("content-length").iter().collect();
    assert!(lengths.len() <= 1 && lengths.iter().all(|length| *length == "0" || *length == "5"), "{headers:?}");
    if let Some(connection) = headers.get("connection") {
        // Any protocol except those that would change how the connection to the endpoint is read.
        let protocol = headers.get("upgrade").expect("a protocol");
        assert!(connection == "upgrade" && protocol != "h2c" && !protocol.is_empty(), "{headers:?}");
    } else {
        assert!(!headers.contains_key("upgrade"), "{headers:?}");
    }
}

proptest! {
    #[test]
    fn requests(
        headers in fields(),
        add_host: bool,
        method in prop_oneof![
            Just("GET"), Just("POST"), Just("OPTIONS"), Just("CONNECT"), Just("TRACE"), Just("get"), Just("PROPFIND")
        ],
        uri in prop_oneof![
            Just("/"), Just("/a?b"), Just("*"), Just("app.test:80"), Just("http://app.test/a"), Just("https://u@app.test"),
            Just("/a%00"), Just("http://evil.test")
        ],
        version in prop_oneof![Just(Version::HTTP_10), Just(Version::HTTP_11), Just(Version::HTTP_2)],
    ) {
        let mut request = Request::new(full(""));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).expect("a method");
        *request.uri_mut() = uri.parse::<Uri>().expect("a URI");
        *request.version_mut() = version;
        *request.headers_mut() = headers;
        if add_host {
            request.headers_mut().insert("host", HeaderValue::from_static("app.test"));
        }
        let seen = Mutex::new(None);
        let response = run(send(&ReverseProxyLayer::new(), request, async |request: Forwarded| {
            *seen.lock() = Some(request.into_parts().0);
            Ok(Response::new(full("")))
        }));
        let Some(head) = seen.into_inner() else {
            let answered_here = response.status() == StatusCode::OK && method == "OPTIONS";
            prop_assert!(response.status().is_client_error() || response.status() == 501 || answered_here);
            return Ok(());
        };
        check(&head.headers);
        prop_assert_eq!(head.version, Version::HTTP_11);
        prop_assert!(head.uri.scheme().is_none() && head.uri.authority().is_none());
        prop_assert!(head.uri.path().starts_with('/') || head.uri.path() == "*");
        prop_assert_eq!(head.headers.get_all("host").iter().count(), 1);
        prop_assert!(head.headers.get("te").is_none_or(|te| te == "trailers"));
        prop_assert!(head.headers.keys().all(|name| !name.as_str().contains(['_', '.'])));
        // The peer is not known and not trusted.
        for name in ["x-forwarded-for", "x-real-ip", "forwarded"] {
            prop_assert!(!head.headers.contains_key(name));
        }
    }

    #[test]
    fn responses(headers in fields(), status in 100_u16..1000) {
        let mut request = Request::new(full(""));
        request.headers_mut().insert("host", HeaderValue::from_static("app.test"));
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        *response.headers_mut() = headers;
        let response = Cell::new(Some(response));
        let response =
            run(send(&ReverseProxyLayer::new(), request, async |_| Ok(response.take().expect("one request"))));
        check(response.headers());
        prop_assert!(response.status() == status || response.status() == 502);
        prop_assert!(!response.status().is_informational() && !response.headers().contains_key("te"));
    }
}
