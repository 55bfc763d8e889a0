use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_proxy::{
    listen::Established,
    server::{Server, ServerLimits},
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, channel::Channel};
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Semaphore;
use tower::{Service, service_fn};

use crate::{LONG, SHORT, Text, answers, get, long, start};

/// A body that never ends. It tells when it is dropped.
struct Endless(Arc<Semaphore>);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1024])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[tokio::test]
async fn a_stream_whose_client_takes_nothing_is_reset() {
    let dropped = Arc::new(Semaphore::new(0));
    let endless = service_fn({
        let dropped = Arc::clone(&dropped);
        move |_: Request<Incoming>| {
            let body = Endless(Arc::clone(&dropped));
            async { Ok::<_, Infallible>(Response::new(body)) }
        }
    });
    let running = start!(endless, long().write_timeout(SHORT));
    // Without any window, nothing of the body passes.
    for window in [0, 10_000] {
        let mut client = running.http2(window).await;
        let response = client.send_request(get()).await.expect("a response");
        drop(client);
        dropped.acquire().await.expect("not closed").forget();
        // Reads only now what the server has sent: reading opens the window.
        let mut body = response.into_body();
        let mut received = 0;
        while let Some(Ok(frame)) = body.frame().await {
            received += frame.data_ref().map_or(0, Bytes::len);
        }
        assert!(received <= window as usize, "{received}");
    }
    // The connections are closed when their last stream has ended.
    assert_eq!(running.server.shutdown(LONG).await, 0);
    assert_eq!(running.server.stats().write_timeouts, 2);
}

/// Serves a connection whose responses have frames of 64 KiB, of which the client's flow control lets a few bytes pass at
/// once.
macro_rules! large_frames {
    ($client:ident, $server:ident, $serving:ident, $body:expr, $limits:expr) => {
        let large = service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new($body)));
        let $server = Server::with_limits(large, $limits);
        let (client, stream) = tokio::io::duplex(1 << 20);
        let $serving = tokio::spawn($server.serve_connection(Established::new(stream).into()));
        let client = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(8 * 1024)
            .handshake(TokioIo::new(client))
            .await
            .expect("HTTP/2");
        let (mut $client, connection): (SendRequest<Full<Bytes>>, _) = client;
        tokio::spawn(connection);
    };
}

const LARGE: &[u8] = &[b'.'; 64 * 1024];

/// A body of one frame.
fn one_frame() -> Full<Bytes> {
    Full::from(LARGE)
}

/// Returns a body of three frames.
async fn three_frames() -> Channel<Bytes, Infallible> {
    let (mut sender, body) = Channel::new(3);
    for _ in 0..3 {
        sender.send_data(Bytes::from_static(LARGE)).await.expect("room");
    }
    body
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_client_takes_its_frames_slowly_is_not_reset() {
    // The client takes each frame for four times this time, and nothing for at most half of it.
    large_frames!(client, server, serving, three_frames().await, long().write_timeout(LONG / 4));
    let mut body = client.send_request(get()).await.expect("a response").into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame.expect("not reset").data_ref().map_or(0, Bytes::len);
        tokio::time::sleep(LONG / 8).await;
    }
    assert_eq!((received, server.stats().write_timeouts), (3 * LARGE.len(), 0));
    drop(client);
    serving.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_not_idle_while_its_client_takes_the_last_frame() {
    // The client takes each response for twice this time, and nothing for at most half of it.
    large_frames!(client, server, serving, one_frame(), long().keep_alive_timeout(LONG / 2));
    for _ in 0..2 {
        let mut body = client.send_request(get()).await.expect("a response").into_body();
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += frame.expect("not reset").data_ref().map_or(0, Bytes::len);
            if received < LARGE.len() {
                tokio::time::sleep(LONG / 8).await;
            }
        }
        assert_eq!((received, server.stats().idle_timeouts), (LARGE.len(), 0));
    }
    drop(client);
    serving.await.expect("no panic");
    assert_eq!(server.stats().write_timeouts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_client_does_not_take_the_last_frame_is_closed() {
    large_frames!(client, server, serving, one_frame(), long().write_timeout(SHORT).keep_alive_timeout(2 * LONG));
    let response = client.send_request(get()).await.expect("a response");
    serving.await.expect("no panic");
    assert_eq!((server.stats().write_timeouts, server.stats().idle_timeouts), (1, 0));
    drop(response);
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let running = start!(answers(), long().keep_alive_timeout(SHORT));
    let (mut client, closed) = running.http2_until_closed(65_535).await;
    client.send_request(get()).await.expect("a response").into_body().collect().await.expect("a body");
    closed.await.expect("no panic").expect("closed in order");
    assert_eq!(running.server.stats().idle_timeouts, 1);
}

#[tokio::test]
async fn a_client_that_cancels_all_its_requests_is_closed() {
    let begun = Arc::new(Semaphore::new(0));
    let never = service_fn({
        let begun = Arc::clone(&begun);
        move |_: Request<Incoming>| {
            begun.add_permits(1);
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
        }
    });
    let running = start!(never, long().max_reset_streams(20));
    let mut client = running.http2(65_535).await;
    let mut cancelled = 0;
    while client.ready().await.is_ok() {
        let request = client.send_request(get());
        tokio::select! {
            response = request => assert!(response.is_err(), "no request is answered"),
            // Dropping the request cancels it.
            permit = begun.acquire() => permit.expect("not closed").forget(),
        }
        cancelled += 1;
        assert!(cancelled < 1_000, "not closed");
    }
    assert!(cancelled > 20, "{cancelled}");
    assert_eq!(running.server.shutdown(LONG).await, 0);
    let stats = running.server.stats();
    assert_eq!(stats.floods, 1, "{stats:?}");
}

/// How a [`Broken`] service fails.
#[derive(Clone, Copy, PartialEq)]
enum Fails {
    WhenPolled,
    WhenCalled,
    ByPanic,
}

#[derive(Clone)]
struct Broken(Fails);

impl Service<Request<Incoming>> for Broken {
    type Response = Text;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Text>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(if self.0 == Fails::WhenPolled { Err(io::Error::other("broken")) } else { Ok(()) })
    }

    fn call(&mut self, _: Request<Incoming>) -> Self::Future {
        let fails = self.0;
        Box::pin(async move {
            assert!(fails != Fails::ByPanic, "this panic is a part of the test");
            Err(io::Error::other("broken"))
        })
    }
}

#[tokio::test]
async fn requests_that_the_service_fails_do_not_count_as_cancelled() {
    for fails in [Fails::WhenPolled, Fails::WhenCalled, Fails::ByPanic] {
        let running = start!(Broken(fails), long().max_reset_streams(2));
        let mut client = running.http2(65_535).await;
        for _ in 0..8 {
            client.ready().await.expect("open");
            assert!(client.send_request(get()).await.is_err());
        }
        drop(client);
        assert_eq!(running.server.shutdown(LONG).await, 0);
        assert_eq!(running.server.stats().floods, 0);
    }
}

#[tokio::test]
async fn the_last_request_of_an_http2_connection_closes_it() {
    let running = start!(answers(), long().max_requests_per_connection(2));
    let mut client = running.http2(65_535).await;
    let mut answered = 0;
    while client.ready().await.is_ok() {
        match client.send_request(get()).await {
            Ok(response) => drop(response.into_body().collect().await.expect("a body")),
            Err(_) => break,
        }
        answered += 1;
    }
    // Requests that are on their way when the connection is closed are served too.
    assert!((2..100).contains(&answered), "{answered}");
}

/// Uploads bodies that the service does not read, and then one that it reads. Returns whether that one arrives.
async fn arrives_beside(stalled: usize, limits: ServerLimits) -> bool {
    const SIZE: usize = 128 * 1024;
    let service = service_fn(async |request: Request<Incoming>| {
        if request.uri().path() == "/stalled" {
            std::future::pending::<()>().await;
        }
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(body.len().to_string())))
    });
    let server = Server::with_limits(service, limits);
    let (client, stream) = tokio::io::duplex(1 << 20);
    tokio::spawn(server.serve_connection(Established::new(stream).into()));
    let handshake = Builder::new(TokioExecutor::new()).handshake(TokioIo::new(client));
    let (client, connection): (SendRequest<Full<Bytes>>, _) = handshake.await.expect("HTTP/2");
    tokio::spawn(connection);
    let upload = |path: &str| {
        let request = Request::post(format!("http://app.test{path}")).body(Full::from(vec![b'.'; SIZE]));
        let (mut client, request) = (client.clone(), request.expect("a request"));
        async move { client.send_request(request).await }
    };
    for _ in 0..stalled {
        tokio::spawn(upload("/stalled"));
    }
    // The clock is paused, so this waits until nothing else can run: all have sent what they may.
    tokio::time::sleep(SHORT).await;
    match tokio::time::timeout(SHORT, upload("/")).await {
        Ok(response) => {
            let body = response.expect("a response").into_body().collect().await.expect("a body").to_bytes();
            body == SIZE.to_string()
        }
        Err(_) => false,
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_not_read_do_not_stop_others_until_the_window_is_used_up() {
    assert!(arrives_beside(7, long()).await);
    // By default, 8 bytes would be left: 512 KiB are that much more than 8 windows of streams.
    let limits = long().http2_connection_window(8 * 65_535);
    assert!(!arrives_beside(8, limits.clone()).await);
    assert!(arrives_beside(8, limits.http2_stream_window(32 * 1024)).await);
}
