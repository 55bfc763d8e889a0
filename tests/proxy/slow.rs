//! Clients that read nothing of their responses.

use equipoise_tests::soon;
use http::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    app,
    setup::{Proxy, Version, frames},
};

#[tokio::test]
async fn clients_that_read_nothing_hold_up_no_other_client_of_the_same_endpoint() {
    for endpoint in [Version::Http1, Version::Http2] {
        let proxy = Proxy::start(app::start().await, endpoint).await;
        let mut slow = Vec::new();
        for _ in 0..20 {
            let mut client = proxy.connect().await;
            client.write_all(b"GET /endless HTTP/1.1\r\nhost: app.test\r\n\r\n").await.expect("open");
            // More than the buffers of the proxy: the response is being forwarded.
            let mut part = vec![0; 1 << 20];
            soon(client.read_exact(&mut part)).await.expect("a response");
            slow.push(client);
        }
        for _ in 0..100 {
            let request = Request::get("/hello").body(frames([])).expect("a request");
            let response = soon(proxy.send(Version::Http1, request)).await;
            assert_eq!(soon(response.into_body().collect()).await.expect("a body").to_bytes(), "hello", "{endpoint:?}");
        }
    }
}
