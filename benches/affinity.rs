//! Measures, for each mode, how much time affinity adds to a call of `Balance` over a service that answers at once. The
//! client of the calls has a session that is bound.

use std::{sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion};
use equipoise_affinity::{
    Affinity, AffinityLayer, AffinityOutcome, EndpointNaming, Mode,
    cookie::PersistenceCookie,
    key::SessionKey,
    table::SessionTable,
    token::{KeyRing, TokenKey},
};
use equipoise_benches::{
    Kind,
    call::{Req, answer, call, get, immediate},
};
use equipoise_tower::Balance;
use http::{
    HeaderValue,
    header::{COOKIE, SET_COOKIE},
};
use tower::Layer;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    modes(&mut criterion);
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

fn request() -> Req {
    let mut request = get();
    request.headers_mut().insert("x-user", HeaderValue::from_static("user-4711"));
    request
}
