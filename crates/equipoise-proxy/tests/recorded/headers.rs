use equipoise_affinity::source::TrustedProxies;
use equipoise_proxy::{
    ReverseProxyLayer,
    headers::{FieldAction, ForwardingFields},
};

use crate::rig::{bytes, cases, exchange};

/// The case, what the proxy forwards instead of what nginx does, and why. `{xf}` stands for the forwarding fields of
/// [`LIKE_NGINX`], and an empty text for a refusal.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("xff_empty", "GET /p?q=1 HTTP/1.1\r\nhost: app.test{xf}\r\n\r\n", "An empty line adds no element to a list."),
    (
        "proxy_connection_only",
        "GET /p?q=1 HTTP/1.1\r\nhost: app.test{xf}\r\n\r\n",
        "RFC 9110, 7.6.1: Proxy-Connection belongs to one connection.",
    ),
    (
        "te_gzip",
        "GET /p?q=1 HTTP/1.1\r\nhost: app.test\r\nte: trailers{xf}\r\n\r\n",
        "Trailers are forwarded, and gRPC needs them. HAProxy also sends Connection: TE, as equipoise-http does. The \
         client of this test does not.",
    ),
    (
        "upgrade_websocket",
        "GET /p?q=1 HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13{xf}\r\n\r\n",
        "As in HAProxy: upgrades are forwarded by default.",
    ),
    (
        "upgrade_h2c",
        "GET /p?q=1 HTTP/1.1\r\nhost: app.test{xf}\r\n\r\n",
        "Connection names HTTP2-Settings, which belongs to one connection.",
    ),
    (
        "host_uppercase",
        "GET /p?q=1 HTTP/1.1\r\nhost: APP.Test\r\nx-real-ip: 127.0.0.9\r\nx-forwarded-for: 127.0.0.9\r\n\
         x-forwarded-proto: http\r\nx-forwarded-host: APP.Test\r\nx-forwarded-port: 19002\r\n\r\n",
        "As in HAProxy: the host is forwarded as the client wrote it.",
    ),
    ("absolute_form_other_host", "", "As in HAProxy: two hosts are ambiguous."),
    ("absolute_form_port", "", "As in HAProxy: two hosts are ambiguous."),
    (
        "options_asterisk",
        "OPTIONS * HTTP/1.1\r\nhost: app.test{xf}\r\n\r\n",
        "As in HAProxy: RFC 9110, 9.3.7 allows it.",
    ),
    (
        "post_chunked_ext_trailers",
        "POST /p?q=1 HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\ntrailer: X-T{xf}\r\n\r\n\
         5\r\nhello\r\n3\r\nabc\r\n0\r\nx-t: v\r\n\r\n",
        "As in HAProxy: bodies are streamed with their trailers. nginx collects the body and drops them.",
    ),
];

/// The forwarding fields of most cases.
const LIKE_NGINX: &str = "\r\nx-real-ip: 127.0.0.9\r\nx-forwarded-for: 127.0.0.9\r\nx-forwarded-proto: http\r\n\
                          x-forwarded-host: app.test\r\nx-forwarded-port: 19002";

/// The forwarding fields of nginx's recorded configuration. It trusts every client to begin `X-Forwarded-For`.
fn like_nginx() -> ReverseProxyLayer {
    let all: TrustedProxies = "0.0.0.0/0, ::/0".parse().expect("networks");
    let fields = ForwardingFields::behind(all).all(FieldAction::Replace);
    ReverseProxyLayer::new().forwarding(fields.x_forwarded_for(FieldAction::Append).forwarded(FieldAction::Keep))
}

/// Returns the request line, the fields in the order of their names, and the body.
fn parsed(request: &[u8]) -> (String, Vec<(String, String)>, String) {
    let text: String = request.iter().map(|byte| char::from(*byte)).collect();
    let (head, body) = text.split_once("\r\n\r\n").expect("the end of the head");
    let mut lines = head.split("\r\n");
    let line = lines.next().expect("a request line").to_owned();
    let mut fields: Vec<_> = lines
        .map(|line| line.split_once(':').expect("a field"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    // Stable, so the order of lines with one name is compared.
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    (line, fields, body.to_owned())
}

#[tokio::test(start_paused = true)]
async fn well_formed_requests_are_forwarded_as_nginx_does() {
    let mut wrong = Vec::new();
    for case in cases(include_str!("../golden/proxy_headers.json")) {
        let name = case["case"].as_str().expect("a name");
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let seen = exchange(like_nginx(), &bytes(&case["request"]), answer).await;
        let ours = seen.upstream.first().map(|request| parsed(request));
        let nginx = case["nginx_typical"]["upstream"].as_array().expect("a list").first().map(|r| parsed(&bytes(r)));
        let difference = DIFFERENCES.iter().find(|(case, ..)| *case == name);
        let expected = match difference {
            Some((_, "", _)) => None,
            Some((_, request, _)) => Some(parsed(request.replace("{xf}", LIKE_NGINX).as_bytes())),
            None => nginx.clone(),
        };
        if difference.is_some() && expected == nginx {
            wrong.push(format!("{name}: is no difference"));
        }
        if ours != expected {
            wrong.push(format!("{name} ({:?}):\n  {ours:?}\n  {expected:?}", seen.status()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
