use std::{
    convert::Infallible,
    future::{pending, ready},
    time::Duration,
};

use bytes::Bytes;
use equipoise_proxy::{
    ReverseProxyLayer, Timeouts,
    route::{Route, Router, Routes},
};
use http::{Request, Response, request};
use http_body::Body;
use http_body_util::{BodyExt, Channel, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::functions;
use crate::{
    filter::{FieldEdits, FieldsLayer},
    stack::{AnyBody, Functions},
};

fn proxy(functions: &Functions) -> ReverseProxyLayer {
    let timeouts = Timeouts::new().head(Duration::from_secs(5)).idle(Duration::from_secs(5));
    ReverseProxyLayer::new().timeouts(timeouts).max_body_bytes(3).own_responses(functions.own_responses())
}

fn request(method: &str, target: &str) -> request::Builder {
    Request::builder().method(method).uri(target).header("origin", "https://app.test")
}

/// Sends a request. Returns the response with the code of its body, after a look at the fields of the functions.
async fn send<S, B, R>(service: S, request: Request<B>) -> (Response<()>, String)
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes>,
    R::Error: std::fmt::Debug,
{
    let (head, body) = service.oneshot(request).await.expect("a response").into_parts();
    assert_eq!(head.headers.get_all("x-request-id").iter().count(), 1, "{head:?}");
    assert_eq!(head.headers["access-control-allow-origin"], "https://app.test");
    assert!(head.headers.contains_key("x-edge"), "{head:?}");
    let body = body.collect().await.expect("a body").to_bytes();
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    (Response::from_parts(head, ()), document["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn refused_requests_get_the_fields_of_functions() {
    let functions = functions();
    let backend = service_fn(async |_: Request<AnyBody<_>>| -> Result<Response<Full<Bytes>>, Infallible> {
        panic!("the backend gets no refused request")
    });
    let proxy = proxy(&functions).layer(functions.layer(backend).expect("valid"));
    let with_host = |method: &str, target: &str| request(method, target).header("host", "app.test");
    let long = format!("/{}", "a".repeat(9000));
    let many = (0..200).fold(with_host("GET", "/"), |request, _| request.header("x-a", "b"));
    for (request, status, code) in [
        (request("GET", "/"), 400, "host_missing"),
        (with_host("TRACE", "/"), 405, "trace"),
        (with_host("GET", &long), 414, "uri_too_long"),
        (many, 431, "too_many_fields"),
        (with_host("POST", "/"), 413, "body_too_large"),
    ] {
        let body = if status == 413 { "abcd" } else { "" };
        let (response, found) = send(proxy.clone(), request.body(Full::<Bytes>::from(body)).expect("a request")).await;
        assert_eq!((response.status().as_u16(), &*found), (status, code));
        assert_eq!(response.headers()["connection"], "close");
    }
}

#[tokio::test]
async fn a_refused_preflight_is_told_nothing_that_would_allow_its_request() {
    let functions = functions();
    let backend =
        service_fn(async |_: Request<AnyBody<_>>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
    let proxy = proxy(&functions).layer(functions.layer(backend).expect("valid"));
    let request = request("OPTIONS", "/").header("host", "app.test").header("access-control-request-method", "PUT");
    let request = request.header("max-forwards", "x").body(Full::<Bytes>::default()).expect("a request");
    let response = proxy.oneshot(request).await.expect("a response");
    assert_eq!((response.status().as_u16(), &response.headers()["x-edge"]), (400, &"yes".parse().expect("a value")));
    assert!(!response.headers().contains_key("access-control-allow-methods"), "{response:?}");
}

#[tokio::test(start_paused = true)]
async fn timeouts_of_the_proxy_get_the_fields_of_functions() {
    let functions = functions();
    let late = service_fn(async |_: Request<AnyBody<_>>| pending::<Result<Response<Full<Bytes>>, Infallible>>().await);
    let proxy = proxy(&functions).layer(functions.layer(late).expect("valid"));
    let request = request("GET", "/").header("host", "app.test").body(Full::<Bytes>::default()).expect("a request");
    let (response, code) = send(proxy, request).await;
    assert_eq!((response.status().as_u16(), &*code), (504, "head_timeout"));
}

#[tokio::test(start_paused = true)]
async fn the_functions_of_a_route_complete_its_timeouts() {
    let late = service_fn(async |_: Request<AnyBody<_>>| pending::<Result<Response<Full<Bytes>>, Infallible>>().await);
    let routes = Routes::new([Route::to("late", functions().layer(late).expect("valid"))]).expect("valid");
    // Those around the routes take it only if no others do.
    let around = Functions::new()
        .client_fields(FieldsLayer::new().response(FieldEdits::new().set("x-around", "yes").expect("valid")));
    let proxy = proxy(&around).layer(around.layer(Router::new(routes)).expect("valid"));
    let request = request("GET", "/").header("host", "app.test").body(Full::<Bytes>::default()).expect("a request");
    let (response, code) = send(proxy, request).await;
    assert_eq!((response.status().as_u16(), &*code), (504, "head_timeout"));
    assert_eq!(response.headers()["x-around"], "yes");
}

#[tokio::test]
async fn invalid_responses_are_refused_inside_of_the_functions() {
    for length in ["5", "x", "2, 3"] {
        let functions = functions();
        let backend = service_fn(move |_: Request<AnyBody<_>>| {
            let response = Response::builder().header("content-length", length);
            ready(Ok::<_, Infallible>(response.body(Full::<Bytes>::from("ab")).expect("a response")))
        });
        let proxy = proxy(&functions).layer(functions.layer(backend).expect("valid"));
        let request = request("GET", "/").header("host", "app.test").body(Full::<Bytes>::default()).expect("a request");
        let (response, code) = send(proxy, request).await;
        assert_eq!((response.status().as_u16(), &*code), (502, "invalid_response"), "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_body_of_a_request_get_the_fields_of_functions() {
    let functions = functions();
    let reading = service_fn(async |request: Request<AnyBody<_>>| {
        let read = BodyExt::collect(request.into_body()).await;
        read.map(|_| Response::new(Full::<Bytes>::default()))
    });
    let proxy = proxy(&functions).layer(functions.layer(reading).expect("valid"));
    for (chunks, field, status, code) in [
        (&["ab", "cd"][..], "x-any", 413, "body_too_large"),
        // Read before the request is forwarded.
        (&["ab", "cd"], "transfer-encoding", 413, "body_too_large"),
        (&["ab"], "x-any", 408, "body_silent"),
    ] {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
        for chunk in chunks {
            sender.send_data(Bytes::from_static(chunk.as_bytes())).await.expect("room");
        }
        let request = request("POST", "/").header("host", "app.test").header(field, "chunked");
        let (response, found) = send(proxy.clone(), request.body(body).expect("a request")).await;
        assert_eq!((response.status().as_u16(), &*found), (status, code));
        assert_eq!(response.headers()["connection"], "close", "{code}");
        drop(sender);
    }
}
