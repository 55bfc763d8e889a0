use std::{sync::Arc, time::Duration};

use equipoise_proxy::{ReverseProxyLayer, Timeouts};
use equipoise_tower::BoxError;
use http::{Method, Response};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::{Body, Forwarded, failure, full, get, send, stalled::Stalled, text};

const SECOND: Duration = Duration::from_secs(1);

fn stalled(frames: &[&'static str], pause: Duration) -> Body {
    Stalled::after(frames, pause).boxed_unsync()
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_respond_gets_504() {
    let proxy = ReverseProxyLayer::new().timeouts(Timeouts::new().head(SECOND));
    let request = get("/").body(full("")).expect("a request");
    let began = Instant::now();
    let response = send(&proxy, request, |_| std::future::pending()).await;
    assert_eq!((response.status().as_u16(), failure(&response)), (504, Some("head_timeout")));
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_time_to_the_head_begins_again_with_each_frame_of_the_request() {
    let proxy = ReverseProxyLayer::new().timeouts(Timeouts::new().head(SECOND).idle(SECOND * 10));
    let request = get("/").method(Method::POST).body(stalled(&["a"; 5], SECOND / 2)).expect("a request");
    let began = Instant::now();
    let response = send(&proxy, request, async |request: Forwarded| {
        let mut body = request.into_body();
        while body.frame().await.is_some() {}
        Ok(Response::new(full("")))
    })
    .await;
    // The endpoint waits for the client.
    assert_eq!((response.status().as_u16(), failure(&response)), (408, Some("body_silent")));
    assert_eq!(began.elapsed().as_millis() / 100, 35);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_sending_gets_408() {
    let proxy = ReverseProxyLayer::new().timeouts(Timeouts::new().idle(SECOND));
    let body = || Stalled::after(&["a"; 3], SECOND / 2);
    for (body, label, message) in [
        (body().of_length(4), "body_idle", "the body of the request did not arrive in time"),
        // Each side of a stream may wait for the other one.
        (body(), "body_silent", "neither the client nor the backend sent anything in time"),
    ] {
        let request = get("/").method(Method::POST).body(body.boxed_unsync()).expect("a request");
        let response = send(&proxy, request, async |request: Forwarded| {
            let body = request.into_body().collect().await?;
            drop(body);
            Ok(Response::new(full("")))
        })
        .await;
        assert_eq!((response.status().as_u16(), failure(&response)), (408, Some(label)));
        assert_eq!(response.headers()["connection"], "close");
        let document = format!("\"detail\":\"{message}\",\"code\":\"{label}\"");
        let text = text(response).await;
        assert!(text.contains(&document), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_side_that_is_late_decides_the_status() {
    let request = || get("/").method(Method::POST).body(stalled(&["a"; 3], SECOND)).expect("a request");
    for proxy in [
        ReverseProxyLayer::new(),
        ReverseProxyLayer::new().timeouts(Timeouts::none().head(SECOND * 9)),
        ReverseProxyLayer::new().timeouts(Timeouts::none().total(SECOND * 9)),
    ] {
        let response = send(&proxy, request(), async |request: Forwarded| {
            // Like a client of an endpoint, it waits for the head while another task sends the body.
            tokio::spawn(request.into_body().collect());
            std::future::pending().await
        })
        .await;
        assert_eq!(response.status(), 408);
        // The endpoint does not read the body.
        let response = send(&proxy, request(), async |request: Forwarded| {
            let _request = request;
            std::future::pending().await
        })
        .await;
        assert_eq!(response.status(), 504);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stalls_after_the_response_is_given_up() {
    let proxy = ReverseProxyLayer::new().timeouts(Timeouts::new().idle(SECOND));
    for (is_read, is_late) in [(true, false), (false, false), (true, true), (false, true)] {
        let (done, given_up) = tokio::sync::oneshot::channel();
        let done = std::cell::Cell::new(Some(done));
        let request = get("/").method(Method::POST).body(stalled(&["a"], SECOND / 2)).expect("a request");
        let response = send(&proxy, request, async |request: Forwarded| {
            let done = done.take().expect("one request");
            tokio::spawn(async move {
                let result = request.into_body().collect().await.map(drop);
                let _ = done.send((result, Instant::now()));
            });
            Ok(Response::new(full("early")))
        })
        .await;
        if is_late {
            // Longer than the idle time: the silence before the end does not count. The clock is paused.
            tokio::time::sleep(SECOND * 5).await;
        }
        let ended = Instant::now();
        let mut body = response.into_body();
        if is_read {
            body.frame().await.expect("a frame").expect("no error");
        } else {
            drop(body);
        }
        let (result, at) = given_up.await.expect("the body was given up");
        assert_eq!(result.expect_err("incomplete").as_str(), "body_idle");
        let frame = if is_late { Duration::ZERO } else { SECOND / 2 };
        assert_eq!((at - ended).as_millis() / 100, (SECOND + frame).as_millis() / 100, "{is_read} {is_late}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_time_limits_an_upload_during_the_response() {
    let proxy = ReverseProxyLayer::new().timeouts(Timeouts::new().idle(SECOND).total(SECOND * 3));
    let (done, given_up) = tokio::sync::oneshot::channel();
    let done = std::cell::Cell::new(Some(done));
    let request = get("/").method(Method::POST).body(stalled(&[], SECOND)).expect("a request");
    let began = Instant::now();
    let response = send(&proxy, request, async |request: Forwarded| {
        let done = done.take().expect("one request");
        tokio::spawn(async move { done.send(request.into_body().collect().await.map(drop)) });
        Ok(Response::new(full("early")))
    })
    .await;
    let result = given_up.await.expect("the body was given up");
    assert_eq!(result.expect_err("incomplete").as_str(), "body_total");
    assert_eq!(began.elapsed(), SECOND * 3);
    drop(response);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_stalls_is_aborted() {
    let proxy = ReverseProxyLayer::new().timeouts(Timeouts::new().idle(SECOND));
    let request = get("/").body(full("")).expect("a request");
    let response = send(&proxy, request, async |_| Ok(Response::new(stalled(&["a"; 3], SECOND / 2)))).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    for _ in 0..3 {
        assert!(body.frame().await.expect("a frame").is_ok());
    }
    let error = body.frame().await.expect("an error").expect_err("stalled");
    assert_eq!(error.to_string(), "the endpoint sent nothing more of its response in time");
}

#[tokio::test(start_paused = true)]
async fn the_whole_time_limits_head_and_body() {
    let proxy = ReverseProxyLayer::new().timeouts(Timeouts::none().total(SECOND * 2));
    let request = || get("/").body(full("")).expect("a request");
    let response = send(&proxy, request(), |_| std::future::pending()).await;
    assert_eq!((response.status().as_u16(), failure(&response)), (504, Some("total_timeout")));

    let response = send(&proxy, request(), async |_| Ok(Response::new(stalled(&["a"; 9], SECOND / 2)))).await;
    let began = Instant::now();
    let error = response.into_body().collect().await.expect_err("too long");
    assert_eq!(error.to_string(), "the response was not completed in time");
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_direction_of_a_stream_may_be_silent() {
    let proxy = ReverseProxyLayer::new().timeouts(Timeouts::new().idle(SECOND));
    // The client sends and the endpoint is silent, until the client stops too.
    let request = get("/").method(Method::POST).body(stalled(&["a"; 5], SECOND / 2)).expect("a request");
    let response = send(&proxy, request, async |request: Forwarded| {
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {}
        });
        Ok(Response::new(stalled(&[], SECOND)))
    })
    .await;
    let began = Instant::now();
    let error = response.into_body().collect().await.expect_err("stalled");
    assert_eq!(error.as_str(), "idle");
    assert_eq!(began.elapsed().as_millis() / 100, 35);

    // The endpoint sends and the client is silent.
    let request = get("/").method(Method::POST).body(stalled(&[], SECOND)).expect("a request");
    let response = send(&proxy, request, async |request: Forwarded| {
        tokio::spawn(request.into_body().collect());
        Ok(Response::new(stalled(&["a"; 5], SECOND / 2)))
    })
    .await;
    let mut body = response.into_body();
    for _ in 0..5 {
        assert!(body.frame().await.expect("a frame").is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_head_begins_when_the_inner_service_is_ready() {
    /// Is ready after a time, and responds after a time.
    #[derive(Clone)]
    struct Slow(Arc<tokio::sync::Semaphore>);

    impl tower::Service<Forwarded> for Slow {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>>>>;

        fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
            if self.0.available_permits() > 0 {
                return std::task::Poll::Ready(Ok(()));
            }
            let (ready, waker) = (Arc::clone(&self.0), cx.waker().clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(4)).await;
                ready.add_permits(1);
                waker.wake();
            });
            std::task::Poll::Pending
        }

        fn call(&mut self, _: Forwarded) -> Self::Future {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(4)).await;
                Ok(Response::new(full("ok")))
            })
        }
    }

    let layer = ReverseProxyLayer::new().timeouts(Timeouts::none().head(Duration::from_secs(5)));
    let proxy = tower::Layer::layer(&layer, Slow(Arc::new(tokio::sync::Semaphore::new(0))));
    let request = get("/").body(full("")).expect("a request");
    let response = tower::ServiceExt::oneshot(proxy, request).await.unwrap_or_else(|never| match never {});
    assert_eq!(response.status(), 200);
}
