use equipoise_proxy::ReverseProxyLayer;

use crate::rig::{bytes, cases, exchange};

/// Cases that the proxy treats differently from the stricter peer, and why. `true` stands for a forwarded request.
const DIFFERENCES: &[(&str, bool, &str)] = &[
    (
        "cl_and_te",
        true,
        "As in HAProxy: hyper removes the length, reads the chunks, and closes the connection after the response. What is \
         forwarded has one length (RFC 9112, 6.3).",
    ),
    ("uri_fragment", true, "hyper removes the fragment, so the endpoint cannot see it."),
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
            // hyper closes the connection without a response if the bytes are no HTTP at all.
            (false, status) => status.is_none_or(|status| (400..600).contains(&status)) && seen.upstream.is_empty(),
        };
        if !right {
            let upstream: Vec<_> = seen.upstream.iter().map(|request| String::from_utf8_lossy(request)).collect();
            let verb = if expected { "is forwarded" } else { "is refused" };
            wrong.push(format!("{name}: {verb}, but got {:?} and {upstream:?}", seen.status()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
