//! Whatever the server and the proxy accept, the backend reads as the same single message.

use equipoise_proxy::ReverseProxyLayer;
use proptest::prelude::*;

use crate::{
    reading::{difference, misread},
    rig::{Accepted, Seen, exchange, served},
};

/// Lines about the length of a body, as attackers vary them.
const LINES: [&str; 24] = [
    "Content-Length: 5",
    "Content-Length: 40",
    "content-length: 0",
    "Content-Length: 05",
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content-Length : 5",
    "Content_Length: 5",
    "Content-Length:\t5",
    "Transfer-Encoding: chunked",
    "transfer-encoding: CHUNKED",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked ",
    "Transfer-Encoding:\tchunked",
    "Transfer_Encoding: chunked",
    "Connection: Content-Length",
    "Connection: Transfer-Encoding, Host",
    "Connection: close",
    "Upgrade: websocket\r\nConnection: Upgrade",
    "Expect: 100-continue",
    "TE: chunked",
    "X: a\r\n b",
];

const BODIES: [&str; 8] = [
    "",
    "hello",
    "5\r\nhello\r\n0\r\n\r\n",
    "0\r\n\r\n",
    "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n",
    "5;a=b\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n",
    "28\r\nGET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n\r\n0\r\n\r\n",
    "G\r\nhello",
];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

fn run(request: &[u8]) -> Seen {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    runtime().block_on(exchange(ReverseProxyLayer::new(), request, answer))
}

fn serve(requests: &[u8]) -> Vec<Accepted> {
    runtime().block_on(served(requests))
}

#[test]
fn the_service_gets_all_requests_of_a_connection() {
    let requests = b"GET http://app.test/a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
    let got = serve(requests);
    assert_eq!(got.iter().map(|request| &*request.target).collect::<Vec<_>>(), ["http://app.test/a", "/b", "/c"]);
    assert_eq!(misread(requests, &got), None);
    assert!(misread(b"GET /a HTTP/1.1\r\n\r\n", &got).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_message_has_one_length_and_one_end(
        lines in proptest::collection::vec(0..LINES.len(), 0..4),
        body in 0..BODIES.len(),
        method in prop_oneof![Just("GET"), Just("POST"), Just("HEAD"), Just("OPTIONS")],
        version in prop_oneof![9 => Just("1.1"), 1 => Just("1.0")],
    ) {
        let lines: String = lines.into_iter().map(|line| format!("{}\r\n", LINES[line])).collect();
        let request = format!("{method} /outer HTTP/{version}\r\nHost: app.test\r\n{lines}\r\n{}", BODIES[body]);
        let seen = run(request.as_bytes());
        for request in &seen.upstream {
            let text = String::from_utf8_lossy(request).to_ascii_lowercase();
            let (head, _) = text.split_once("\r\n\r\n").expect("a head");
            let count = |name: &str| head.lines().filter(|line| line.starts_with(name)).count();
            prop_assert!(count("content-length:") + count("transfer-encoding:") <= 1, "{}", head);
            prop_assert_eq!(count("host:"), 1, "{}", head);
            prop_assert!(count("content_length:") + count("transfer_encoding:") == 0, "{}", head);
        }
        prop_assert_eq!(difference(&seen), None);
        // A second request reaches the backend only if the server answered two requests.
        let answers = String::from_utf8_lossy(&seen.response).matches("HTTP/1.1 200").count()
            + String::from_utf8_lossy(&seen.response).matches("HTTP/1.0 200").count();
        prop_assert!(seen.upstream.len() <= answers.max(1), "{} requests, {} answers", seen.upstream.len(), answers);
    }

    #[test]
    fn a_request_with_any_changes_is_read_alike_or_refused(
        body in 0..BODIES.len(),
        lines in proptest::collection::vec(0..LINES.len(), 0..3),
        changes in proptest::collection::vec(
            (any::<proptest::sample::Index>(), 0_usize..3, prop_oneof![
                Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'\t'), Just(b':'), Just(b','), Just(b'0'), any::<u8>(),
            ]),
            0..6,
        ),
    ) {
        let lines: String = lines.into_iter().map(|line| format!("{}\r\n", LINES[line])).collect();
        let mut request = format!("POST /outer HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n{}", BODIES[body]).into_bytes();
        for (at, removed, byte) in changes {
            let at = at.index(request.len());
            let end = (at + removed).min(request.len());
            request.splice(at..end, [byte]);
        }
        prop_assert_eq!(difference(&run(&request)), None);
    }

    #[test]
    fn the_service_gets_the_requests_that_another_parser_reads(
        requests in proptest::collection::vec(
            (proptest::collection::vec(0..LINES.len(), 0..3), 0..BODIES.len(), any::<bool>()),
            1..4,
        ),
        change in (any::<proptest::sample::Index>(), 0_usize..3, prop_oneof![
            Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'0'), any::<u8>(),
        ]),
    ) {
        let requests = requests.into_iter().map(|(lines, body, is_post)| {
            let lines: String = lines.into_iter().map(|line| format!("{}\r\n", LINES[line])).collect();
            let method = if is_post { "POST" } else { "GET" };
            format!("{method} /outer HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n{}", BODIES[body])
        });
        let mut requests = requests.collect::<String>().into_bytes();
        let (at, removed, byte) = change;
        let at = at.index(requests.len());
        let end = (at + removed).min(requests.len());
        requests.splice(at..end, [byte]);
        prop_assert_eq!(misread(&requests, &serve(&requests)), None);
    }
}
