//! tonic's client and server with the proxy between them. The server applies no deadline of its own.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_tests::{Raw, Reserved, soon};
use futures::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
};
use tonic::{
    Code, Request, Response, Status, Streaming,
    client::Grpc,
    metadata::{MetadataMap, MetadataValue},
    transport::{Channel, Endpoint},
};
use tower::service_fn;

use crate::setup::{Proxy, Version};

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What the server tells the test.
#[derive(Clone)]
struct Observed {
    /// Has one permit for each call of `Wait` that has begun.
    begun: Arc<Semaphore>,
    /// Has one permit for each call of `Wait` that the server has dropped.
    dropped: Arc<Semaphore>,
}

/// Adds a permit when it is dropped.
struct OnDrop(Arc<Semaphore>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// Never ends.
async fn wait(observed: Observed) {
    let _dropped = OnDrop(observed.dropped);
    observed.begun.add_permits(1);
    std::future::pending::<()>().await;
}

/// Answers a call.
async fn answer(request: http::Request<Incoming>, observed: Observed) -> http::Response<tonic::body::Body> {
    let mut grpc = tonic::server::Grpc::new(Raw);
    match request.uri().path() {
        "/test.Test/Echo" => {
            let echo = service_fn(async |request: Request<Bytes>| {
                let (metadata, _, message) = request.into_parts();
                let mut response = Response::new(message);
                *response.metadata_mut() = metadata;
                Ok(response)
            });
            grpc.unary(echo, request).await
        }
        "/test.Test/Fail" => {
            grpc.unary(service_fn(async |_: Request<Bytes>| Err::<Response<Bytes>, _>(status())), request).await
        }
        "/test.Test/Join" => {
            let join = service_fn(async |request: Request<Streaming<Bytes>>| {
                let mut messages = request.into_inner();
                let mut joined = Vec::new();
                while let Some(message) = messages.message().await? {
                    joined.extend(message);
                }
                Ok(Response::new(Bytes::from(joined)))
            });
            grpc.client_streaming(join, request).await
        }
        "/test.Test/List" => {
            let list = service_fn(async |_: Request<Bytes>| {
                let messages = ["one", "two"].map(|message| Ok(Bytes::from(message)));
                Ok(Response::new(stream::iter(messages.into_iter().chain([Err(status())]))))
            });
            grpc.server_streaming(list, request).await
        }
        "/test.Test/Talk" => {
            let talk = service_fn(async |request: Request<Streaming<Bytes>>| {
                let reversed = |message: Bytes| message.iter().rev().copied().collect::<Bytes>();
                Ok(Response::new(request.into_inner().map(move |message| message.map(reversed))))
            });
            grpc.streaming(talk, request).await
        }
        "/test.Test/Wait" => {
            let waiting = service_fn(|_: Request<Bytes>| {
                let observed = observed.clone();
                async move {
                    wait(observed).await;
                    Ok(Response::new(Bytes::new()))
                }
            });
            grpc.unary(waiting, request).await
        }
        "/test.Test/WaitAfterOne" => {
            let waiting = service_fn(|_: Request<Bytes>| {
                let never = stream::once(wait(observed.clone())).map(|()| Ok(Bytes::new()));
                async { Ok(Response::new(Box::pin(stream::iter([Ok(Bytes::from("one"))]).chain(never)) as Messages)) }
            });
            grpc.server_streaming(waiting, request).await
        }
        _ => Status::unimplemented("").into_http(),
    }
}

/// A status with all its parts.
fn status() -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("x-reason", MetadataValue::from_static("full"));
    Status::with_details_and_metadata(Code::Aborted, "try 50 % later: ß", Bytes::from_static(&[0, 1, 255]), metadata)
}

fn assert_is_status(status: &Status) {
    let expected = self::status();
    assert_eq!(
        (status.code(), status.message(), status.details()),
        (expected.code(), expected.message(), expected.details())
    );
    assert_eq!(status.metadata().get("x-reason").expect("its metadata"), "full");
}

struct Site {
    proxy: Proxy,
    observed: Observed,
    grpc: Grpc<Channel>,
}

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let observed = Observed { begun: Arc::new(Semaphore::new(0)), dropped: Arc::new(Semaphore::new(0)) };
        let server = observed.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let observed = server.clone();
                let service = hyper::service::service_fn(move |request| {
                    let answer = answer(request, observed.clone());
                    async { Ok::<_, std::convert::Infallible>(answer.await) }
                });
                let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http2.serve_connection(TokioIo::new(stream), service));
            }
        });
        let proxy = Proxy::start(address, Version::Http2).await;
        let grpc = client(&proxy);
        Self { proxy, observed, grpc }
    }
}

fn client(proxy: &Proxy) -> Grpc<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.address)).expect("a URI");
    Grpc::new(endpoint.connect_lazy())
}

fn path(method: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(method)
}

/// Calls a method with one message.
async fn unary(
    grpc: &mut Grpc<Channel>,
    method: &'static str,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Status> {
    soon(async {
        grpc.ready().await.expect("a connection");
        grpc.unary(request, path(method), Raw).await
    })
    .await
}

#[tokio::test]
async fn unary_calls_pass_with_their_metadata() {
    let mut site = Site::start().await;
    let binary = MetadataValue::from_bytes(&[0, 255, 10, 13]);
    for length in [0, 5, 1 << 20] {
        let message = Bytes::from(vec![b'm'; length]);
        let mut request = Request::new(message.clone());
        request.metadata_mut().insert("x-text", MetadataValue::from_static("a, b"));
        request.metadata_mut().insert_bin("x-binary-bin", binary.clone());
        let response = unary(&mut site.grpc, "/test.Test/Echo", request).await.expect("an answer");
        assert_eq!(response.metadata().get("x-text").expect("returned"), "a, b");
        assert_eq!(response.metadata().get_bin("x-binary-bin").expect("returned"), &binary);
        assert!(*response.get_ref() == message, "{length}");
    }
    assert_eq!(site.proxy.counts().await, (3, 0));
}

#[tokio::test]
async fn messages_of_a_client_stream_arrive_in_order() {
    let mut site = Site::start().await;
    let messages: Vec<Bytes> = (0..200).map(|number: u32| Bytes::from(format!("{number} ").repeat(50))).collect();
    let request = Request::new(stream::iter(messages.clone()));
    let response = soon(async {
        site.grpc.ready().await.expect("a connection");
        site.grpc.client_streaming(request, path("/test.Test/Join"), Raw).await
    });
    assert_eq!(response.await.expect("an answer").into_inner(), messages.concat());
}

#[tokio::test]
async fn a_server_stream_ends_with_the_status_in_its_trailers() {
    let mut site = Site::start().await;
    let request = Request::new(Bytes::new());
    site.grpc.ready().await.expect("a connection");
    let response = soon(site.grpc.server_streaming(request, path("/test.Test/List"), Raw)).await.expect("an answer");
    let mut messages = response.into_inner();
    assert_eq!(soon(messages.message()).await.expect("a message").expect("a message"), "one");
    assert_eq!(soon(messages.message()).await.expect("a message").expect("a message"), "two");
    assert_is_status(&soon(messages.message()).await.expect_err("a status"));
}

#[tokio::test]
async fn both_sides_of_a_stream_talk_in_turns() {
    let mut site = Site::start().await;
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let messages = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    site.grpc.ready().await.expect("a connection");
    // The head of the answer comes before the first message of the client.
    let talk = site.grpc.streaming(Request::new(messages), path("/test.Test/Talk"), Raw);
    let mut answers = soon(talk).await.expect("an answer").into_inner();
    for word in ["abc", "", "de", "f"] {
        sender.send(Bytes::from(word)).await.expect("the client reads");
        let answer = soon(answers.message()).await.expect("no error").expect("an answer");
        assert_eq!(answer, word.chars().rev().collect::<String>());
    }
    drop(sender);
    assert!(soon(answers.message()).await.expect("no error").is_none());
    assert_eq!(site.proxy.counts().await, (1, 0));
}

#[tokio::test]
async fn a_status_without_a_message_passes_as_trailers_only() {
    let mut site = Site::start().await;
    let status = unary(&mut site.grpc, "/test.Test/Fail", Request::new(Bytes::new())).await.expect_err("a status");
    assert_is_status(&status);
    let status = unary(&mut site.grpc, "/test.Test/None", Request::new(Bytes::new())).await.expect_err("a status");
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(site.proxy.counts().await, (2, 0));
}

#[tokio::test]
async fn the_deadline_of_a_call_passes_to_the_server() {
    let mut site = Site::start().await;
    let mut request = Request::new(Bytes::new());
    request.set_timeout(Duration::from_secs(600));
    let response = unary(&mut site.grpc, "/test.Test/Echo", request).await.expect("an answer");
    assert_eq!(response.metadata().get("grpc-timeout").expect("returned"), "600000m");
}

#[tokio::test]
async fn a_call_whose_deadline_has_passed_ends_at_the_server() {
    let mut site = Site::start().await;
    let mut request = Request::new(Bytes::new());
    request.set_timeout(Duration::from_millis(200));
    let status = unary(&mut site.grpc, "/test.Test/Wait", request).await.expect_err("a status");
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    soon(site.observed.dropped.acquire()).await.expect("not closed").forget();
}

#[tokio::test]
async fn a_stream_that_the_client_drops_ends_at_the_server() {
    let mut site = Site::start().await;
    site.grpc.ready().await.expect("a connection");
    let list = site.grpc.server_streaming(Request::new(Bytes::new()), path("/test.Test/WaitAfterOne"), Raw);
    let mut messages = soon(list).await.expect("an answer").into_inner();
    assert_eq!(soon(messages.message()).await.expect("a message").expect("a message"), "one");
    soon(site.observed.begun.acquire()).await.expect("not closed").forget();
    drop(messages);
    soon(site.observed.dropped.acquire()).await.expect("not closed").forget();
    // The connection to the server is still used.
    unary(&mut site.grpc, "/test.Test/Echo", Request::new(Bytes::new())).await.expect("an answer");
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_unavailable() {
    let nobody = Reserved::new().expect("a port");
    let proxy = Proxy::start(nobody.address(), Version::Http2).await;
    let status = unary(&mut client(&proxy), "/test.Test/Echo", Request::new(Bytes::new())).await.expect_err("a status");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}
