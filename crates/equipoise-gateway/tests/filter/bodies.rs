use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use equipoise_gateway::filter::{
    BodyEvent, BodyFilter, BodyOutput, BodyRejected, FilteredBody, FilteredBodyError, FilteredResponse, LimitSize,
    ObserveBody, RejectText, ReplaceText, RequestBodyFilterLayer, ResponseBodyFilterLayer,
};
use equipoise_tower::RequestHead;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, channel::Channel};
use parking_lot::Mutex;
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

use super::{Chunks, mirror, reply};

/// Returns the result of a future that waits for nothing.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits for something"),
    }
}

fn replace() -> ReplaceText {
    ReplaceText::new([("http://internal/", "https://app.test/"), ("secret", "")]).expect("texts")
}

/// Sends a GET request, with some fields of the response, through a layer. Returns the head and the body.
fn get<R>(layer: &ResponseBodyFilterLayer, method: &str, response: Response<R>) -> (HeaderMap, String)
where
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<equipoise_tower::BoxError>,
{
    let response = Mutex::new(Some(response));
    let endpoint = service_fn(move |request: Request<()>| {
        assert!(!request.headers().contains_key("range") && !request.headers().contains_key("accept-encoding"));
        std::future::ready(Ok::<_, Infallible>(response.lock().take().expect("one request")))
    });
    let request = Request::builder().method(method).uri("/").header("range", "bytes=0-1");
    let request = request.header("accept-encoding", "gzip").header("if-none-match", "W/\"v2\"");
    let response = now(layer.layer(endpoint).oneshot(request.body(()).expect("a request"))).expect("a response");
    let (parts, body) = response.into_parts();
    let body = now(body.collect()).expect("a body").to_bytes();
    (parts.headers, String::from_utf8(body.into()).expect("UTF-8"))
}

fn page(body: &'static str) -> http::response::Builder {
    Response::builder()
        .header("content-type", "text/html; charset=utf-8")
        .header("content-length", body.len())
        .header("etag", "\"v1\"")
        .header("accept-ranges", "bytes")
        .header("content-digest", "sha-256=:x:")
}

#[test]
fn texts_in_responses_are_replaced() {
    let layer = ResponseBodyFilterLayer::new(replace()).content_types(["text/html"]);
    let text = "<a href='http://internal/x'>secret link</a>";
    let (headers, body) = get(&layer, "GET", page(text).body(Full::<Bytes>::from(text)).expect("a response"));
    assert_eq!(body, "<a href='https://app.test/x'> link</a>");
    assert_eq!(headers["etag"], "W/\"v1\"");
    for name in ["content-length", "accept-ranges", "content-digest"] {
        assert!(!headers.contains_key(name), "{name}");
    }
}

#[test]
fn responses_without_a_body_have_the_fields_of_the_filtered_one() {
    let layer = ResponseBodyFilterLayer::new(replace());
    let fields = |response: Response<_>| {
        let (headers, body) = get(&layer, "HEAD", response);
        assert_eq!(body, "");
        let tag = headers["etag"].to_str().expect("text").to_owned();
        (tag, headers.contains_key("content-length"))
    };
    let empty = Full::<Bytes>::default;
    assert_eq!(fields(page("secret").body(empty()).expect("a response")), ("W/\"v1\"".to_owned(), false));
    // The client of `get` has the weak tag of version 2.
    for (tag, expected) in [("\"v2\"", "W/\"v2\""), ("\"v3\"", "\"v3\"")] {
        let response = Response::builder().status(304).header("etag", tag).body(empty()).expect("a response");
        assert_eq!(fields(response).0, expected);
    }
}

#[test]
fn an_observer_sees_the_end_of_a_response_to_head() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let layer = ResponseBodyFilterLayer::new({
        let seen = Arc::clone(&seen);
        move |_: &FilteredResponse<'_>| {
            let seen = Arc::clone(&seen);
            let observe = ObserveBody::new(move |event| seen.lock().push(format!("{event:?}")));
            Some(Box::new(observe) as Box<dyn BodyFilter>)
        }
    });
    let (headers, _) = get(&layer, "HEAD", page("secret").body(Full::<Bytes>::default()).expect("a response"));
    assert_eq!((&headers["etag"], &headers["content-length"]), (&"\"v1\"".parse().expect("a value"), &6.into()));
    assert_eq!(*seen.lock(), ["End"]);
}

#[test]
fn some_responses_are_passed_on_as_they_are() {
    let layer = ResponseBodyFilterLayer::new(replace()).content_types(["text/html"]);
    let text = "secret";
    let unchanged = |method: &str, response: http::response::Builder| {
        let (headers, body) = get(&layer, method, response.body(Full::<Bytes>::from(text)).expect("a response"));
        assert_eq!((body.as_str(), &headers["etag"]), (text, &"\"v1\"".parse().expect("a value")));
        assert!(headers.contains_key("content-length"));
    };
    unchanged("CONNECT", page(text));
    unchanged("GET", page(text).status(204));
    unchanged("GET", page(text).status(304));
    unchanged("GET", page(text).status(206));
    unchanged("GET", page(text).header("content-encoding", "gzip"));
    let mut json = page(text);
    json.headers_mut().expect("headers").insert("content-type", "application/json".parse().expect("a value"));
    unchanged("GET", json);
}

#[test]
fn case_can_be_ignored_and_one_text_replaced() {
    let filter = ReplaceText::ignoring_case([("SECRET", "***")]).expect("texts").once(true);
    let layer = ResponseBodyFilterLayer::new(filter);
    let chunks = Chunks::new(["a se", "CRet and ", "secret", " se"]);
    let (_, body) = get(&layer, "GET", Response::new(chunks));
    assert_eq!(body, "a *** and secret se");
}

#[test]
fn trailers_pass_after_what_is_kept() {
    let trailers = HeaderMap::from_iter([("x-sum".parse().expect("a name"), "1".parse().expect("a value"))]);
    let layer = ResponseBodyFilterLayer::new(replace());
    let endpoint = service_fn(move |_: Request<()>| {
        let body = Chunks::new(["secret sec"]).trailers(trailers.clone());
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let response = now(layer.layer(endpoint).oneshot(Request::new(()))).expect("a response");
    let collected = now(response.into_body().collect()).expect("a body");
    assert_eq!(collected.trailers().expect("trailers")["x-sum"], "1");
    assert_eq!(collected.to_bytes(), " sec");
}

#[tokio::test]
async fn a_request_with_a_forbidden_text_gets_403_and_the_text_is_not_forwarded() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writes = Arc::clone(&seen);
    let endpoint = service_fn(move |request: Request<FilteredBody<Chunks>>| {
        let writes = Arc::clone(&writes);
        async move {
            let mut body = pin!(request.into_body());
            while let Some(frame) = BodyExt::frame(&mut body).await {
                let data: Bytes = frame?.into_data().expect("data");
                writes.lock().extend_from_slice(&data);
            }
            Ok::<_, FilteredBodyError>(Response::new(Full::<Bytes>::default()))
        }
    });
    let layer = RequestBodyFilterLayer::new(RejectText::new(["${jndi:"]).expect("texts"));
    let send = |chunks: &'static [&'static str]| {
        layer.layer(endpoint.clone()).oneshot(Request::post("/").body(Chunks::new(chunks)).expect("a request"))
    };
    let denied = reply(send(&["a ${j", "NDI:ldap}"]).await.expect("a response")).await;
    assert_eq!((denied.status, denied.code), (403, Some("body_rejected")));
    assert_eq!(*seen.lock(), b"a ");
    assert_eq!(send(&["a ${j", "}"]).await.expect("a response").status(), 200);
    assert_eq!(*seen.lock(), b"a a ${j}");
    assert_eq!((layer.stats().filtered, layer.stats().rejected), (2, 1));
}

#[tokio::test]
async fn the_size_of_bodies_is_limited() {
    let layer = RequestBodyFilterLayer::new(LimitSize::new(4));
    for (body, status) in [("1234", 200), ("12345", 413)] {
        let chunks = Chunks::new(body.as_bytes().chunks(1));
        let response = layer.layer(mirror()).oneshot(Request::post("/").body(chunks).expect("a request")).await;
        assert_eq!(reply(response.expect("a response")).await.status, status);
    }
    let responses = ResponseBodyFilterLayer::new(LimitSize::new(4));
    let response =
        responses.layer(mirror()).oneshot(Request::get("/").body(Full::<Bytes>::from("12345")).expect("a request"));
    let body = response.await.expect("a response").into_body();
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(body.collect().await.is_err(), "the client sees that the body is not complete");
    assert_eq!((responses.stats().filtered, responses.stats().rejected), (1, 1));
}

#[tokio::test]
async fn an_endpoint_that_has_responded_before_is_heard() {
    let layer = RequestBodyFilterLayer::new(LimitSize::new(1));
    let endpoint = service_fn(|request: Request<FilteredBody<Chunks>>| async move {
        drop(BodyExt::collect(request.into_body()).await.map(|_| ()));
        Ok::<_, Infallible>(Response::builder().status(409).body(Full::<Bytes>::default()).expect("a response"))
    });
    let request = Request::post("/").body(Chunks::new(["12"])).expect("a request");
    assert_eq!(layer.layer(endpoint).oneshot(request).await.expect("a response").status(), 409);
}

#[test]
fn encoded_bodies_do_not_pass_by_a_filter_that_cannot_read_them() {
    let send = |layer: &RequestBodyFilterLayer, encoding: &str, chunks: &[&str]| {
        let request = Request::post("/").header("content-encoding", encoding).header("content-length", "6");
        let request = request.body(Chunks::new(chunks)).expect("a request");
        now(reply(now(layer.layer(mirror()).oneshot(request)).expect("a response")))
    };
    let reject = RejectText::new(["${jndi:"]).expect("texts");
    let append = |_: RequestHead<'_>| Some(Box::new(Append) as Box<dyn BodyFilter>);
    for layer in [
        RequestBodyFilterLayer::new(replace()),
        RequestBodyFilterLayer::new(reject),
        RequestBodyFilterLayer::new(append),
    ] {
        for encoding in ["gzip", "identity, gzip", "x-unknown"] {
            let refused = send(&layer, encoding, &["secret"]);
            assert_eq!((refused.status, refused.code), (415, Some("unsupported_content_encoding")), "{encoding}");
            assert_eq!(refused.headers["accept-encoding"], "identity");
        }
        assert_eq!((layer.stats().filtered, layer.stats().rejected), (0, 3));
        assert_eq!(send(&layer, "Identity", &["text"]).status, 200);
        // Nothing can hide in no body.
        assert_eq!(now(layer.layer(mirror()).oneshot(empty("gzip"))).expect("a response").status(), 200);
    }
    let all = RequestBodyFilterLayer::new(replace()).encoded(true);
    assert_eq!(send(&all, "gzip", &["secret"]).body, "");
    let counting = RequestBodyFilterLayer::new(LimitSize::new(1));
    assert_eq!(send(&counting, "gzip", &["secret"]).status, 413);
    let none = RequestBodyFilterLayer::new(|_: RequestHead<'_>| -> Option<Box<dyn BodyFilter>> { None });
    assert_eq!(send(&none, "gzip", &["secret"]).body, "secret");
}

/// A request without a body that has an encoding.
fn empty(encoding: &str) -> Request<Full<Bytes>> {
    Request::post("/").header("content-encoding", encoding).body(Full::default()).expect("a request")
}

#[test]
fn an_observer_sees_how_a_body_ends() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let writes = Arc::clone(&events);
    let layer = ResponseBodyFilterLayer::new(move |response: &FilteredResponse<'_>| {
        if response.status != 200 {
            return None;
        }
        let writes = Arc::clone(&writes);
        Some(Box::new(ObserveBody::new(move |event| {
            writes.lock().push(match event {
                BodyEvent::Data(data) => String::from_utf8_lossy(data).into_owned(),
                BodyEvent::End => "end".to_owned(),
                BodyEvent::Trailers(_) => "trailers".to_owned(),
                _ => "incomplete".to_owned(),
            });
        })) as Box<dyn BodyFilter>)
    });
    let (headers, _) = get(&layer, "GET", page("ab").body(Chunks::new(["a", "", "b"])).expect("a response"));
    assert!(headers.contains_key("content-length"), "the body is not changed");
    assert_eq!(std::mem::take(&mut *events.lock()), ["a", "b", "end"]);

    // The client goes away.
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let body = Mutex::new(Some(body));
    let endpoint = service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(body.lock().take().expect("one request"))))
    });
    let response = now(layer.layer(endpoint).oneshot(Request::new(()))).expect("a response");
    now(sender.send_data(Bytes::from("a"))).expect("room");
    let mut body = response.into_body();
    now(body.frame()).expect("a frame").expect("data");
    drop(body);
    assert_eq!(*events.lock(), ["a", "incomplete"]);
}

#[test]
fn requests_without_a_body_are_not_filtered() {
    let layer = RequestBodyFilterLayer::new(|_: RequestHead<'_>| -> Option<Box<dyn BodyFilter>> {
        panic!("there is nothing to filter")
    });
    let request = Request::get("/").body(Full::<Bytes>::default()).expect("a request");
    assert_eq!(now(layer.layer(mirror()).oneshot(request)).expect("a response").status(), 200);
}

/// Adds a text at the end, and refuses a NUL.
struct Append;

impl BodyFilter for Append {
    fn chunk(&mut self, data: Bytes, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
        if data.contains(&0) {
            return Err(BodyRejected::bad_request("nul", "a body has no NUL"));
        }
        output.push(data);
        Ok(())
    }

    fn end(&mut self, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
        output.push("!");
        Ok(())
    }
}

#[test]
fn a_filter_of_an_application_is_called_in_order() {
    let append = |_: RequestHead<'_>| Some(Box::new(Append) as Box<dyn BodyFilter>);
    let layer = RequestBodyFilterLayer::new(append);
    let send = |chunks: &[&str]| {
        let request = Request::post("/").body(Chunks::new(chunks)).expect("a request");
        now(reply(now(layer.layer(mirror()).oneshot(request)).expect("a response")))
    };
    assert_eq!(send(&["a", "", "b"]).body, "ab!");
    let denied = send(&["a", "\0"]);
    assert_eq!((denied.status, denied.code), (400, Some("nul")));
}

proptest! {
    #[test]
    fn any_chunks_of_a_body_give_the_same_bytes(
        text in "(secret|secre|s|http://internal/|http:|x| ){0,12}",
        cuts in proptest::collection::vec(0..100_usize, 0..20),
    ) {
        let expected = text.replace("http://internal/", "https://app.test/").replace("secret", "");
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let chunks = Chunks::new(cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]));
        let layer = RequestBodyFilterLayer::new(replace());
        let request = Request::post("/").body(chunks).expect("a request");
        prop_assert_eq!(now(reply(now(layer.layer(mirror()).oneshot(request)).expect("a response"))).body, expected);
    }
}
