use std::convert::Infallible;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, VARY},
    response,
};
use http_body::Body;
use http_body_util::{BodyExt, Channel, Full};
use tower::{Layer, ServiceExt, service_fn};

use super::{Frames, decoded};
use crate::compression::{CompressedBody, CompressionLayer, Encoding, EncodingStats, InvalidCompression};

type Head = response::Builder;

fn text() -> String {
    "some text ".repeat(1000)
}

fn html() -> Head {
    Response::builder().header("content-type", "text/html")
}

/// Sends a request through a layer to a service that returns one response.
async fn through<B: Body<Data = Bytes> + Send + 'static>(
    layer: &CompressionLayer,
    request: http::request::Builder,
    response: Response<B>,
) -> Response<CompressedBody<B>>
where
    B::Error: Into<equipoise_tower::BoxError>,
{
    let mut response = Some(response);
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let response = response.take().expect("one request");
        async { Ok::<_, Infallible>(response) }
    }));
    service.oneshot(request.body(()).expect("a request")).await.expect("infallible")
}

async fn get(accepted: &'static str, response: Head) -> Response<CompressedBody<Full<Bytes>>> {
    let request = Request::get("/").header("accept-encoding", accepted);
    through(&CompressionLayer::new(), request, response.body(Full::from(text())).expect("a response")).await
}

fn field<'r, B>(response: &'r Response<B>, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().expect("text"))
}

#[tokio::test]
async fn each_encoding_can_be_decoded() {
    for encoding in Encoding::ALL {
        let layer = CompressionLayer::new();
        let request = Request::get("/").header("accept-encoding", encoding.as_str());
        let response = through(&layer, request, html().body(Full::<Bytes>::from(text())).expect("valid")).await;
        assert_eq!(field(&response, "content-encoding"), Some(encoding.as_str()));
        assert_eq!((layer.stats().active, response.body().size_hint().exact()), (1, None));
        let body = response.into_body().collect().await.expect("encoded").to_bytes();
        assert!(body.len() < text().len() / 10, "{encoding}: {}", body.len());
        let stats = layer.stats();
        let expected = EncodingStats { messages: 1, bytes_in: text().len() as u64, bytes_out: body.len() as u64 };
        assert_eq!((stats.of(encoding), stats.active), (expected, 0));
        assert_eq!(decoded(body, encoding).await, text());
    }
}

#[tokio::test]
async fn the_fields_of_a_compressed_response_fit_its_content() {
    let response = get(
        "gzip",
        html()
            .header("etag", "\"a\"")
            .header("content-length", text().len())
            .header("accept-ranges", "bytes")
            .header("content-md5", "x")
            .header("digest", "x")
            .header("content-digest", "x")
            .header("repr-digest", "x")
            .header("vary", "Origin")
            .header("cache-control", "public"),
    )
    .await;
    assert_eq!(field(&response, "etag"), Some("W/\"a\""));
    for name in ["content-length", "accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"] {
        assert_eq!(field(&response, name), None, "{name}");
    }
    let vary: Vec<_> = response.headers().get_all(VARY).iter().collect();
    assert_eq!(vary, ["Origin", "accept-encoding"]);
    assert_eq!(field(&response, "cache-control"), Some("public"));
}

#[tokio::test]
async fn a_response_that_the_client_accepts_only_as_it_is_varies_too() {
    let layer = CompressionLayer::new();
    let response = html().header("etag", "\"a\"").body(Full::<Bytes>::from(text())).expect("valid");
    let response = through(&layer, Request::get("/"), response).await;
    assert_eq!((field(&response, "vary"), field(&response, "etag")), (Some("accept-encoding"), Some("\"a\"")));
    assert_eq!(response.into_body().collect().await.expect("text").to_bytes(), text());
    assert_eq!(layer.stats().not_accepted, 1);
}

#[tokio::test]
async fn what_must_not_be_changed_is_not() {
    let json = || Response::builder().header("content-type", "application/json");
    for (name, response) in [
        ("encoded", html().header("content-encoding", "br")),
        ("no-transform", html().header("cache-control", "max-age=1, no-transform")),
        ("a range", html().status(206).header("content-range", "bytes 0-1/2")),
        ("no status of a range", html().header("content-range", "bytes 0-1/2")),
        ("gRPC", Response::builder().header("content-type", "application/grpc+proto")),
        ("events", Response::builder().header("content-type", "text/event-stream; charset=utf-8")),
        ("an image", Response::builder().header("content-type", "image/png")),
        ("no type", Response::builder()),
        ("204", json().status(204)),
        ("304", json().status(304)),
    ] {
        let before = response.headers_ref().expect("valid").clone();
        let response = get("gzip, br, zstd", response).await;
        assert_eq!(response.headers(), &before, "{name}");
        assert_eq!(response.into_body().collect().await.expect("text").to_bytes(), text(), "{name}");
    }
}

#[tokio::test]
async fn a_client_can_forbid_changes() {
    let request = Request::get("/").header("accept-encoding", "gzip").header("cache-control", "no-transform");
    let response = html().body(Full::<Bytes>::from(text())).expect("valid");
    let response = through(&CompressionLayer::new(), request, response).await;
    assert_eq!(field(&response, "content-encoding"), None);
}

#[tokio::test]
async fn a_short_response_is_sent_as_it_is_unless_the_client_refuses_that() {
    for (accepted, length, is_encoded) in [
        ("gzip", 1023, false),
        ("gzip", 1024, true),
        ("gzip, identity;q=0", 1023, true),
        ("gzip, *;q=0", 1, true),
        ("gzip, *;q=0", 0, false),
    ] {
        let request = Request::get("/").header("accept-encoding", accepted);
        let response = html().body(Full::<Bytes>::from("x".repeat(length))).expect("valid");
        let response = through(&CompressionLayer::new(), request, response).await;
        assert_eq!(response.headers().contains_key(CONTENT_ENCODING), is_encoded, "{accepted} {length}");
        assert_eq!(response.headers().contains_key(VARY), is_encoded, "{accepted} {length}");
    }
}

#[tokio::test]
async fn the_response_to_head_has_the_fields_of_that_to_get() {
    for (length, encoding) in [(Some("5000"), Some("gzip")), (Some("100"), None), (None, Some("gzip"))] {
        let mut head = html().header("etag", "\"a\"");
        if let Some(length) = length {
            head = head.header("content-length", length);
        }
        let request = Request::builder().method(Method::HEAD).uri("/").header("accept-encoding", "gzip");
        let response = head.body(Full::<Bytes>::default()).expect("valid");
        let response = through(&CompressionLayer::new(), request, response).await;
        assert_eq!(field(&response, "content-encoding"), encoding, "{length:?}");
        assert_eq!(field(&response, "etag"), Some(if encoding.is_some() { "W/\"a\"" } else { "\"a\"" }));
        assert_eq!(response.headers().contains_key(CONTENT_LENGTH), encoding.is_none());
        assert!(response.into_body().collect().await.expect("empty").to_bytes().is_empty());
    }
}

#[tokio::test]
async fn a_304_has_the_tag_that_the_client_has() {
    for (sent, tag, expected) in [
        ("W/\"a\"", "\"a\"", "W/\"a\""),
        ("\"b\", W/\"a\"", "\"a\"", "W/\"a\""),
        ("\"a\"", "\"a\"", "\"a\""),
        ("W/\"b\"", "\"a\"", "\"a\""),
        ("W/\"a\"", "W/\"a\"", "W/\"a\""),
    ] {
        let request = Request::get("/").header("accept-encoding", "gzip").header("if-none-match", sent);
        let response = Response::builder().status(304).header(ETAG, tag).body(Full::<Bytes>::default());
        let response = through(&CompressionLayer::new(), request, response.expect("valid")).await;
        assert_eq!((response.status(), field(&response, "etag")), (StatusCode::NOT_MODIFIED, Some(expected)), "{sent}");
    }
}

#[tokio::test]
async fn the_first_part_of_a_stream_arrives_before_the_second_is_there() {
    for encoding in Encoding::ALL {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        let request = Request::get("/").header("accept-encoding", encoding.as_str());
        let response = through(&CompressionLayer::new(), request, html().body(body).expect("valid")).await;
        let mut body = response.into_body();
        let mut received = Vec::new();
        for part in ["first", "second"] {
            sender.send_data(Bytes::from(part)).await.expect("open");
            // The encoder has flushed all that it has got when it waits for more.
            let (sent, mut waits) = (received.len(), false);
            while !waits {
                let frame =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut body).poll_frame(cx)));
                match frame.await {
                    std::task::Poll::Ready(frame) => {
                        let data = frame.expect("not the end").expect("encoded").into_data().expect("data");
                        received.extend_from_slice(&data);
                    }
                    std::task::Poll::Pending => waits = true,
                }
            }
            assert!(received.len() > sent, "{encoding}: {part}");
        }
        drop(sender);
        received.extend_from_slice(&body.collect().await.expect("encoded").to_bytes());
        assert_eq!(decoded(received, encoding).await, "firstsecond", "{encoding}");
    }
}

#[tokio::test]
async fn trailers_are_kept_and_errors_are_passed_on() {
    for encoding in Encoding::ALL {
        let request = || Request::get("/").header("accept-encoding", encoding.as_str());
        let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("\"late\""))]);
        let body = Frames::default().data(text()).data(text()).trailers(trailers.clone());
        let response = through(&CompressionLayer::new(), request(), html().body(body).expect("valid")).await;
        let body = response.into_body().collect().await.expect("encoded");
        assert_eq!(body.trailers(), Some(&trailers), "{encoding}");
        assert_eq!(decoded(body.to_bytes(), encoding).await, text() + &text(), "{encoding}");

        let body = Frames::default().data(text()).error("broken");
        let response = through(&CompressionLayer::new(), request(), html().body(body).expect("valid")).await;
        let error = response.into_body().collect().await.expect_err("not the whole content");
        assert_eq!(error.to_string(), "broken", "{encoding}");
    }
}

#[tokio::test]
async fn the_number_of_responses_that_are_compressed_at_once_is_limited() {
    let layer = CompressionLayer::new().max_concurrent(1);
    let request = || Request::get("/").header("accept-encoding", "gzip");
    let response = || html().body(Full::<Bytes>::from(text())).expect("valid");
    let first = through(&layer, request(), response()).await;
    let second = through(&layer.clone(), request(), response()).await;
    assert_eq!((field(&first, "content-encoding"), field(&second, "content-encoding")), (Some("gzip"), None));
    assert_eq!(field(&second, "vary"), Some("accept-encoding"));
    assert_eq!((layer.stats().active, layer.stats().skipped_busy), (1, 1));
    drop(first);
    let third = through(&layer, request(), response()).await;
    assert_eq!((field(&third, "content-encoding"), layer.stats().active), (Some("gzip"), 1));
}

#[tokio::test]
async fn a_condition_can_exclude_responses() {
    let layer = CompressionLayer::new().only_if(|head| !head.headers.contains_key("x-secret"));
    let request = || Request::get("/").header("accept-encoding", "gzip");
    let response = html().header("x-secret", "1").body(Full::<Bytes>::from(text())).expect("valid");
    assert_eq!(field(&through(&layer, request(), response).await, "content-encoding"), None);
    let response = html().body(Full::<Bytes>::from(text())).expect("valid");
    assert_eq!(field(&through(&layer, request(), response).await, "content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn the_backend_can_be_asked_for_responses_without_an_encoding() {
    for plain in [false, true] {
        let layer = CompressionLayer::new().plain_backend(plain);
        let service = layer.layer(service_fn(async |request: Request<()>| {
            let asked = request.headers().contains_key("accept-encoding");
            let head = html().version(Version::HTTP_11).header("x-asked", asked.to_string());
            Ok::<_, Infallible>(head.body(Full::<Bytes>::from(text())).expect("valid"))
        }));
        let request = Request::get("/").header("accept-encoding", "gzip").body(()).expect("a request");
        let response = service.oneshot(request).await.expect("infallible");
        assert_eq!(field(&response, "x-asked"), Some(if plain { "false" } else { "true" }));
        assert_eq!(field(&response, "content-encoding"), Some("gzip"));
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let error = |result: Result<CompressionLayer, InvalidCompression>| result.map(|_| ()).expect_err("refused");
    assert_eq!(error(CompressionLayer::new().encodings([])), InvalidCompression::NoEncoding);
    let twice = [Encoding::Gzip, Encoding::Brotli, Encoding::Gzip];
    assert_eq!(error(CompressionLayer::new().encodings(twice)), InvalidCompression::Repeated(Encoding::Gzip));
    let text = error(CompressionLayer::new().level(Encoding::Gzip, 10)).to_string();
    assert_eq!(text, "gzip has no level 10: use 1 to 9");
    assert!(CompressionLayer::new().add_media_type("nothing").is_err());
}
