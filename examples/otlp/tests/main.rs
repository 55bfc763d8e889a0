//! Runs the parts of the example, and compares the exported spans with what the backends have got.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

#[path = "../collector.rs"]
mod collector;
#[path = "../export.rs"]
mod export;
#[path = "../shop.rs"]
mod shop;
#[path = "../tree.rs"]
mod tree;

use equipoise::{
    EndpointSpec, HttpClient, Pool, Upstream,
    proxy::{ReverseProxy, server::Server},
};
use http::Request;
use http_body_util::Full;
use opentelemetry_proto::tonic::trace::v1::{
    Span,
    span::SpanKind::{Client, Server as ServerKind},
    status::StatusCode,
};
use tokio::net::TcpListener;

use self::{collector::Collector, shop::Backend};

fn field(span: &Span, name: &str) -> Option<String> {
    let field = span.attributes.iter().find(|field| field.key == name)?;
    field.value.as_ref().map(tree::value_text)
}

fn children<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a Span> {
    let mut found: Vec<_> = spans.iter().filter(|span| span.parent_span_id == parent.span_id).collect();
    found.sort_by_key(|span| span.start_time_unix_nano);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exported_tree_has_each_request_with_its_attempts() {
    let collector = Collector::start().await.unwrap();
    let exporting = export::start(&collector.url()).unwrap();
    let shop = shop::open().await.unwrap();
    assert_eq!(shop.order().await.unwrap(), "order 7");
    exporting.finish().await.unwrap();

    let spans = collector.spans();
    let text = tree::text(&spans);
    assert_eq!(spans.len(), 5, "{text}");
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let root = spans.iter().find(|span| span.parent_span_id.is_empty()).unwrap();
    assert_eq!((root.kind, field(root, "equipoise.pool").as_deref()), (Client as i32, Some("proxy")));
    let [sent] = children(&spans, root)[..] else { panic!("{text}") };
    // From the client to the proxy over a socket.
    let [served] = children(&spans, sent)[..] else { panic!("{text}") };
    assert_eq!((served.name.as_str(), served.kind), ("GET", ServerKind as i32));
    assert_eq!(field(served, "url.path").as_deref(), Some("/orders/7"));
    assert_eq!(field(served, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!(field(served, "equipoise.attempts").as_deref(), Some("2"));
    let events: Vec<_> = served.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["pick", "failover", "pick"]);

    let [first, second] = children(&spans, served)[..] else { panic!("{text}") };
    assert_eq!((first.kind, second.kind), (Client as i32, Client as i32));
    assert_eq!(field(first, "http.request.resend_count"), None);
    assert_eq!(field(second, "http.request.resend_count").as_deref(), Some("1"));
    assert_eq!(first.status.as_ref().unwrap().code, StatusCode::Error as i32);
    assert_eq!(field(first, "error.type").as_deref(), Some("no_response"));
    assert_eq!(field(first, "server.port"), Some(shop.broken.address.port().to_string()));
    assert_eq!(field(second, "server.port"), Some(shop.working.address.port().to_string()));
    assert_eq!(field(second, "url.full"), Some(format!("http://{}/orders/7", shop.working.address)));

    for (backend, attempt) in [(&shop.broken, first), (&shop.working, second)] {
        let sent = format!("00-{}-{}-01", tree::hex(&attempt.trace_id), tree::hex(&attempt.span_id));
        assert_eq!(backend.traceparents(), [sent]);
    }
}

#[tokio::test]
async fn a_proxy_without_traces_passes_the_context_of_the_client_on() {
    let backend = Backend::start(true).await.unwrap();
    let pool_of = |address: String| {
        let pool = Pool::default();
        pool.try_update([EndpointSpec::new(address)], |spec| Upstream::new(spec.address())).unwrap();
        HttpClient::new(pool)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = pool_of(listener.local_addr().unwrap().to_string());
    let proxy = ReverseProxy::new(pool_of(backend.address.to_string()));
    tokio::spawn(Server::new(proxy).serve(listener));
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::get("http://shop.example/").header("traceparent", traceparent);
    let response = client.call(request.body(Full::<bytes::Bytes>::default()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(backend.traceparents(), [traceparent]);
}
