//! tonic's channels as targets. The messages are plain bytes: what is tested is around them.

use bytes::{Buf, BufMut, Bytes};
use equipoise::{
    EndpointSpec, Failure, Pool, Verdict,
    tower::{Balance, Http},
};
use equipoise_tests::{Answer, Backend, Recorder, Reserved, soon};
use http::{HeaderMap, HeaderValue, Response, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use tonic::{
    Code, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

use crate::setup::in_flight;

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// A server of one method, which answers `text` and ends with this status, or with no trailers.
fn server(text: &'static str, status: Option<&'static str>) -> Backend {
    Backend::answering(move |_| {
        // Not compressed, and how long it is.
        let message = [&[0, 0, 0, 0, text.len() as u8], text.as_bytes()].concat();
        let body = Full::new(Bytes::from(message)).map_err(|never| match never {});
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
    let specs = addresses.iter().map(|(name, address)| EndpointSpec::new(address).named(*name));
    let connect =
        |spec: &EndpointSpec| Endpoint::from_shared(format!("http://{}", spec.address())).unwrap().connect_lazy();
    pool.update(specs, connect).unwrap();
    (pool, recorder)
}

async fn call(balance: Balance<Channel>) -> Result<Bytes, Status> {
    let mut grpc = Grpc::new(balance);
    soon(async {
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/orders.Orders/Today");
        Ok(grpc.unary(tonic::Request::new(Bytes::from_static(b"which")), path, Raw).await?.into_inner())
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
    // What tonic makes of it is tonic's affair.
    let _ = call(Balance::new(pool.clone())).await;
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Transport))]);
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test]
async fn a_call_that_was_refused_goes_elsewhere() {
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
    let balance = Balance::with_protocol(pool.clone(), Http::new());
    assert_eq!(call(balance.clone()).await.unwrap(), "a");
    a.stop().await;
    // The channel may find out by the first call, which may then have reached the server and is not repeated.
    if let Ok(answer) = call(balance.clone()).await {
        assert_eq!(answer, "b");
    }
    for _ in 0..4 {
        assert_eq!(call(balance.clone()).await.unwrap(), "b");
    }
    assert_eq!(in_flight(&pool), [0, 0]);
}
