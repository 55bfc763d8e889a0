use bytes::Bytes;
use equipoise_proxy::{
    ReverseProxyLayer,
    check::{RequestChecks, UnusualNames},
    headers::{HostRule, Via},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, channel::Channel};
use parking_lot::Mutex;

use crate::{Body, Forwarded, failure, full, get, send, text};

/// Returns the head of the request that the inner service gets.
async fn forwarded(proxy: &ReverseProxyLayer, request: http::request::Builder) -> http::request::Parts {
    let seen = Mutex::new(None);
    let request = request.body(full("")).expect("a request");
    let response = send(proxy, request, async |request: Forwarded| {
        *seen.lock() = Some(request.into_parts().0);
        Ok(Response::new(full("")))
    })
    .await;
    assert_eq!(response.status(), 200);
    seen.into_inner().expect("a request")
}

#[tokio::test]
async fn requests_of_http_2_become_requests_of_http_1() {
    let request = Request::get("https://app.test/a?b=c")
        .version(Version::HTTP_2)
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers");
    let head = forwarded(&ReverseProxyLayer::new(), request).await;
    assert_eq!((head.version, head.uri.to_string().as_str()), (Version::HTTP_11, "/a?b=c"));
    assert_eq!(head.headers["host"], "app.test");
    assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    assert_eq!(head.headers["te"], "trailers");
}

#[tokio::test]
async fn the_cookie_fields_of_http_2_count_as_one() {
    let with_cookies = |version| {
        let request = Request::get("http://app.test/").header("host", "app.test").version(version);
        (0..150).fold(request, |request, cookie| request.header("cookie", format!("c{cookie}=1")))
    };
    let head = forwarded(&ReverseProxyLayer::new(), with_cookies(Version::HTTP_2)).await;
    assert_eq!(head.headers.get_all("cookie").iter().count(), 1);
    let request = with_cookies(Version::HTTP_11).body(full("")).expect("a request");
    let response = send(&ReverseProxyLayer::new(), request, async |_| Ok(Response::new(full("")))).await;
    assert_eq!((response.status().as_u16(), failure(&response)), (431, Some("too_many_fields")));
}

#[tokio::test]
async fn endpoints_learn_the_host_that_the_client_asked_for() {
    let proxy = ReverseProxyLayer::new().host(HostRule::set("backend.internal").expect("a host"));
    let head = forwarded(&proxy, get("/")).await;
    assert_eq!(head.headers["host"], "backend.internal");
    assert_eq!(head.headers["x-forwarded-host"], "app.test");
}

#[tokio::test]
async fn each_message_tells_its_way() {
    let proxy = ReverseProxyLayer::new().via(Via::new("edge").expect("a name"));
    let request = get("/").version(Version::HTTP_10).header("via", "1.1 other").body(full("")).expect("a request");
    let response = send(&proxy, request, async |request: Forwarded| {
        assert_eq!(request.headers().get_all("via").iter().collect::<Vec<_>>(), ["1.1 other", "1.0 edge"]);
        Ok(Response::builder().version(Version::HTTP_2).body(full(""))?)
    })
    .await;
    assert_eq!(response.headers()["via"], "2.0 edge");
    assert_eq!(response.version(), Version::HTTP_11);
}

#[tokio::test]
async fn fields_with_unusual_names_are_removed_unless_they_are_allowed() {
    for name in ["x_real_ip", "x.real.ip", "x+forwarded+for", "x-forwarded.for", "x~y"] {
        let request = || get("/").header(name, "6.6.6.6");
        let head = forwarded(&ReverseProxyLayer::new(), request()).await;
        assert!(!head.headers.contains_key(name), "{name}");
        let proxy = |names| ReverseProxyLayer::new().checks(RequestChecks::new().unusual_names(names));
        let refused = request().body(full("")).expect("a request");
        let response = send(&proxy(UnusualNames::Refuse), refused, async |_| Ok(Response::new(full("")))).await;
        assert_eq!((response.status().as_u16(), failure(&response)), (400, Some("field_name")), "{name}");
        let head = forwarded(&proxy(UnusualNames::Forward), request()).await;
        assert!(head.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn expectations_are_forwarded_unless_the_client_speaks_http_1_0() {
    let request = || get("/").header("expect", "100-continue");
    let head = forwarded(&ReverseProxyLayer::new(), request()).await;
    assert_eq!(head.headers["expect"], "100-continue");
    let head = forwarded(&ReverseProxyLayer::new(), request().version(Version::HTTP_10)).await;
    assert!(!head.headers.contains_key("expect"));
}

#[tokio::test]
async fn the_body_and_its_length_are_forwarded() {
    let request = get("/").method(Method::POST).header("content-length", "005").body(full("hello")).expect("a request");
    let response = send(&ReverseProxyLayer::new(), request, async |request: Forwarded| {
        assert_eq!(request.headers()["content-length"], "5");
        assert_eq!(http_body::Body::size_hint(request.body()).exact(), Some(5));
        let body = request.into_body().collect().await?.to_bytes();
        Ok(Response::builder()
            .header("content-length", "5")
            .body(Full::from(body).map_err(|never: std::convert::Infallible| match never {}).boxed_unsync())?)
    })
    .await;
    assert_eq!(response.headers()["content-length"], "5");
    assert_eq!(text(response).await, "hello");
}

fn with_trailers() -> Body {
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(4);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("content-length", HeaderValue::from_static("666"));
    sender.try_send(Frame::data(Bytes::from_static(b"data"))).unwrap_or_else(|_| panic!("a buffer"));
    sender.try_send(Frame::trailers(trailers)).unwrap_or_else(|_| panic!("a buffer"));
    body.boxed_unsync()
}

#[tokio::test]
async fn trailers_pass_in_both_directions_without_fields_that_must_not_be_there() {
    let request = get("/").method(Method::POST).body(with_trailers()).expect("a request");
    let check = |trailers: Option<&HeaderMap>| {
        let names: Vec<_> = trailers.expect("trailers").keys().map(|name| name.as_str().to_owned()).collect();
        assert_eq!(names, ["grpc-status"]);
    };
    let response = send(&ReverseProxyLayer::new(), request, async |request: Forwarded| {
        check(request.into_body().collect().await?.trailers());
        Ok(Response::new(with_trailers()))
    })
    .await;
    check(response.into_body().collect().await.expect("a body").trailers());
}
