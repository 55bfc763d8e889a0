use equipoise_proxy::ReverseProxyLayer;

use crate::rig::{bytes, cases, exchange};

/// The case, what the client gets if it is neither what nginx nor what HAProxy sends, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "hop_by_hop",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTrailer: X-T\r\n\r\nok",
        "RFC 9110, 7.6.1: fields of one connection, and those that Connection names, are removed.",
    ),
    (
        "early_100",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "The proxy reads interim responses and forwards the final one.",
    ),
];

/// Returns the status line, the fields that endpoints have sent, in the order of their names, and the body.
fn parsed(response: &[u8]) -> Option<(String, Vec<String>, String)> {
    let text: String = response.iter().map(|byte| char::from(*byte)).collect();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut fields: Vec<_> = lines.map(str::to_ascii_lowercase).collect();
    // The servers write these themselves.
    fields.retain(|field| !["server:", "date:", "connection:"].iter().any(|own| field.starts_with(own)));
    fields.sort();
    let made_here = status.starts_with('5');
    Some((status, if made_here { Vec::new() } else { fields }, if made_here { String::new() } else { body.to_owned() }))
}

#[tokio::test(start_paused = true)]
async fn responses_are_forwarded_as_one_of_the_peers_does() {
    let mut wrong = Vec::new();
    for case in cases(include_str!("../golden/proxy_responses.json")) {
        let name = case["case"].as_str().expect("a name");
        let answer: &'static [u8] = bytes(&case["upstream_response"]).leak();
        let seen = exchange(ReverseProxyLayer::new(), b"GET /p?q=1 HTTP/1.1\r\nHost: app.test\r\n\r\n", answer).await;
        let ours = parsed(&seen.response);
        let peer = |peer: &str| {
            let response = bytes(&case[peer]["response"]);
            // Of a response that the peer made itself, only the status line was recorded.
            parsed(&[&response[..], if response.ends_with(b"Gateway") { b"\r\n\r\n" } else { b"" }].concat())
        };
        let difference = DIFFERENCES.iter().find(|(case, ..)| *case == name);
        let expected = match difference {
            Some((_, response, _)) => vec![parsed(response.as_bytes())],
            // nginx sends nothing.
            None if name == "bad_chunk" => vec![peer("haproxy_default")],
            None => vec![peer("nginx_typical"), peer("haproxy_default")],
        };
        if !expected.contains(&ours) {
            wrong.push(format!("{name}:\n  {ours:?}\n  {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_response_whose_first_chunk_is_malformed_becomes_502() {
    let request = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n";
    for chunk in ["zz\r\nok\r\n", "2 x\r\nok\r\n", "\r\n"] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
        let seen = exchange(ReverseProxyLayer::new(), request, answer.into_bytes().leak()).await;
        assert_eq!(seen.status(), Some(502), "{chunk}");
    }
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let seen = exchange(ReverseProxyLayer::new(), request, answer).await;
    assert_eq!(seen.status(), Some(200));
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_head_keeps_the_length() {
    let request = b"HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let seen = exchange(ReverseProxyLayer::new(), request, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    let expected = ("200".to_owned(), vec!["content-length: 5".to_owned()], String::new());
    assert_eq!(parsed(&seen.response), Some(expected));
}
