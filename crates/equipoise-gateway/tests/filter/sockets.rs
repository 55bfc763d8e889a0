use equipoise_core::{EndpointSpec, Pool};
use equipoise_gateway::filter::{FilterLayer, FilterRules, RejectText, RequestBodyFilterLayer};
use equipoise_http::Upstream;
use equipoise_proxy::{ReverseProxy, headers::ConnectionInfo};
use equipoise_tower::Balance;
use http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::{ServiceBuilder, ServiceExt};

use super::{Chunks, Reply, reply};

/// Starts an endpoint that answers when it has read the last chunk of a request, and returns its address.
async fn endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    request.extend_from_slice(&buffer[..length]);
                    if request.ends_with(b"\r\n0\r\n\r\n") {
                        request.clear();
                        let response = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        stream.write_all(response.as_bytes()).await.expect("an open connection");
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn an_endpoint_is_not_blamed_for_a_body_that_is_rejected() {
    let pool = Pool::default();
    let spec = EndpointSpec::new(endpoint().await);
    pool.try_update([spec], |spec| Upstream::new(spec.address())).expect("an address");
    let filter = FilterLayer::new(FilterRules::default()).max_body_bytes(8);
    let reject = RequestBodyFilterLayer::new(RejectText::new(["evil"]).expect("texts"));
    let layers = ServiceBuilder::new().layer(filter.clone()).layer(reject.clone());
    let proxy = ReverseProxy::new(layers.service(Balance::new(pool.clone()).incoming()));
    let send = async |chunks: &'static [&'static str]| -> Reply {
        let request = Request::post("/").header("host", "app.test").header("transfer-encoding", "chunked");
        let mut request = request.body(Chunks::new(chunks)).expect("a request");
        request.extensions_mut().insert(ConnectionInfo::new());
        reply(proxy.clone().oneshot(request).await.expect("a response")).await
    };
    assert_eq!(send(&["1234", "5678"]).await.status, 200);
    let long = send(&["1234", "5678", "9"]).await;
    assert_eq!((long.status, long.code), (413, Some("body_too_large")));
    let evil = send(&["12ev", "il"]).await;
    assert_eq!((evil.status, evil.code), (403, Some("body_rejected")));
    assert_eq!(send(&["12ev", "i"]).await.status, 200);
    assert_eq!((filter.stats().too_large, reject.stats().rejected), (1, 1));
    let requests = pool.endpoints()[0].requests;
    assert_eq!((requests.total, requests.success, requests.failure_transport), (4, 2, 0), "{requests:?}");
}
