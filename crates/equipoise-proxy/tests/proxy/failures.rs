use std::time::Duration;

use equipoise_core::{EndpointSpec, Pool, RequestCounts};
use equipoise_proxy::{
    ReverseProxy, ReverseProxyLayer, Timeouts,
    error::{ErrorResponses, ProxyStatus},
    headers::Via,
};
use equipoise_tower::{BalanceLayer, BoxError, Replayable};
use http::{Method, Request, Response, Version};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};

use crate::{Body, Forwarded, failure, full, get, send, stalled::Stalled, text};

/// A service that must not get a request.
async fn unreachable(request: Forwarded) -> Result<Response<Body>, BoxError> {
    Err(format!("{} was forwarded", request.uri()).into())
}

#[tokio::test]
async fn refused_requests_do_not_reach_the_inner_service() {
    let proxy = ReverseProxyLayer::new().max_body_bytes(4).via(Via::new("edge").expect("a name"));
    let long = format!("/{}", "a".repeat(9000));
    for (request, status, label) in [
        (Request::get("/"), 400, "host_missing"),
        (get("/").header("host", "app.test"), 400, "host_repeated"),
        (get("http://evil.test/"), 400, "host_conflict"),
        (get("/").method("get"), 400, "method"),
        (get("/").method(Method::TRACE), 405, "trace"),
        (get("app.test:80").method(Method::CONNECT), 501, "connect"),
        (get(&long), 414, "uri_too_long"),
        (get("/").header("x", "a".repeat(40000)), 431, "fields_too_large"),
        (get("/").header("content-length", "5").header("content-length", "5"), 400, "content_length"),
        (get("/").header("content-length", "-1"), 400, "content_length"),
        (get("/").header("content-length", "99999999999999999999"), 400, "content_length"),
        (get("/").header("transfer-encoding", "gzip, chunked"), 501, "transfer_coding"),
        (get("/").header("transfer-encoding", "chunked").header("content-length", "5"), 400, "two_lengths"),
        (get("/").version(Version::HTTP_10).header("transfer-encoding", "chunked"), 400, "transfer_encoding"),
        (get("/").version(Version::HTTP_2).header("connection", "close"), 400, "connection_field"),
        (get("/").version(Version::HTTP_2).header("te", "gzip"), 400, "connection_field"),
        (get("/").version(Version::HTTP_2).header("x", " a"), 400, "field_value"),
        (get("/").header("expect", "200-ok"), 417, "expectation"),
        (get("/").header("via", "1.1 edge"), 508, "loop"),
        (get("/").method(Method::OPTIONS).header("max-forwards", "x"), 400, "max_forwards"),
    ] {
        let request = request.body(full("")).expect("a request");
        let response = send(&proxy, request, unreachable).await;
        assert_eq!((response.status().as_u16(), failure(&response)), (status, Some(label)));
        assert!(text(response).await.ends_with('\n'), "{label}");
    }
    let request = get("/").method(Method::POST).header("content-length", "4").body(full("123")).expect("a request");
    let response = send(&proxy, request, unreachable).await;
    assert_eq!((response.status().as_u16(), failure(&response)), (400, Some("body_length")));
    let request = get("/").method(Method::POST).body(full("12345")).expect("a request");
    let response = send(&proxy, request, unreachable).await;
    assert_eq!((response.status().as_u16(), failure(&response)), (413, Some("body_too_large")));
}

#[tokio::test]
async fn options_with_no_hop_left_are_answered_here() {
    let request = get("/").method(Method::OPTIONS).header("max-forwards", "0").body(full("")).expect("a request");
    let response = send(&ReverseProxyLayer::new(), request, unreachable).await;
    assert_eq!((response.status().as_u16(), failure(&response)), (200, None));
}

#[tokio::test]
async fn a_body_that_turns_out_too_long_gets_413() {
    let proxy = ReverseProxyLayer::new().max_body_bytes(4);
    let body = Stalled::after(&["123", "45"], Duration::ZERO).boxed_unsync();
    let request = get("/").method(Method::POST).body(body).expect("a request");
    // The client of the endpoint hides the reason.
    let response = send(&proxy, request, async |request: Forwarded| {
        request.into_body().collect().await.map_err(|_| "the connection failed")?;
        Ok(Response::new(full("")))
    })
    .await;
    assert_eq!((response.status().as_u16(), failure(&response)), (413, Some("body_too_large")));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_failed_decides_the_status_if_the_endpoint_does_not_notice() {
    let body = Stalled::after(&["123", "45"], Duration::ZERO).boxed_unsync();
    let request = get("/").method(Method::POST).body(body).expect("a request");
    let response = send(&ReverseProxyLayer::new().max_body_bytes(4), request, async |request: Forwarded| {
        let _ = request.into_body().collect().await;
        std::future::pending().await
    })
    .await;
    assert_eq!((response.status().as_u16(), failure(&response)), (413, Some("body_too_large")));
}

#[tokio::test]
async fn invalid_responses_become_502() {
    for response in [
        Response::builder().status(103),
        Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket"),
        Response::builder().header("content-length", "1").header("content-length", "2"),
        Response::builder().header("content-length", "1, 2"),
        Response::builder().header("content-length", "x"),
        Response::builder().header("content-length", "5"),
        Response::builder().header("transfer-encoding", "gzip"),
        Response::builder().header("transfer-encoding", "gzip, chunked"),
    ] {
        let response = std::cell::Cell::new(Some(response.body(full("")).expect("a response")));
        let request = get("/").body(full("")).expect("a request");
        let response =
            send(&ReverseProxyLayer::new(), request, async |_| Ok(response.take().expect("one request"))).await;
        assert_eq!((response.status().as_u16(), failure(&response)), (502, Some("invalid_response")));
    }
}

#[tokio::test]
async fn a_response_without_a_body_may_tell_a_length() {
    for (method, status) in [(Method::HEAD, 200), (Method::GET, 304)] {
        let request = get("/").method(method).body(full("")).expect("a request");
        let response = send(&ReverseProxyLayer::new(), request, async |_| {
            Ok(Response::builder().status(status).header("content-length", "5").body(full(""))?)
        })
        .await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-length"]),
            (status, &"5".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn clients_learn_nothing_of_endpoints() {
    let status = ProxyStatus::new("edge").expect("a name");
    let proxy = ReverseProxyLayer::new().errors(ErrorResponses::new().proxy_status(status));
    let request = get("/").header("accept", "application/json").body(full("")).expect("a request");
    let response = send(&proxy, request, async |_| Err("10.0.0.1 is on fire".into())).await;
    assert_eq!((response.status().as_u16(), failure(&response)), (502, Some("service")));
    assert_eq!(response.headers()["proxy-status"], "edge; error=proxy_internal_error");
    assert_eq!(
        text(response).await,
        "{\"type\":\"about:blank\",\"title\":\"Bad Gateway\",\"status\":502,\"detail\":\"the backend could not be \
         reached or failed\",\"code\":\"backend_failed\"}\n"
    );
}

#[tokio::test]
async fn a_pool_without_endpoints_gets_503() {
    let pool: Pool<()> = Pool::default();
    let endpoint = service_fn(async |_: Request<Replayable<_>>| Ok::<_, BoxError>(Response::new(full("ok"))));
    let balanced = BalanceLayer::new(pool.clone()).incoming();
    let proxy = ReverseProxy::new(balanced.layer(endpoint));
    let request = || get("/").body(full("")).expect("a request");
    let response = proxy.clone().oneshot(request()).await.unwrap_or_else(|never| match never {});
    assert_eq!((response.status().as_u16(), failure(&response)), (503, Some("service")));
    pool.add(EndpointSpec::new("127.0.0.1:1"), ()).expect("a new endpoint");
    let response = proxy.oneshot(request()).await.unwrap_or_else(|never| match never {});
    assert_eq!(response.status(), 200);
}

/// A pool with one endpoint, and a proxy in front of it that gets this answer.
async fn judged<F>(
    layer: ReverseProxyLayer,
    answer: impl Fn(Request<Replayable<equipoise_proxy::RequestBody<Body>>>) -> F + Clone,
) -> ((u16, Option<&'static str>), RequestCounts)
where
    F: Future<Output = Result<Response<Body>, BoxError>>,
{
    let pool: Pool<()> = Pool::default();
    pool.add(EndpointSpec::new("127.0.0.1:1"), ()).expect("a new endpoint");
    let proxy = layer.layer(BalanceLayer::new(pool.clone()).incoming().layer(service_fn(answer)));
    let request = get("/").body(full("")).expect("a request");
    let response = proxy.oneshot(request).await.unwrap_or_else(|never| match never {});
    let seen = (response.status().as_u16(), failure(&response));
    drop(response);
    (seen, pool.endpoints()[0].requests)
}

#[tokio::test]
async fn an_invalid_response_is_a_failure_of_its_endpoint() {
    for answer in [
        || Response::builder().header("transfer-encoding", "gzip").body(full("coded")),
        || Response::builder().header("transfer-encoding", "gzip").body(full("")),
        || Response::builder().status(101).header("connection", "upgrade").header("upgrade", "x").body(full("")),
    ] {
        let (seen, requests) = judged(ReverseProxyLayer::new(), async |_| Ok(answer()?)).await;
        assert_eq!(seen, (502, Some("invalid_response")));
        assert_eq!((requests.total, requests.failure_transport), (1, 1));
    }
    let (seen, requests) = judged(ReverseProxyLayer::new(), async |_| Ok(Response::new(full("")))).await;
    assert_eq!((seen, requests.total, requests.success), ((200, None), 1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_respond_has_failed() {
    let total = Timeouts::none().total(Duration::from_secs(5));
    for (timeouts, label) in [(Timeouts::new(), "head_timeout"), (total, "total_timeout")] {
        let layer = ReverseProxyLayer::new().timeouts(timeouts);
        let (seen, requests) = judged(layer, async |_| std::future::pending().await).await;
        assert_eq!(seen, (504, Some(label)));
        assert_eq!((requests.total, requests.failure_timeout), (1, 1), "{label}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_counts_against_the_endpoint_only_if_the_attempt_times_out() {
    for (attempt_timeout, label, failures) in [(90, "body_silent", 0), (30, "service", 1)] {
        let pool: Pool<()> = Pool::default();
        pool.add(EndpointSpec::new("127.0.0.1:1"), ()).expect("a new endpoint");
        let limit = Duration::from_secs(attempt_timeout);
        let balanced = BalanceLayer::new(pool.clone()).attempt_timeout(limit).incoming();
        let endpoint = service_fn(async |request: Request<Replayable<equipoise_proxy::RequestBody<Body>>>| {
            // Like a client of an endpoint, it waits for the head while another task sends the body.
            tokio::spawn(request.into_body().collect());
            std::future::pending::<Result<Response<Body>, BoxError>>().await
        });
        let proxy = ReverseProxyLayer::new().layer(balanced.layer(endpoint));
        let body = Stalled::after(&["message"], Duration::from_secs(1)).boxed_unsync();
        let request = get("/").method(Method::POST).body(body).expect("a request");
        let response = proxy.oneshot(request).await.unwrap_or_else(|never| match never {});
        assert_eq!(failure(&response), Some(label));
        drop(response);
        let requests = pool.endpoints()[0].requests;
        assert_eq!((requests.total, requests.failure_timeout), (1, failures), "{label}");
    }
}
