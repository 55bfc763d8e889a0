use equipoise_proxy::ReverseProxyLayer;

use crate::rig::{bytes, cases, exchange};

/// Cases that the proxy treats differently from the stricter peer, and why. `true` stands for a forwarded request.
const DIFFERENCES: &[(&str, bool, &str)] = &[
    ("header_line_9000", true, "As in HAProxy: not a single line is limited, but all of them together, to 32 KiB."),
    ("host_userinfo", false, "No server is asked for by a host with user information, and parsers disagree about it."),
    ("host_text_port", false, "A port is a number."),
    ("host_ipv6_unclosed", false, "Parsers disagree about where such a host ends."),
    ("expect_unknown", false, "RFC 9110, 10.1.1: 417. Endpoints would wait for what the proxy does not do."),
    ("del_in_value", false, "DEL is a control character, which RFC 9110, 5.5 does not allow in values."),
    ("uri_quote", false, "`<` and `>` are not allowed in a URI (RFC 3986). hyper refuses them."),
];

#[tokio::test(start_paused = true)]
async fn the_proxy_is_as_strict_as_the_stricter_peer() {
    let mut wrong = Vec::new();
    for case in cases(include_str!("../golden/proxy_bad_requests.json")) {
        let name = case["case"].as_str().expect("a name");
        let request = bytes(&case["request"]);
        let accepted = |peer: &str| !case[peer]["upstream"].as_array().expect("a list").is_empty();
        let both = accepted("nginx_typical") && accepted("haproxy_default");
        let difference = DIFFERENCES.iter().find(|(case, ..)| *case == name).map(|(_, accept, _)| *accept);
        if difference == Some(both) {
            wrong.push(format!("{name}: is no difference"));
        }
        let expected = difference.unwrap_or(both);

        let seen =
            exchange(ReverseProxyLayer::new(), &request, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let count = if name == "pipelined_two" { 2 } else { 1 };
        let right = match (expected, seen.status()) {
            (true, status) => status == Some(200) && seen.upstream.len() == count,
            // `CONNECT` is well-formed, but not implemented (RFC 9110, section 9.3.6).
            (false, status) if name == "connect" => status == Some(501) && seen.reached_nothing(),
            (false, status) => status.is_some_and(|status| (400..500).contains(&status)) && seen.reached_nothing(),
        };
        if !right {
            let upstream = seen.upstream.iter().chain(&seen.partial);
            let upstream: Vec<_> = upstream.map(|request| String::from_utf8_lossy(request)).collect();
            let verb = if expected { "is forwarded" } else { "is refused" };
            wrong.push(format!("{name}: {verb}, but got {:?} and {upstream:?}", seen.status()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// hyper's parser repairs these requests without an error.
#[tokio::test(start_paused = true)]
async fn a_request_that_the_parser_repairs_gets_400_and_the_connection_is_closed() {
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    let first = "POST /first HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for (fields, body) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunks),
        ("Transfer-Encoding: chunked\r\nContent-Length: 15\r\n", chunks),
        ("Transfer-Encoding: chunked\r\nContent-Length: abc\r\n", chunks),
        ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\nContent-Length: 2\r\n", chunks),
        ("Content-Length: 5\r\nX: y\r\ncontent-length:5\r\n", "hello"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    ] {
        for before in ["", first] {
            let request = format!("{before}POST /second HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n{body}");
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            let seen = exchange(ReverseProxyLayer::new(), request.as_bytes(), answer).await;
            let response = String::from_utf8_lossy(&seen.response);
            let last = response.rfind("HTTP/1.1 ").map(|at| response[at..].to_ascii_lowercase()).unwrap_or_default();
            assert!(
                last.starts_with("http/1.1 400 ") && last.contains("connection: close\r\n"),
                "{request}: {response}"
            );
            assert_eq!((seen.upstream.len(), seen.partial.len()), (usize::from(!before.is_empty()), 0), "{request}");
        }
    }
}

/// With an expectation, the chunk cannot be read before the request is forwarded.
#[tokio::test(start_paused = true)]
async fn a_malformed_chunk_after_an_expectation_gets_400_and_no_request_is_complete() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (expect, reaches) in [("", 0), ("Expect: 100-continue\r\n", 1)] {
        let request = format!("POST / HTTP/1.1\r\nHost: app.test\r\n{expect}Transfer-Encoding: chunked\r\n\r\nzz\r\n");
        let seen = exchange(ReverseProxyLayer::new(), request.as_bytes(), answer).await;
        let response = String::from_utf8_lossy(&seen.response);
        let last = response.rfind("HTTP/1.1 ").map(|at| &response[at..]).unwrap_or_default();
        assert!(last.starts_with("HTTP/1.1 400 "), "{expect}: {response}");
        assert_eq!((seen.upstream.len(), seen.partial.len()), (0, reaches), "{expect}");
    }
}
