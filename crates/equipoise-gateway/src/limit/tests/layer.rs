use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use equipoise_affinity::source::ClientAddress;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::{Limited, field, from, with};
use crate::{
    DenialCode, Identity, Mechanism,
    limit::{InFlightLayer, InvalidRateLimit, Limit, LimitFields, LimitKey, Quota, RateLimitBuilder, RateLimitLayer},
};

fn client() -> LimitKey {
    LimitKey::client(ClientAddress::connection())
}

#[tokio::test]
async fn a_client_is_denied_after_its_burst_until_a_unit_is_back() {
    let limited =
        Limited::new(RateLimitLayer::builder().limit(Limit::new("client", client(), Quota::per_second(2).burst(3))));
    assert_eq!(limited.statuses(4, || from("192.0.2.7")).await, [200, 200, 200, 429]);
    assert_eq!(limited.statuses(1, || from("192.0.2.8")).await, [200]);
    limited.advance(499);
    assert_eq!(limited.statuses(1, || from("192.0.2.7")).await, [429]);
    limited.advance(1);
    assert_eq!(limited.statuses(2, || from("192.0.2.7")).await, [200, 429]);
    let stats = &limited.layer.stats()[0];
    assert_eq!((stats.name.as_str(), stats.admitted, stats.denied, stats.keys), ("client", 5, 3, 2));
}

/// Counts the warnings in the log.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn the_first_request_without_an_address_writes_a_warning() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let limited =
        Limited::new(RateLimitLayer::builder().limit(Limit::new("client", client(), Quota::per_second(9).burst(9))));
    for (request, expected) in [(from("192.0.2.7"), 0), (Request::new(()), 1), (Request::new(()), 1)] {
        limited.ask(request).await;
        assert_eq!(warnings.0.load(Ordering::Relaxed), expected);
    }
}

#[tokio::test]
async fn responses_show_the_limits() {
    let limited =
        Limited::new(RateLimitLayer::builder().limit(Limit::new("client", client(), Quota::per_minute(60).burst(2))));
    let first = limited.ask(from("192.0.2.7")).await;
    assert_eq!(field(&first, "ratelimit-policy").as_deref(), Some("\"client\";q=2;w=2"));
    assert_eq!(field(&first, "ratelimit").as_deref(), Some("\"client\";r=1;t=1"));
    assert_eq!(field(&first, "retry-after"), None);
    assert_eq!(first.into_body().collect().await.expect("a body").to_bytes(), "backend");
    let _ = limited.ask(from("192.0.2.7")).await;
    limited.advance(1);
    let denied = limited.ask(from("192.0.2.7")).await;
    assert_eq!(field(&denied, "ratelimit").as_deref(), Some("\"client\";r=0;t=1"));
    assert_eq!(field(&denied, "retry-after").as_deref(), Some("1"));
    assert_eq!(denied.extensions().get(), Some(&DenialCode("rate_limited")));
    let body = denied.into_body().collect().await.expect("a body").to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("\"detail\":\"too many requests\",\"code\":\"rate_limited\""));
}

#[tokio::test]
async fn retry_after_is_the_wait_rounded_up() {
    let limited = Limited::new(RateLimitLayer::builder().limit(Limit::new(
        "x",
        client(),
        Quota::new(1, Duration::from_millis(2_500)),
    )));
    let _ = limited.ask(from("192.0.2.7")).await;
    for (pause, after) in [(0, "3"), (499, "3"), (1, "2"), (1_999, "1")] {
        limited.advance(pause);
        assert_eq!(field(&limited.ask(from("192.0.2.7")).await, "retry-after").as_deref(), Some(after), "{pause}");
    }
}

#[tokio::test]
async fn the_status_and_the_fields_can_be_set() {
    let limit = Limit::new("x", LimitKey::global(), Quota::per_minute(1)).announce(true);
    let settings = RateLimitLayer::builder().limit(limit).status(StatusCode::SERVICE_UNAVAILABLE);
    let limited = Limited::new(settings.fields(LimitFields::Legacy));
    let first = limited.ask(from("192.0.2.7")).await;
    assert_eq!(field(&first, "x-ratelimit-reset").as_deref(), Some("60"));
    assert_eq!(field(&first, "ratelimit"), None);
    assert_eq!(limited.ask(from("192.0.2.8")).await.status(), 503);
}

#[tokio::test]
async fn a_global_limit_is_not_shown_to_clients() {
    let limited =
        Limited::new(RateLimitLayer::builder().limit(Limit::new("all", LimitKey::global(), Quota::per_minute(1))));
    for status in [200, 429] {
        let response = limited.ask(from("192.0.2.7")).await;
        assert_eq!((response.status().as_u16(), field(&response, "ratelimit")), (status, None));
    }
}

#[tokio::test]
async fn limits_by_identity_apply_to_authenticated_requests() {
    let limited =
        Limited::new(RateLimitLayer::builder().limit(Limit::new("user", LimitKey::identity(), Quota::per_hour(1))));
    let of = |name: &'static str| {
        move || {
            let mut request = from("192.0.2.7");
            request.extensions_mut().insert(Identity::new(name, Mechanism::ApiKey));
            request
        }
    };
    assert_eq!(limited.statuses(2, of("ann")).await, [200, 429]);
    assert_eq!(limited.statuses(2, of("bob")).await, [200, 429]);
}

#[tokio::test]
async fn a_dry_run_counts_and_denies_nothing() {
    let dry = Limit::new("dry", client(), Quota::per_hour(1)).dry_run(true);
    let wet = Limit::new("wet", client(), Quota::per_hour(3));
    let limited = Limited::new(RateLimitLayer::builder().limit(dry).limit(wet));
    assert_eq!(limited.statuses(4, || from("192.0.2.7")).await, [200, 200, 200, 429]);
    let stats = limited.layer.stats();
    assert_eq!((stats[0].admitted, stats[0].denied, stats[0].dry_run_denied), (1, 0, 3));
    assert_eq!((stats[1].admitted, stats[1].denied, stats[1].dry_run_denied), (3, 1, 0));
}

#[tokio::test]
async fn requests_cost_what_the_closure_says() {
    let limit = Limit::new("x", client(), Quota::per_hour(10))
        .cost(|head| if head.headers.contains_key("x-export") { 4 } else { 1 });
    let limited = Limited::new(RateLimitLayer::builder().limit(limit));
    assert_eq!(limited.statuses(3, || with("x-export", "1")).await, [200, 200, 429]);
    assert_eq!(limited.statuses(3, || with("x", "1")).await, [200, 200, 429]);
    let panics = Limit::new("x", client(), Quota::per_hour(2)).cost(|_| panic!("in a closure"));
    let limited = Limited::new(RateLimitLayer::builder().limit(panics));
    assert_eq!(limited.statuses(3, || from("192.0.2.7")).await, [200, 200, 429]);
}

#[tokio::test]
async fn a_request_above_the_burst_is_told_no_time_to_retry() {
    let limited =
        Limited::new(RateLimitLayer::builder().limit(Limit::new("x", client(), Quota::per_hour(2)).cost(|_| 3)));
    let response = limited.ask(from("192.0.2.7")).await;
    assert_eq!((response.status().as_u16(), field(&response, "retry-after")), (429, None));
    assert_eq!(response.extensions().get(), Some(&DenialCode("rate_limit_cost")));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_request_reaches_the_backend_at_the_rate_of_the_quota() {
    let limit = Limit::new("x", client(), Quota::per_second(10).burst(4)).delay_after(0);
    let limited = Limited::new(RateLimitLayer::builder().limit(limit));
    let start = tokio::time::Instant::now();
    let backend = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(())));
    let service = limited.layer.layer(backend);
    let requests: Vec<_> = (0..4).map(|_| tokio::spawn(service.clone().oneshot(from("192.0.2.7")))).collect();
    for (at, request) in requests.into_iter().enumerate() {
        assert!(request.await.expect("no panic").expect("a response").status().is_success());
        let elapsed = start.elapsed().as_millis();
        assert!((100 * at as u128..100 * at as u128 + 5).contains(&elapsed), "{at}: {elapsed} ms");
    }
    assert_eq!(limited.layer.stats()[0].delayed, 3);
}

#[tokio::test]
async fn a_denied_request_neither_clones_into_nor_calls_the_backend() {
    let layer = RateLimitLayer::per_client(Quota::per_hour(1)).expect("a layer");
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let mut service = layer.layer(service_fn(move |_: Request<()>| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok::<_, Infallible>(Response::new(())))
    }));
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    for _ in 0..3 {
        let mut future = std::pin::pin!(service.call(from("192.0.2.7")));
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(_))));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn clones_of_a_layer_share_their_buckets() {
    let limited = Limited::new(RateLimitLayer::builder().limit(Limit::new("x", client(), Quota::per_hour(2))));
    let clone = Limited { clock: limited.clock.clone(), layer: limited.layer.clone() };
    assert_eq!(limited.statuses(1, || from("192.0.2.7")).await, [200]);
    assert_eq!(clone.statuses(2, || from("192.0.2.7")).await, [200, 429]);
}

#[test]
fn invalid_settings_are_refused() {
    let x = || Limit::new("x", LimitKey::global(), Quota::per_second(1));
    let build =
        |limits: Vec<Limit>| limits.into_iter().fold(RateLimitLayer::builder(), RateLimitBuilder::limit).build();
    assert!(matches!(build(vec![]), Err(InvalidRateLimit::Count { count: 0, max: 8 })));
    assert!(matches!(build((0..9).map(|_| x()).collect()), Err(InvalidRateLimit::Count { count: 9, .. })));
    assert!(matches!(build(vec![x(), x()]), Err(InvalidRateLimit::DuplicateName { .. })));
    for name in ["", "a b", "a\"", "ä", &"x".repeat(65)] {
        let limit = Limit::new(name, LimitKey::global(), Quota::per_second(1));
        assert!(matches!(build(vec![limit]), Err(InvalidRateLimit::Name { .. })), "{name:?}");
    }
    let setting = |result| match result {
        Err(InvalidRateLimit::Setting(error)) => Some(error.setting),
        _ => None,
    };
    assert_eq!(setting(build(vec![x().max_keys(0)])), Some("max_keys"));
    let ok = RateLimitLayer::builder().limit(x()).status(StatusCode::OK).build();
    assert_eq!(setting(ok), Some("status"));
    let error = RateLimitLayer::per_client(Quota::per_second(0)).expect_err("no units");
    assert!(error.to_string().contains("use at least 1 unit"), "{error}");
    assert!(
        RateLimitLayer::builder()
            .limit(Limit::new("h", LimitKey::header(HeaderName::from_static("a")), Quota::per_day(1)))
            .build()
            .is_ok()
    );
}

#[test]
fn layers_know_whether_they_limit_by_identity() {
    let layer = |key: LimitKey| {
        let limits =
            [Limit::new("all", LimitKey::global(), Quota::per_day(1)), Limit::new("x", key, Quota::per_day(1))];
        limits.into_iter().fold(RateLimitLayer::builder(), RateLimitBuilder::limit).build().expect("a layer")
    };
    let in_flight = |key| InFlightLayer::builder(key, 1).build().expect("a layer");
    for (key, expected) in [
        (client(), false),
        (LimitKey::custom(|_| Some("a")), false),
        (LimitKey::identity(), true),
        (LimitKey::route().and(LimitKey::identity()), true),
    ] {
        let found = (layer(key.clone()).uses_identity(), in_flight(key.clone()).uses_identity());
        assert_eq!(found, (expected, expected), "{key:?}");
    }
}
