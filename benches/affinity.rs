//! Measures affinity over a service that answers at once:
//!
//! - what it adds to a call of `Balance`, by mode; the session of the client is bound,
//! - what a call costs while requests of one session wait for their endpoint.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion};
use equipoise_affinity::{
    Affinity, AffinityLayer, AffinityOutcome, EndpointNaming, Mode, OnUnavailable,
    cookie::PersistenceCookie,
    key::SessionKey,
    table::SessionTable,
    token::{KeyRing, TokenKey},
};
use equipoise_benches::{
    Kind,
    call::{Immediate, Req, answer, call, get, immediate},
};
use equipoise_core::{EndpointId, EndpointSpec, PickRequest, Pool};
use equipoise_tower::Balance;
use http::{
    HeaderValue,
    header::{COOKIE, SET_COOKIE},
};
use tower::Layer;
use tower_service::Service;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    modes(&mut criterion);
    beside_a_queue(&mut criterion);
    criterion.final_summary();
}

fn modes(criterion: &mut Criterion) {
    let cookie = |values: fn(&PersistenceCookie) -> EndpointNaming| {
        let cookie = PersistenceCookie::insert("lb").indirect().build().expect("a valid cookie");
        let values = values(&cookie);
        Mode::cookie(cookie, values)
    };
    let user = || SessionKey::header("x-user").expect("a valid name");
    let table = Arc::new(SessionTable::builder().build().expect("a valid table"));
    let modes = [
        ("none", Mode::none()),
        ("hash", Mode::hash(user())),
        ("table", Mode::table(user(), table)),
        ("cookie, ids", cookie(|_| EndpointNaming::ids())),
        ("cookie, tokens", cookie(|cookie| EndpointNaming::tokens(KeyRing::new(TokenKey::generate(1)), cookie))),
    ];

    let mut group = criterion.benchmark_group("affinity/call");
    let mut bare = Balance::new(immediate(Kind::RoundRobin, 10));
    group.bench_function("no layer", |b| {
        b.iter_batched(request, |request| call(&mut bare, request), BatchSize::SmallInput);
    });
    for (name, mode) in modes {
        // The mode `hash` needs a hashing strategy. The picks of Maglev and of round robin differ by some nanoseconds
        // only.
        let pool = immediate(if name == "hash" { Kind::Maglev } else { Kind::RoundRobin }, 10);
        let affinity = Affinity::new(&pool, mode).expect("the ids can be named");
        let mut service = AffinityLayer::new(affinity).layer(Balance::new(pool));
        let first = answer(&mut service, request());
        let set = first.headers().get(SET_COOKIE).map(|line| line.as_bytes().split(|&byte| byte == b';').next());
        let set = set.flatten().and_then(|pair| HeaderValue::from_bytes(pair).ok());
        let again = || {
            let mut request = request();
            if let Some(cookie) = &set {
                request.headers_mut().insert(COOKIE, cookie.clone());
            }
            request
        };
        let outcome =
            answer(&mut service, again()).extensions().get().map(AffinityOutcome::to_string).unwrap_or_default();
        group.bench_function(format!("{name}: {outcome}"), |b| {
            b.iter_batched(again, |request| call(&mut service, request), BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// Calls without a session, while that many requests of one session wait for their endpoint, which is full. All run on
/// one thread, so the time includes what a call makes the waiting requests do.
fn beside_a_queue(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut group = criterion.benchmark_group("affinity/beside waiting requests of one session");
    for waiting in [0, 100, 1000] {
        let pool = Pool::new(Kind::RoundRobin.strategy());
        let specs = (0..10).map(|at| EndpointSpec::new(format!("10.0.0.{at}:80")).max_in_flight(1));
        pool.update(specs, |_| Immediate).expect("valid endpoints");
        let bound = EndpointId::from("10.0.0.0:80");
        let held = pool.pick(&PickRequest::new().prefer(&bound)).expect("it is up");
        let cookie = PersistenceCookie::insert("lb").indirect().build().expect("a valid cookie");
        let affinity = Affinity::new(&pool, Mode::cookie(cookie, EndpointNaming::ids())).expect("the ids can be named");
        let affinity = affinity.unavailable(OnUnavailable::Wait(Duration::from_secs(3600)));
        let mut service = AffinityLayer::new(affinity).layer(Balance::new(pool));
        let queue: Vec<_> = (0..waiting)
            .map(|_| {
                let mut request = request();
                request.headers_mut().insert(COOKIE, HeaderValue::from_static("lb=10.0.0.0:80"));
                runtime.spawn(service.call(request))
            })
            .collect();
        group.bench_function(waiting.to_string(), |b| {
            b.iter_custom(|calls| {
                runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..calls {
                        drop(service.call(request()).await.expect("nine endpoints are idle"));
                        // Waiting requests that were woken run now.
                        tokio::task::yield_now().await;
                    }
                    start.elapsed()
                })
            });
        });
        assert!(queue.iter().all(|waiting| !waiting.is_finished()), "they wait");
        queue.iter().for_each(tokio::task::JoinHandle::abort);
        drop(held);
    }
    group.finish();
}

fn request() -> Req {
    let mut request = get();
    request.headers_mut().insert("x-user", HeaderValue::from_static("user-4711"));
    request
}
