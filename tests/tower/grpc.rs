//! tonic's channels as targets. Messages are plain bytes, because the tests are not about their content.

use std::time::Duration;

use bytes::Bytes;
use equipoise::{
    EndpointSpec, Failure, Pool, Verdict,
    tower::{Balance, BalancedChannel, BalancedChannelError, HttpProtocol, balanced_channel},
};
use equipoise_tests::{Answer, Backend, Raw, Recorder, Reserved, soon};
use http::{HeaderMap, HeaderValue, Response, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use tonic::{
    Code, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};

use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    goaway::{GoAway, http2},
    setup::in_flight,
};

/// A server that answers every call with `text`, and ends with this status or without trailers.
fn server(text: &'static str, status: Option<&'static str>) -> Backend {
    Backend::answering(move |_| {
        let body = Full::new(Bytes::from(framed(text.as_bytes()))).map_err(|never| match never {});
        let trailers = status.map(|status| {
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(status))]);
            Ok(trailers)
        });
        let response: Answer = Response::new(body.with_trailers(async { trailers }).boxed());
        let (mut head, body) = response.into_parts();
        head.headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        Response::from_parts(head, body)
    })
    .unwrap()
}

fn pool(addresses: &[(&str, String)]) -> (Pool<Channel>, Recorder) {
    let recorder = Recorder::new();
    let pool = Pool::new(recorder.clone());
    let specs = addresses.iter().map(|(name, address)| EndpointSpec::new(address).with_id(*name));
    let connect =
        |spec: &EndpointSpec| Endpoint::from_shared(format!("http://{}", spec.address())).unwrap().connect_lazy();
    pool.update(specs, connect).unwrap();
    (pool, recorder)
}

async fn call<S>(service: S) -> Result<Bytes, Status>
where
    S: tonic::client::GrpcService<
            tonic::body::Body,
            Error: std::fmt::Debug,
            ResponseBody: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
        >,
{
    call_within(service, None).await
}

async fn call_within<S>(service: S, time: Option<Duration>) -> Result<Bytes, Status>
where
    S: tonic::client::GrpcService<
            tonic::body::Body,
            Error: std::fmt::Debug,
            ResponseBody: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
        >,
{
    let mut grpc = Grpc::new(service);
    soon(async {
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/orders.Orders/Today");
        let mut request = tonic::Request::new(Bytes::from_static(b"which"));
        if let Some(time) = time {
            request.set_timeout(time);
        }
        Ok(grpc.unary(request, path, Raw).await?.into_inner())
    })
    .await
}

#[tokio::test]
async fn a_call_goes_through_the_channel_of_the_endpoint_that_was_picked() {
    let a = server("a", Some("0"));
    let (pool, recorder) = pool(&[("a", a.address())]);
    assert_eq!(call(Balance::new(pool.clone())).await.unwrap(), "a");
    assert_eq!(a.seen()[0].uri.path(), "/orders.Orders/Today");
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Success)]);
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test]
async fn the_status_in_the_trailers_is_the_verdict() {
    for (status, code, verdict) in [
        ("13", Code::Internal, Verdict::Failure(Failure::Server)),
        ("14", Code::Unavailable, Verdict::Failure(Failure::Gateway)),
        ("5", Code::NotFound, Verdict::Success),
        ("1", Code::Cancelled, Verdict::Neutral),
    ] {
        let a = server("a", Some(status));
        let (pool, recorder) = pool(&[("a", a.address())]);
        assert_eq!(call(Balance::new(pool.clone())).await.unwrap_err().code(), code);
        assert_eq!(recorder.verdicts(), [("a".into(), verdict)]);
        assert_eq!(in_flight(&pool), [0]);
    }
}

#[tokio::test]
async fn an_end_without_trailers_is_a_broken_connection() {
    let a = server("a", None);
    let (pool, recorder) = pool(&[("a", a.address())]);
    // The error that tonic returns is not part of this test.
    let _ = call(Balance::new(pool.clone())).await;
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Transport))]);
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test]
async fn a_refused_call_goes_to_another_endpoint() {
    let (a, b) = (Reserved::new().unwrap(), server("b", Some("0")));
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    assert_eq!(call(Balance::new(pool.clone())).await.unwrap(), "b");
    assert_eq!(b.seen().len(), 1);
    let verdicts = [("a".into(), Verdict::Failure(Failure::Connect)), ("b".into(), Verdict::Success)];
    assert_eq!(recorder.verdicts(), verdicts);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn calls_leave_a_killed_server_for_another() {
    let (mut a, b) = (server("a", Some("0")), server("b", Some("0")));
    let (pool, _) = pool(&[("a", a.address()), ("b", b.address())]);
    let balance = Balance::with_protocol(pool.clone(), HttpProtocol::new());
    assert_eq!(call(balance.clone()).await.unwrap(), "a");
    a.stop().await;
    // The channel may notice the end of the connection by the first call. This call may have reached the server, so it
    // is not repeated.
    if let Ok(answer) = call(balance.clone()).await {
        assert_eq!(answer, "b");
    }
    for _ in 0..4 {
        assert_eq!(call(balance.clone()).await.unwrap(), "b");
    }
    assert_eq!(in_flight(&pool), [0, 0]);
}

/// A message with the five bytes that gRPC puts before it: not compressed, and the length.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, message.len() as u8], message].concat()
}

#[tokio::test]
async fn a_call_above_the_last_stream_of_a_goaway_goes_to_another_endpoint_with_its_message() {
    for does in
        [GoAway::after_the_request(0, 0), GoAway::after_the_body(0, 0), GoAway::after_the_body(0, 0).and_close()]
    {
        let (a, b) = (http2(does), server("b", Some("0")));
        let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
        assert_eq!(call(BalancedChannel::new(pool)).await.unwrap(), "b");
        assert_eq!(b.seen()[0].body, framed(b"which"));
        let verdicts = [("a".into(), Verdict::Failure(Failure::Connect)), ("b".into(), Verdict::Success)];
        assert_eq!(recorder.verdicts(), verdicts);
    }
}

#[tokio::test]
async fn a_streaming_call_goes_to_another_endpoint_with_all_messages() {
    let (a, b) = (http2(GoAway::after_the_body(0, 0)), server("b", Some("0")));
    let (pool, _) = pool(&[("a", a.address()), ("b", b.address())]);
    let mut grpc = Grpc::new(BalancedChannel::new(pool));
    let messages = futures::stream::iter(["one", "two"].map(Bytes::from));
    let path = PathAndQuery::from_static("/orders.Orders/Place");
    let response = soon(async {
        grpc.ready().await?;
        grpc.client_streaming(tonic::Request::new(messages), path, Raw).await
    });
    assert_eq!(response.await.unwrap().into_inner(), "b");
    assert_eq!(b.seen()[0].body, [framed(b"one"), framed(b"two")].concat());
}

#[tokio::test]
async fn an_unprocessed_call_whose_message_may_not_be_kept_is_unavailable() {
    let (a, b) = (http2(GoAway::after_the_body(0, 0)), server("b", Some("0")));
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let balance = Balance::with_protocol(pool, HttpProtocol::new().max_replay_bytes(9));
    assert_eq!(call(BalancedChannel::from(balance)).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Connect))]);
    assert!(b.seen().is_empty());
}

#[tokio::test]
async fn an_empty_pool_is_unavailable() {
    let (pool, _) = pool(&[]);
    let plain = call(Balance::new(pool.clone())).await.unwrap_err();
    assert_eq!(plain.code(), Code::Unavailable);
    let channel = call(BalancedChannel::new(pool)).await.unwrap_err();
    assert_eq!((channel.code(), channel.message()), (Code::Unavailable, "the pool has no endpoints"));
}

#[tokio::test]
async fn a_failed_call_has_the_status_that_grpc_means_for_it_and_names_no_address() {
    let refusing = Reserved::new().unwrap();
    let status = call(balanced_channel([refusing.address()]).unwrap()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.message().contains("127.0.0.1"), "{status:?}");

    let silent = http2(GoAway::never());
    let channel = balanced_channel([format!("http://{}", silent.address())]).unwrap();
    let status = call_within(channel, Some(Duration::from_millis(50))).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);

    let breaking = http2(GoAway::after_the_request(1, 0).and_close());
    let status = call(balanced_channel([breaking.address()]).unwrap()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_balanced_channel_is_made_from_addresses_and_leaves_dead_ones_alone() {
    let (a, b) = (Reserved::new().unwrap(), server("b", Some("0")));
    let channel = balanced_channel([format!("http://{}", a.address()), b.address()]).unwrap();
    for _ in 0..8 {
        assert_eq!(call(channel.clone()).await.unwrap(), "b");
    }
    assert_eq!(in_flight(channel.pool()), [0, 0]);
    assert!(matches!(balanced_channel(["a:1", "a:1"]), Err(BalancedChannelError::Endpoints(_))));
}

#[tokio::test]
async fn a_balanced_channel_refuses_addresses_that_cannot_work() {
    for (address, reason) in [
        ("a", "neither a port nor a scheme"),
        ("no such thing", "white space"),
        ("", "no host"),
        ("http://", "no host"),
        ("a:0", "port"),
        ("http://a:80/path", "path"),
        ("a:80/path", "path"),
        ("http://a:80?x", "path"),
        ("http://me:secret@a:80", "user"),
        ("me@a:80", "user"),
        ("ftp://a:80", "scheme"),
        ("dns:///a:80", "scheme"),
        ("https://a", "BalancedChannel::new"),
        ("HTTPS://a:443", "BalancedChannel::new"),
        ("unix:/run/app.sock", "unix:///path"),
        ("unix:run/app.sock", "unix:///path"),
        ("UNIX:/run/app.sock", "unix:///path"),
        ("unix://host/run/app.sock", "unix:///path"),
        ("unix:///", "unix:///path"),
    ] {
        let error = balanced_channel(["b:1", address]).expect_err(address);
        let BalancedChannelError::Address(error) = error else { panic!("{address}: {error:?}") };
        assert_eq!(error.address(), address);
        assert!(error.reason().is_some_and(|said| said.contains(reason)), "{error}");
    }
    for address in ["a:1", "http://a", "HTTP://a:1/", "[::1]:1", "http://[::1]", "unix:///run/my app.sock"] {
        balanced_channel([address]).expect(address);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_balanced_channel_reaches_a_unix_socket() {
    let folder = std::env::temp_dir().join(format!("equipoise-grpc-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("orders.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let answer = hyper::service::service_fn(|_| async {
            let body = Full::new(Bytes::from(framed(b"by file")));
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
            let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
            Response::builder().header("content-type", "application/grpc").body(body)
        });
        let http2 = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
        let _ = http2.serve_connection(hyper_util::rt::TokioIo::new(stream), answer).await;
    });
    let channel = balanced_channel([format!("unix://{}", path.to_str().unwrap())]).unwrap();
    assert_eq!(call(channel).await.unwrap(), "by file");
    server.abort();
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn generated_clients_with_interceptors_take_a_balancer() {
    let (pool, _) = pool(&[]);
    let denied = |_| Err(Status::unauthenticated("who are you?"));
    let mut plain = HealthClient::with_interceptor(Balance::new(pool.clone()), denied);
    let mut channel = HealthClient::with_interceptor(BalancedChannel::new(pool.clone()), denied);
    let request = HealthCheckRequest::default;
    assert_eq!(soon(plain.check(request())).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(soon(channel.check(request())).await.unwrap_err().code(), Code::Unauthenticated);
    let mut admitted = HealthClient::with_interceptor(BalancedChannel::new(pool), Ok);
    assert_eq!(soon(admitted.check(request())).await.unwrap_err().code(), Code::Unavailable);
}
