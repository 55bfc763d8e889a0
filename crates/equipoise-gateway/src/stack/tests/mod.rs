#[cfg(all(feature = "browser", feature = "cache", feature = "compression", feature = "rate-limit"))]
mod failures;
#[cfg(all(feature = "auth", feature = "browser", feature = "cache", feature = "compression", feature = "rate-limit"))]
mod order;
#[cfg(feature = "browser")]
mod own_responses;

use std::{convert::Infallible, error::Error};

use bytes::Bytes;
use equipoise_proxy::{Failed, ProxyError};
use http::{HeaderMap, Request, Response, header::ETAG};
use http_body::Body;
use http_body_util::{BodyExt, Channel, Full};
use tower::{Layer, ServiceExt, service_fn};

use super::{AnyBody, Functions};
use crate::{
    DenialCode,
    filter::{FilterLayer, FilterRules, Rule},
};

/// Functions that add fields to each response.
#[cfg(feature = "browser")]
fn functions() -> Functions {
    use crate::{
        browser::{CorsPolicy, RequestIdLayer},
        filter::{FieldEdits, FieldsLayer},
    };

    Functions::new()
        .request_id(RequestIdLayer::new())
        .client_fields(FieldsLayer::new().response(FieldEdits::new().set("x-edge", "yes").expect("valid")))
        .cors(CorsPolicy::origins(["https://app.test"]).build().expect("valid"))
}

fn post(body: &'static str) -> Request<Full<Bytes>> {
    Request::post("/").body(Full::from(body)).expect("a request")
}

#[tokio::test]
async fn without_functions_everything_passes() {
    #[derive(Clone, Debug, PartialEq)]
    struct Note(u8);

    let (mut sender, body) = Channel::<Bytes, Infallible>::new(2);
    sender.send_data(Bytes::from_static(b"data")).await.expect("open");
    let trailers = HeaderMap::from_iter([(ETAG, http::HeaderValue::from_static("\"a\""))]);
    sender.send_trailers(trailers.clone()).await.expect("open");
    drop(sender);
    let echo = service_fn(async |request: Request<AnyBody<Channel<Bytes>>>| {
        let note = request.extensions().get::<Note>().cloned();
        let mut response = Response::new(request.into_body());
        response.extensions_mut().insert(note);
        Ok::<_, Infallible>(response)
    });
    let service = Functions::new().layer(echo).expect("valid");
    let mut request = Request::new(body);
    request.extensions_mut().insert(Note(1));
    let response = service.oneshot(request).await.expect("a response");
    assert_eq!(response.extensions().get(), Some(&Some(Note(1))));
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(body.trailers(), Some(&trailers));
    assert_eq!(body.to_bytes(), "data");
}

#[tokio::test]
async fn the_length_of_a_body_that_passes_is_known() {
    let service = Functions::new().layer(service_fn(async |request: Request<AnyBody<Full<Bytes>>>| {
        assert_eq!((request.body().size_hint().exact(), request.body().is_end_stream()), (Some(4), false));
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello")))
    }));
    let response = service.expect("valid").oneshot(post("text")).await.expect("a response");
    assert_eq!(response.body().size_hint().exact(), Some(5));
}

#[tokio::test]
async fn an_error_of_the_service_becomes_a_response() {
    let service = Functions::new()
        .filter(FilterLayer::new(FilterRules::new([Rule::deny("none").path("/none")]).expect("valid")))
        .layer(service_fn(async |_: Request<AnyBody<Full<Bytes>>>| {
            Err::<Response<Full<Bytes>>, _>(std::io::Error::other("broken"))
        }))
        .expect("valid");
    let response = service.oneshot(post("")).await.expect("a response");
    assert_eq!(response.status(), 502);
    let Failed(error) = response.extensions().get().expect("the error");
    assert!(matches!(&**error, ProxyError::Service(error) if error.is::<std::io::Error>()), "{error:?}");
}

#[tokio::test]
async fn the_service_has_no_errors() {
    let service = Functions::new().layer(service_fn(async |_: Request<AnyBody<Full<Bytes>>>| {
        Err::<Response<Full<Bytes>>, _>(std::io::Error::other("broken"))
    }));
    let result: Result<_, Infallible> = service.expect("valid").oneshot(post("")).await;
    let Ok(response) = result;
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn a_body_that_is_limited_fails_at_its_limit() {
    let rules = FilterRules::new([Rule::deny("none").path("/none")]).expect("valid");
    let functions = Functions::new().filter(FilterLayer::new(rules).max_body_bytes(3));
    let layer = functions.into_layer().expect("valid");
    let service = layer.clone().layer(service_fn(async |request: Request<AnyBody<Channel<Bytes>>>| {
        let length = request.into_body().collect().await?.to_bytes().len();
        Ok::<_, Box<dyn Error + Send + Sync>>(Response::new(Full::<Bytes>::from(length.to_string())))
    }));
    for (sent, status) in [("abc", 200), ("abcd", 413)] {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        sender.send_data(Bytes::from_static(sent.as_bytes())).await.expect("open");
        drop(sender);
        let response = service.clone().oneshot(Request::post("/").body(body).expect("a request")).await;
        let response = response.expect("a response");
        assert_eq!(response.status(), status, "{sent}");
        assert_eq!(response.extensions().get::<DenialCode>().is_some(), status != 200);
    }
}

#[test]
fn the_service_is_clone_send_and_sync() {
    fn check<T: Clone + Send + Sync + 'static>(_: &T) {}
    // Bodies need not be `Sync`.
    let service = Functions::new().layer(service_fn(async |_: Request<AnyBody<Channel<Bytes>>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    check(&service.expect("valid"));
}
