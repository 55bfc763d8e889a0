use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use ::http::{Request, Response};
use equipoise_health::probe::{HttpProbe, HttpVersion, ProbeError, ProbeOutcome};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::server::{droning, probe_once, refusing_address, reset, saying, serve, until_closed, waits_until_dropped};

fn get() -> HttpProbe {
    HttpProbe::new("/healthz?full=1").expect("a path")
}

/// A server that gives this answer and records the requests.
async fn answering(response: &'static str) -> (SocketAddr, Arc<Mutex<String>>) {
    let asked = Arc::new(Mutex::new(String::new()));
    let remember = Arc::clone(&asked);
    let address = serve(move |mut stream| {
        let remember = Arc::clone(&remember);
        async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.expect("a request"), 0, "the request has an end");
            }
            *remember.lock() = String::from_utf8(request).expect("a request in ASCII").to_lowercase();
            let _ = stream.write_all(response.as_bytes()).await;
            until_closed(stream).await;
        }
    })
    .await;
    (address, asked)
}

/// An HTTP/2 server that answers with the request.
async fn answer_h2(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let echo = service_fn(|request: Request<Incoming>| async move {
        let text = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
    });
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), echo).await;
}

fn unexpected(answer: &Result<ProbeOutcome, ProbeError>, what: &str) -> bool {
    matches!(answer, Err(ProbeError::Unexpected(reason)) if reason.contains(what))
}

#[tokio::test]
async fn the_request_has_the_configured_method_path_and_headers() {
    let (address, asked) = answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(probe_once(&get(), address).await, Ok(ProbeOutcome::Passed));
    let first = asked.lock().clone();
    assert!(first.starts_with("get /healthz?full=1 http/1.1\r\n"), "{first}");
    assert!(first.contains(&format!("host: {address}\r\n")), "{first}");
    assert!(first.contains("user-agent: equipoise-health/"), "{first}");

    let head = get().method("HEAD").unwrap().host("shop.example.com").unwrap();
    let head = head.header("X-Token", "t").unwrap().header("User-Agent", "me").unwrap();
    assert_eq!(probe_once(&head, format!("http://{address}/api")).await, Ok(ProbeOutcome::Passed));
    let second = asked.lock().clone();
    assert!(second.starts_with("head /healthz?full=1 "), "the path is the check's, not the address's: {second}");
    assert!(second.contains("host: shop.example.com\r\n") && second.contains("x-token: t\r\n"), "{second}");
    assert!(second.contains("user-agent: me\r\n") && !second.contains("equipoise"), "{second}");
}

#[tokio::test]
async fn the_status_decides() {
    for (line, passes) in
        [("200 OK", true), ("302 Found", true), ("404 Not Found", false), ("503 Service Unavailable", false)]
    {
        let response = format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").leak();
        let answer = probe_once(&get(), answering(response).await.0).await;
        assert_eq!(answer.is_ok(), passes, "{line}: {answer:?}");
        assert!(passes || unexpected(&answer, &format!("status {}", &line[..3])), "{answer:?}");
    }
    let (address, _) = answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let picky = get().statuses([200..=204, 404..=404]).unwrap();
    assert_eq!(probe_once(&picky, address).await, Ok(ProbeOutcome::Passed));
}

#[tokio::test]
async fn a_body_is_searched() {
    let (address, _) = answering("HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"ready\": true}").await;
    assert_eq!(probe_once(&get().body_contains("true").unwrap(), address).await, Ok(ProbeOutcome::Passed));
    let answer = probe_once(&get().body_contains("false").unwrap(), address).await;
    assert!(unexpected(&answer, "ready"), "{answer:?}");
    let answer = probe_once(&get().body_contains("true").unwrap().max_body_bytes(4).unwrap(), address).await;
    assert!(unexpected(&answer, "in 4 bytes"), "{answer:?}");
}

#[cfg(feature = "regex")]
#[tokio::test]
async fn a_body_is_matched() {
    let (address, _) = answering("HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"ready\": true}").await;
    assert_eq!(
        probe_once(&get().body_matches(r#""ready":\s*true\}$"#).unwrap(), address).await,
        Ok(ProbeOutcome::Passed)
    );
    assert!(unexpected(&probe_once(&get().body_matches("^ready").unwrap(), address).await, "ready"));
    let refused = get().body_matches("(").unwrap_err();
    assert!(refused.to_string().contains("unclosed group"), "{refused}");
}

#[tokio::test]
async fn an_endless_body_is_read_to_the_limit_if_it_is_read_at_all() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let address = droning(head, b"2\r\nla\r\n").await;
    assert_eq!(probe_once(&get(), address).await, Ok(ProbeOutcome::Passed), "the body is not read");
    assert_eq!(probe_once(&get().body_contains("lala").unwrap(), address).await, Ok(ProbeOutcome::Passed));
    let answer = probe_once(&get().body_contains("stop").unwrap(), address).await;
    assert!(unexpected(&answer, "in 65536 bytes"), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_fails_the_probe() {
    let address = saying("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let answer = probe_once(&get().body_contains("whole").unwrap(), address).await;
    assert!(matches!(answer, Err(ProbeError::Failed(_))), "{answer:?}");
}

#[tokio::test]
async fn an_answer_that_contradicts_itself_fails_it() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nready",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nready",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\n\r\nready",
    ] {
        let looked = probe_once(&get().body_contains("ready").unwrap(), saying(answer).await).await;
        assert!(matches!(looked, Err(ProbeError::Unexpected(_) | ProbeError::Failed(_))), "{answer:?}: {looked:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_unexpected() {
    for garbage in
        ["SSH-2.0-OpenSSH_9.2\r\n", "\x16\x03\x01\x02\x00", "HTTP/1.1 99999 What\r\n\r\n", "\r\n\r\n\0\0\0\0"]
    {
        let answer = probe_once(&get(), saying(garbage).await).await;
        assert!(unexpected(&answer, ""), "{garbage:?}: {answer:?}");
        let answer = probe_once(&get().version(HttpVersion::Http2), saying(garbage).await).await;
        assert!(matches!(answer, Err(ProbeError::Failed(_))), "{garbage:?}: {answer:?}");
    }
    let answer = probe_once(&get(), droning(b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n").await).await;
    assert!(unexpected(&answer, ""), "headers without end: {answer:?}");
}

#[tokio::test]
async fn refused_connections_resets_and_early_ends_fail_it() {
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        let probe = get().version(version);
        assert!(matches!(probe_once(&probe, refusing_address()).await, Err(ProbeError::Connect(_))));
        assert!(matches!(reset(&probe).await, Err(ProbeError::Failed(_))));
        assert!(matches!(probe_once(&probe, saying("").await).await, Err(ProbeError::Failed(_))));
    }
}

#[tokio::test]
async fn a_peer_that_never_answers_is_waited_for_until_the_probe_is_dropped() {
    waits_until_dropped(&get()).await;
    waits_until_dropped(&get().version(HttpVersion::Http2)).await;
}

#[tokio::test]
async fn http2_is_spoken_in_the_clear_where_asked_for() {
    let address = serve(answer_h2).await;
    let probe = get().version(HttpVersion::Http2).host("shop.example.com").unwrap();
    let probe = probe.body_contains("GET http://shop.example.com/healthz?full=1 ").unwrap();
    assert_eq!(probe_once(&probe, address).await, Ok(ProbeOutcome::Passed));
}

#[cfg(feature = "tls")]
mod tls {
    use equipoise_health::probe::TlsProbe;

    use super::*;
    use crate::tls::{identity, serve_tls};

    #[tokio::test]
    async fn over_tls_the_endpoint_chooses_the_version() {
        let (server, tls) = identity("127.0.0.1", &[b"h2"]);
        let address = serve_tls(server, answer_h2).await;
        let probe = get().tls(tls).body_contains(format!("GET https://{address}/healthz?full=1 ")).unwrap();
        assert_eq!(probe_once(&probe, address).await, Ok(ProbeOutcome::Passed));

        let (server, tls) = identity("127.0.0.1", &[b"http/1.1"]);
        let address = serve_tls(server, |mut stream| async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.expect("a request");
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("the probe is there");
        })
        .await;
        assert_eq!(probe_once(&get().tls(tls.clone()), address).await, Ok(ProbeOutcome::Passed));
        let h2 = get().tls(tls).version(HttpVersion::Http2);
        assert!(
            matches!(probe_once(&h2, address).await, Err(ProbeError::Connect(_))),
            "they have no protocol in common"
        );
    }

    #[tokio::test]
    async fn an_https_address_is_asked_over_tls_and_distrusted_by_default() {
        let (server, _) = identity("127.0.0.1", &[]);
        let address = serve_tls(server, |_| async {}).await;
        let answer = probe_once(&get(), format!("https://{address}")).await;
        assert!(matches!(&answer, Err(ProbeError::Connect(reason)) if reason.contains("UnknownIssuer")), "{answer:?}");
        waits_until_dropped(&get().tls(TlsProbe::new())).await;
    }
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn https_without_its_feature_is_refused() {
    assert!(matches!(probe_once(&get(), "https://127.0.0.1:1").await, Err(ProbeError::Address { .. })));
}

#[test]
fn wrong_settings_are_refused_by_name() {
    for path in ["", "healthz", "http://a/b", "/a b", "/a#b", "*"] {
        assert_eq!(HttpProbe::new(path).unwrap_err().setting, "path", "{path:?}");
    }
    for method in ["", "GE T", "CONNECT"] {
        assert_eq!(get().method(method).unwrap_err().setting, "method", "{method:?}");
    }
    for host in ["", "a b", "http://a", "me@a", "a/b"] {
        assert_eq!(get().host(host).unwrap_err().setting, "host", "{host:?}");
    }
    for (name, value) in [("", "x"), ("a b", "x"), ("a", "x\r\ny: z"), ("Host", "a"), ("content-length", "5")] {
        assert_eq!(get().header(name, value).unwrap_err().setting, "header", "{name:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
    for statuses in [vec![], vec![400..=200], vec![200..=299, 0..=100], vec![200..=1000]] {
        assert_eq!(get().statuses(statuses.clone()).unwrap_err().setting, "statuses", "{statuses:?}");
    }
    assert_eq!(get().body_contains("").unwrap_err().setting, "body_contains");
    assert_eq!(get().max_body_bytes(0).unwrap_err().setting, "max_body_bytes");
}
