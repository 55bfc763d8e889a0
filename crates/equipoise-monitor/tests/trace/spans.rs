//! The spans of requests, their fields and their events.

use std::{io, time::Duration};

use equipoise_core::EndpointSpec;
use equipoise_monitor::trace::{TARGET, Trace};
use equipoise_tower::{Balance, PlainProtocol};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use tracing::{Instrument, Level, level_filters::LevelFilter, subscriber::set_default};
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, registry};

use crate::common::{Frames, Recorded, Recorder, answering, failing, get, ok, pool};

/// Runs within a subscriber that records spans up to this level, and returns them.
async fn recorded<F: Future>(level: LevelFilter, run: impl FnOnce() -> F) -> Recorder {
    let recorder = Recorder::default();
    let _guard = set_default(registry().with(recorder.clone().with_filter(level)));
    run().await;
    recorder
}

#[tokio::test]
async fn a_request_with_a_failover_is_a_span_with_two_attempts() {
    let recorder = recorded(LevelFilter::DEBUG, || async {
        let pool = pool([("10.0.0.1:80", failing(io::ErrorKind::ConnectionRefused)), ("http://10.0.0.2", ok())]);
        let trace = Trace::client("web");
        Balance::new(pool).observe(trace).oneshot(get()).await.unwrap().collect().await.unwrap();
    })
    .await;
    let spans = recorder.spans();
    assert_eq!(
        spans.iter().map(|span| (span.name, span.parent)).collect::<Vec<_>>(),
        [("request", None), ("attempt", Some(0)), ("attempt", Some(0))]
    );
    assert!(spans.iter().all(|span| span.closed && span.target == TARGET));
    let of = |span: &Recorded| span.fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    assert_eq!(
        of(&spans[0]),
        [
            "equipoise.attempts=2",
            "equipoise.endpoint=http://10.0.0.2",
            "equipoise.outcome=response",
            "equipoise.pool=web",
            "http.request.method=GET",
            "http.response.status_code=200",
            "otel.kind=client",
            "otel.name=GET",
            "server.address=shop.example",
            "server.port=8080",
            "url.full=http://shop.example:8080/orders",
        ]
    );
    assert_eq!(
        of(&spans[1]),
        [
            "equipoise.endpoint=10.0.0.1:80",
            "equipoise.outcome=error",
            "equipoise.pool=web",
            "error.type=not_sent",
            "http.request.method=GET",
            "otel.kind=client",
            "otel.name=GET",
            "otel.status_code=ERROR",
            "otel.status_description=connection refused",
            "server.address=10.0.0.1",
            "server.port=80",
            "url.full=http://10.0.0.1:80/orders",
        ]
    );
    assert_eq!(
        of(&spans[2]),
        [
            "equipoise.endpoint=http://10.0.0.2",
            "equipoise.outcome=response",
            "equipoise.pool=web",
            "http.request.method=GET",
            "http.request.resend_count=1",
            "http.response.status_code=200",
            "otel.kind=client",
            "otel.name=GET",
            "server.address=10.0.0.2",
            "server.port=80",
            "url.full=http://10.0.0.2/orders",
        ]
    );
    assert_eq!(spans[0].messages(), ["pick", "failover", "pick"]);
    assert_eq!(spans[1].messages(), ["verdict"]);
    assert_eq!(spans[1].events[0].1["equipoise.verdict"], "failure_connect");
    assert_eq!(spans[2].events[0].1["equipoise.verdict"], "success");
    let pick = &spans[0].events[0].1;
    assert_eq!(
        (&*pick["equipoise.strategy"], &*pick["equipoise.binding"], &*pick["equipoise.endpoint"]),
        ("RoundRobin", "unbound", "10.0.0.1:80")
    );
    assert!(!pick.contains_key("equipoise.explanation"));
}

#[tokio::test]
async fn a_server_span_has_the_fields_of_a_server() {
    let recorder = recorded(LevelFilter::DEBUG, || async {
        let request = Request::get("/orders?token=secret").header("host", "shop.example");
        let trace = Trace::server("web").scheme("https").queries(true);
        let missing = answering(Response::builder().status(404).body(Frames::default()).unwrap());
        let balance = Balance::new(pool([("10.0.0.1:80", missing)])).observe(trace);
        drop(balance.oneshot(request.body(Full::default()).unwrap()).await.unwrap());
    })
    .await;
    let (request, attempt) = (recorder.span("request"), recorder.span("attempt"));
    let of = |span: &Recorded, name| span.field(name).map(str::to_owned);
    assert_eq!(of(&request, "otel.kind").as_deref(), Some("server"));
    assert_eq!(of(&request, "url.scheme").as_deref(), Some("https"));
    assert_eq!(of(&request, "url.path").as_deref(), Some("/orders"));
    assert_eq!(of(&request, "url.query").as_deref(), Some("token=secret"));
    assert_eq!(of(&request, "url.full"), None);
    assert_eq!(of(&request, "network.protocol.version").as_deref(), Some("1.1"));
    // 404 is an error for the client of an endpoint, and none of the server.
    assert_eq!(of(&request, "error.type"), None);
    assert_eq!(of(&attempt, "error.type").as_deref(), Some("404"));
    assert_eq!(of(&attempt, "otel.status_code").as_deref(), Some("ERROR"));
    assert_eq!(of(&attempt, "url.full").as_deref(), Some("https://10.0.0.1:80/orders?token=secret"));
}

#[tokio::test]
async fn at_info_there_is_nothing() {
    let recorder = recorded(LevelFilter::INFO, || async {
        let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&seen);
        let service = crate::common::mock(move |_| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::future::ready(Ok(Response::new(Frames::default())))
        });
        let balance = Balance::new(pool([("a:80", service)])).observe(Trace::client("web").explain(1.0));
        drop(balance.oneshot(get()).await.unwrap());
        assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), 1);
    })
    .await;
    assert!(recorder.spans().is_empty(), "{:?}", recorder.spans());
}

#[tokio::test]
async fn the_target_turns_traces_on_and_off() {
    for (filter, count) in [("info", 0), ("debug,equipoise::request=off", 0), ("info,equipoise::request=debug", 2)] {
        let recorder = Recorder::default();
        let filter: Targets = filter.parse().unwrap();
        let _guard = set_default(registry().with(recorder.clone().with_filter(filter)));
        drop(Balance::new(pool([("a:80", ok())])).observe(Trace::client("web")).oneshot(get()).await.unwrap());
        assert_eq!(recorder.spans().len(), count);
    }
}

#[tokio::test]
async fn the_share_of_explained_requests_says_why_not_the_others() {
    let recorder = recorded(LevelFilter::DEBUG, || async {
        let pool = pool([("a:80", ok()), ("b:80", ok())]);
        pool.drain("b:80").unwrap();
        let balance = Balance::new(pool).observe(Trace::client("web").explain(0.5));
        for _ in 0..4 {
            drop(balance.clone().oneshot(get()).await.unwrap());
        }
    })
    .await;
    let explained = |span: &Recorded| span.events[0].1.get("equipoise.explanation").cloned();
    let all: Vec<_> = recorder.spans().iter().filter(|span| span.name == "request").map(explained).collect();
    let why = Some("a:80 picked in_flight=0; b:80 draining in_flight=0".to_owned());
    assert_eq!(all, [None, why.clone(), None, why]);
}

#[tokio::test]
async fn an_explanation_of_a_large_pool_is_short() {
    let recorder = recorded(LevelFilter::DEBUG, || async {
        let pool = pool([]);
        pool.update((0..1_000).map(|at| EndpointSpec::new(format!("10.0.0.1:{}", at + 1))), |_| ok()).unwrap();
        drop(Balance::new(pool).observe(Trace::client("web").explain(1.0)).oneshot(get()).await.unwrap());
    })
    .await;
    let why = &recorder.span("request").events[0].1["equipoise.explanation"];
    assert!(why.contains("picked") && why.ends_with("; and 980 more"), "{why}");
    assert!(why.len() < 2_000);
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_the_queue_is_two_events() {
    let recorder = recorded(LevelFilter::DEBUG, || async {
        let balance = Balance::new(pool([])).queue_timeout(Duration::from_secs(3)).observe(Trace::client("web"));
        balance.oneshot(get()).await.unwrap_err();
    })
    .await;
    let request = recorder.span("request");
    assert_eq!(request.messages(), ["queue entered", "queue left"]);
    let left = &request.events[1].1;
    assert_eq!((&*left["equipoise.queue.end"], &*left["equipoise.queue.seconds"]), ("failed", "3.0"));
    assert_eq!(left["equipoise.queue.reason"], "empty");
    assert_eq!((request.field("error.type"), request.field("equipoise.outcome")), (Some("empty"), Some("error")));
    assert!(recorder.attempts().is_empty());
}

#[tokio::test]
async fn the_spans_of_a_call_of_grpc_end_with_its_trailers() {
    let trailers =
        |status: &'static str| HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
    for (trailers, status, of_request) in [
        (Some(trailers("0")), "OK", None),
        (Some(trailers("5")), "NOT_FOUND", None),
        (Some(trailers("14")), "UNAVAILABLE", Some("UNAVAILABLE")),
        (None, "UNKNOWN", Some("UNKNOWN")),
    ] {
        let recorder = recorded(LevelFilter::DEBUG, || async {
            let mut frames = Frames::default();
            frames.0.push_back(Some(Ok("message".into())));
            frames.0.extend(trailers.map(|trailers| Some(Err(trailers))));
            let response = Response::builder().header("content-type", "application/grpc").body(frames).unwrap();
            let request = Request::post("http://shop/shop.Orders/Get").header("content-type", "application/grpc");
            let balance = Balance::new(pool([("a:80", answering(response))])).observe(Trace::server("web"));
            let response = balance.oneshot(request.body(Full::default()).unwrap()).await.unwrap();
            response.collect().await.unwrap();
        })
        .await;
        let (request, attempt) = (recorder.span("request"), recorder.span("attempt"));
        for span in [&request, &attempt] {
            assert_eq!(span.field("otel.name"), Some("shop.Orders/Get"));
            assert_eq!(span.field("rpc.system.name"), Some("grpc"));
            assert_eq!(span.field("rpc.response.status_code"), Some(status));
            assert_eq!(span.field("http.request.method"), None);
            assert!(span.closed);
        }
        assert_eq!(request.field("error.type"), of_request);
        assert_eq!(attempt.field("error.type"), (status != "OK").then_some(status));
        assert_eq!(attempt.messages(), ["verdict"]);
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_an_error_of_both_spans() {
    let recorder = recorded(LevelFilter::DEBUG, || async {
        let frames = Frames([Some(Ok("a".into())), None].into());
        let balance = Balance::new(pool([("a:80", answering(Response::new(frames)))])).observe(Trace::client("web"));
        balance.oneshot(get()).await.unwrap().collect().await.unwrap_err();
    })
    .await;
    for span in recorder.spans() {
        assert_eq!(
            (span.field("error.type"), span.field("http.response.status_code")),
            (Some("transport"), Some("200"))
        );
        assert!(span.closed);
    }
    assert_eq!(recorder.span("attempt").messages(), ["verdict", "verdict"]);
}

#[tokio::test]
async fn a_request_that_its_caller_gives_up_is_cancelled_and_no_error() {
    let recorder = recorded(LevelFilter::DEBUG, || async {
        let pending = crate::common::mock(|_| std::future::pending());
        let balance = Balance::new(pool([("a:80", pending)])).observe(Trace::client("web"));
        tokio::select! {
            biased;
            _ = balance.oneshot(get()) => unreachable!("there is no response"),
            () = std::future::ready(()) => {}
        }
    })
    .await;
    for span in recorder.spans() {
        assert_eq!((span.field("equipoise.outcome"), span.field("error.type")), (Some("cancelled"), None));
        assert!(span.closed);
    }
    assert_eq!(recorder.spans().len(), 2);
}

#[tokio::test]
async fn requests_without_a_head_have_spans_too() {
    let recorder = recorded(LevelFilter::DEBUG, || async {
        let pool = equipoise_core::Pool::default();
        let service = tower::service_fn(|n: u32| std::future::ready(Ok::<_, io::Error>(n + 1)));
        pool.add(EndpointSpec::new("a:80"), service).unwrap();
        let balance = Balance::with_protocol(pool, PlainProtocol::new()).observe(Trace::client("numbers"));
        balance.oneshot(1).await.unwrap();
    })
    .await;
    let (request, attempt) = (recorder.span("request"), recorder.span("attempt"));
    assert_eq!((request.field("otel.name"), attempt.field("otel.name")), (Some("request"), Some("attempt")));
    assert_eq!((request.field("url.full"), attempt.field("server.address")), (None, Some("a")));
    assert!(request.closed && attempt.closed);
}

#[tokio::test]
async fn the_parent_of_a_request_is_the_current_span() {
    let recorder = recorded(LevelFilter::DEBUG, || {
        let span = tracing::span!(target: "app", Level::DEBUG, "handler");
        async {
            drop(Balance::new(pool([("a:80", ok())])).observe(Trace::client("web")).oneshot(get()).await.unwrap());
        }
        .instrument(span)
    })
    .await;
    let names: Vec<_> = recorder.spans().iter().map(|span| (span.name, span.parent)).collect();
    assert_eq!(names, [("handler", None), ("request", Some(0)), ("attempt", Some(1))]);
}
