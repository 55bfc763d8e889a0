use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use equipoise_affinity::source::PeerAddr;
use equipoise_tower::BoxError;
use http::{Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

use super::{Frames, encoded};
use crate::{
    DenialCode, ReplyBody,
    compression::{
        DecompressedBody, DecompressionError, DecompressionLayer, Encoding, EncodingStats, InvalidCompression,
    },
};

/// Sends a request to a service that reads the body, and fails if the body fails.
async fn send<B: Body<Data = Bytes> + Send + 'static>(
    layer: &DecompressionLayer,
    request: Request<B>,
) -> Result<Response<ReplyBody<Full<Bytes>>>, Arc<BoxError>>
where
    B::Error: Into<BoxError>,
{
    let service = layer.layer(service_fn(async |request: Request<DecompressedBody<B>>| {
        let names: Vec<_> = request.headers().keys().map(ToString::to_string).collect();
        let body = request.into_body().collect().await.map_err(Arc::new)?.to_bytes();
        Ok(Response::builder().header("x-fields", names.join(" ")).body(Full::new(body)).expect("valid"))
    }));
    service.oneshot(request).await
}

fn post(encoding: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post("/").header("content-encoding", encoding).header("content-length", "7");
    request.body(Full::new(body.into())).expect("a request")
}

async fn text_of(response: Response<ReplyBody<Full<Bytes>>>) -> Bytes {
    response.into_body().collect().await.expect("infallible").to_bytes()
}

fn denied(result: Result<Response<ReplyBody<Full<Bytes>>>, Arc<BoxError>>) -> (StatusCode, &'static str) {
    let response = result.expect("a response");
    let code = response.extensions().get::<DenialCode>().expect("a denial").0;
    (response.status(), code)
}

#[tokio::test]
async fn a_compressed_body_is_decompressed_and_its_fields_are_removed() {
    let text = "some text ".repeat(1000);
    for (name, encoding) in [
        ("gzip", Encoding::Gzip),
        ("X-Gzip", Encoding::Gzip),
        ("br", Encoding::Brotli),
        ("zstd", Encoding::Zstd),
        ("deflate", Encoding::Deflate),
    ] {
        let layer = DecompressionLayer::new();
        let compressed = encoded(text.clone(), encoding).await;
        let length = compressed.len() as u64;
        let mut request = post(name, compressed);
        request.headers_mut().insert("content-digest", "x".parse().expect("a value"));
        request.headers_mut().insert("x-other", "x".parse().expect("a value"));
        let response = send(&layer, request).await.expect("a response");
        assert_eq!(response.headers()["x-fields"], "x-other", "{name}");
        assert_eq!(text_of(response).await, text, "{name}");
        let expected = EncodingStats { messages: 1, bytes_in: length, bytes_out: text.len() as u64 };
        let stats = layer.stats();
        let stats = [stats.zstd, stats.brotli, stats.gzip, stats.deflate];
        assert_eq!(stats.iter().filter(|stats| **stats == expected).count(), 1, "{name}: {stats:?}");
    }
}

#[tokio::test]
async fn a_body_without_an_encoding_passes() {
    for request in [
        Request::post("/").header("content-length", "4").body(Full::<Bytes>::from("text")).expect("valid"),
        post("identity", "text"),
    ] {
        let response = send(&DecompressionLayer::new(), request).await.expect("a response");
        assert!(response.headers()["x-fields"].to_str().expect("text").contains(CONTENT_LENGTH.as_str()));
        assert_eq!(text_of(response).await, "text");
    }
}

#[tokio::test]
async fn a_request_without_a_body_has_nothing_to_decompress() {
    let response = send(&DecompressionLayer::new(), post("gzip", "")).await.expect("a response");
    assert_eq!((response.status(), text_of(response).await.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn an_encoding_that_is_not_supported_gets_415_with_those_that_are() {
    let layer = DecompressionLayer::new().encodings([Encoding::Gzip, Encoding::Zstd]).expect("valid");
    let mut repeated = post("gzip", "x");
    repeated.headers_mut().append("content-encoding", "gzip".parse().expect("a value"));
    for request in [post("br", "x"), post("compress", "x"), post("gzip, gzip", "x"), post("", "x"), repeated] {
        let name = format!("{:?}", request.headers());
        let response = send(&layer, request).await.expect("a response");
        assert_eq!(response.headers()["accept-encoding"], "gzip, zstd", "{name}");
        assert_eq!(denied(Ok(response)), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding"));
    }
    assert_eq!(layer.stats().unsupported, 5);
}

#[tokio::test]
async fn a_bomb_is_refused_by_its_length() {
    let layer = DecompressionLayer::new().max_bytes(100_000);
    for encoding in Encoding::ALL {
        let bomb = encoded(vec![0; 100_001], encoding).await;
        assert_eq!(
            denied(send(&layer, post(encoding.as_str(), bomb)).await),
            (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
        );
        let largest = encoded(vec![0; 100_000], encoding).await;
        let response = send(&layer, post(encoding.as_str(), largest)).await.expect("a response");
        assert_eq!(text_of(response).await.len(), 100_000);
    }
    assert_eq!(layer.stats().too_large, 4);
}

#[tokio::test]
async fn a_bomb_is_refused_by_its_ratio() {
    let layer = DecompressionLayer::new().max_bytes(u64::MAX);
    for encoding in Encoding::ALL {
        let bomb = encoded(vec![0; 5 << 20], encoding).await;
        assert_eq!(
            denied(send(&layer, post(encoding.as_str(), bomb)).await),
            (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
        );
    }
    assert_eq!(layer.stats().ratio, 4);
    // A short one may have any ratio.
    let short = encoded(vec![0; 1 << 20], Encoding::Gzip).await;
    assert_eq!(text_of(send(&layer, post("gzip", short)).await.expect("a response")).await.len(), 1 << 20);
}

#[tokio::test]
async fn a_malformed_or_incomplete_body_gets_400() {
    let layer = DecompressionLayer::new();
    for encoding in Encoding::ALL {
        let whole = encoded("some text ".repeat(1000), encoding).await;
        let cut = whole.slice(..whole.len() - 1);
        let longer = Bytes::from([&whole[..], b"more bytes"].concat());
        for body in [Bytes::from_static(b"not compressed at all"), cut, longer] {
            let result = send(&layer, post(encoding.as_str(), body)).await;
            assert_eq!(denied(result), (StatusCode::BAD_REQUEST, "malformed_body"), "{encoding}");
        }
    }
    assert_eq!(layer.stats().malformed, 12);
}

#[tokio::test]
async fn a_window_that_is_too_large_gets_400_before_it_is_allocated() {
    // A window of 16 MiB, and an empty block.
    let zstd = Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0, 14 << 3, 1, 0, 0]);
    // A large window of 2^24 bytes, and the last block, which is empty. A decoder that permits large windows accepts it.
    let brotli = Bytes::from_static(&[0x11, 24 | 3 << 6]);
    for (encoding, body) in [("zstd", zstd), ("br", brotli)] {
        let layer = DecompressionLayer::new();
        let response = send(&layer, post(encoding, body)).await.expect("a response");
        assert_eq!(response.extensions().get::<DenialCode>().expect("a denial").0, "malformed_body", "{encoding}");
        assert_eq!((response.status(), layer.stats().malformed), (StatusCode::BAD_REQUEST, 1), "{encoding}");
        let text = text_of(response).await;
        assert!(String::from_utf8_lossy(&text).contains("a larger window"), "{encoding}: {text:?}");
    }
}

#[tokio::test]
async fn the_error_of_the_client_s_body_is_passed_on() {
    let part = encoded("some text ".repeat(1000), Encoding::Gzip).await.slice(..20);
    let body = Frames::default().data(part).error("gone");
    let request = Request::post("/").header("content-encoding", "gzip").body(body).expect("valid");
    let error = send(&DecompressionLayer::new(), request).await.expect_err("the error of the service");
    let error = error.downcast_ref::<DecompressionError>().expect("an error of the layer");
    assert!(matches!(error, DecompressionError::Client(source) if source.to_string() == "gone"), "{error:?}");
}

#[tokio::test]
async fn the_inner_service_decides_if_it_does_not_fail() {
    for (status, expected) in [(200, 200), (422, 422), (502, 400)] {
        let layer = DecompressionLayer::new();
        let service = layer.layer(service_fn(async |request: Request<DecompressedBody<Full<Bytes>>>| {
            let error = request.into_body().collect().await.expect_err("malformed");
            // It fails again if it is read again.
            drop(error);
            Ok::<_, Infallible>(Response::builder().status(status).body(()).expect("valid"))
        }));
        let response = service.oneshot(post("gzip", "not compressed")).await.expect("infallible");
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test]
async fn trailers_of_a_compressed_request_are_kept() {
    let trailers = http::HeaderMap::from_iter([(CONTENT_LENGTH, 1.into())]);
    let body = Frames::default().data(encoded("text", Encoding::Gzip).await).trailers(trailers.clone());
    let layer = DecompressionLayer::new();
    let service = layer.layer(service_fn(async |request: Request<DecompressedBody<Frames>>| {
        let trailers = request.into_body().collect().await.expect("text").trailers().cloned();
        let mut response = Response::new(());
        *response.headers_mut() = trailers.unwrap_or_default();
        Ok::<_, Infallible>(response)
    }));
    let request = Request::post("/").header("content-encoding", "gzip").body(body).expect("valid");
    assert_eq!(service.oneshot(request).await.expect("infallible").headers(), &trailers);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 1..200),
        keeps_begin in any::<bool>(),
        encoding in prop::sample::select(&Encoding::ALL[..]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let begin = encoded("some text ".repeat(20), encoding).await;
            let begin = if keeps_begin { begin.slice(..begin.len() / 2) } else { Bytes::new() };
            let body = Bytes::from([&begin[..], &bytes].concat());
            // Some bytes are a valid text by accident.
            let _ = send(&DecompressionLayer::new(), post(encoding.as_str(), body)).await;
        });
    }
}

#[tokio::test]
async fn only_some_bodies_are_decompressed_at_the_same_time() {
    assert_eq!(DecompressionLayer::new().max_concurrent(0).err(), Some(InvalidCompression::Concurrent));
    let layer = DecompressionLayer::new().max_concurrent(1).expect("valid");
    let keep = layer.layer(service_fn(async |request: Request<DecompressedBody<Full<Bytes>>>| {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    }));
    let compressed = encoded("text".to_owned(), Encoding::Zstd).await;
    let held = keep.oneshot(post("zstd", compressed.clone())).await.expect("a response");
    assert_eq!(layer.stats().concurrent, 1);
    let refused = send(&layer, post("zstd", compressed.clone())).await;
    assert_eq!(denied(refused), (StatusCode::SERVICE_UNAVAILABLE, "too_many_compressed_bodies"));
    // Other requests pass.
    let plain = Request::post("/").body(Full::<Bytes>::from("plain")).expect("a request");
    assert_eq!(text_of(send(&layer, plain).await.expect("a response")).await, "plain");
    drop(held);
    assert_eq!(text_of(send(&layer, post("zstd", compressed)).await.expect("a response")).await, "text");
    assert_eq!((layer.stats().concurrent, layer.stats().busy), (0, 1));
}

#[tokio::test]
async fn one_client_cannot_take_all_places() {
    assert_eq!(DecompressionLayer::new().max_per_client(0).err(), Some(InvalidCompression::Concurrent));
    let layer = DecompressionLayer::new().max_per_client(2).expect("valid");
    let keep = layer.layer(service_fn(async |request: Request<DecompressedBody<Full<Bytes>>>| {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    }));
    let compressed = encoded("text".to_owned(), Encoding::Gzip).await;
    let from = |address: &str| {
        let mut request = post("gzip", compressed.clone());
        let peer = format!("{address}:80").parse().expect("an address");
        request.extensions_mut().insert(PeerAddr(peer));
        request
    };
    // The second one is the same client.
    let mut held = Vec::new();
    for address in ["[2001:db8::1]", "[2001:db8::2]", "192.0.2.1", "192.0.2.1"] {
        held.push(keep.clone().oneshot(from(address)).await.expect("a response"));
    }
    for address in ["[2001:db8::3]", "192.0.2.1"] {
        let refused = send(&layer, from(address)).await;
        assert_eq!(denied(refused), (StatusCode::SERVICE_UNAVAILABLE, "too_many_compressed_bodies"), "{address}");
    }
    assert_eq!(text_of(send(&layer, from("192.0.2.2")).await.expect("a response")).await, "text");
    // Without an address, there is no client.
    for _ in 0..3 {
        held.push(keep.clone().oneshot(post("gzip", compressed.clone())).await.expect("a response"));
    }
    held.remove(0);
    assert_eq!(text_of(send(&layer, from("[2001:db8::3]")).await.expect("a response")).await, "text");
    drop(held);
    assert_eq!((layer.stats().concurrent, layer.stats().busy), (0, 2));
}
