//! gRPC.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2 as client,
    server::conn::http2 as server,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use super::start;
use crate::{client::soon, process::Folder};

/// A message of gRPC: five bytes with its length, and the message.
const MESSAGE: &[u8] = b"\0\0\0\0\x02ok";

/// Sends back the messages of a call, and then the status in trailers.
async fn answer(
    name: &'static str,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    assert_eq!(request.headers()["te"], "trailers");
    let message = request.into_body().collect().await.unwrap().to_bytes();
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::from(message).with_trailers(async move { Some(Ok(trailers)) });
    let response = Response::builder().header("content-type", "application/grpc").header("x-server", name);
    Ok(response.body(body.boxed()).unwrap())
}

/// Starts a server of HTTP/2 without TLS. Returns its address.
async fn serve(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request| answer(name, request));
            tokio::spawn(server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test]
async fn calls_on_one_connection_are_spread_over_the_servers_with_their_trailers() {
    let (servers, folder) = ([serve("a").await, serve("b").await], Folder::new());
    let config = include_str!("../../uses/grpc.toml");
    let gateway = start(&folder, config, &servers.each_ref().map(String::as_str)).await;
    let stream = soon(TcpStream::connect(&gateway.addresses[0])).await.unwrap();
    let (mut sender, connection) = client::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut call = async |method: &str| {
        let request = Request::post(format!("http://orders.test{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from_static(MESSAGE)))
            .unwrap();
        soon(sender.send_request(request)).await.unwrap()
    };
    let mut used = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let response = call("/shop.Orders/List").await;
        assert_eq!(response.status(), 200);
        used.insert(response.headers()["x-server"].clone());
        let mut body = response.into_body();
        let (mut message, mut trailers) = (Vec::new(), None);
        while let Some(frame) = soon(body.frame()).await {
            match frame.unwrap().into_data() {
                Ok(data) => message.extend(data),
                Err(frame) => trailers = Frame::into_trailers(frame).ok(),
            }
        }
        assert_eq!(message, MESSAGE);
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    }
    assert_eq!(used.len(), 2, "both servers");
    // This address is none of the administration: PERMISSION_DENIED. There is no such service: UNIMPLEMENTED.
    for (method, status) in [("/shop.Admin/Delete", "7"), ("/shop.Other/List", "12")] {
        let denied = call(method).await;
        assert_eq!(denied.status(), 200);
        assert_eq!(denied.headers()["grpc-status"], status, "{method}");
    }
}
