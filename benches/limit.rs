//! Measures a request through a layer of rate limits, with one thread and two, beside the keyed limiter of governor.
//!
//! A request is a call of the layer's service around a backend that answers at once. `backend` is the same without the
//! layer. `governor` is a decision only, of the crate's limiter with its own store, which has no bound.

use std::{
    convert::Infallible,
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use criterion::{BenchmarkId, Criterion};
use equipoise_affinity::source::{ClientAddress, PeerAddr};
use equipoise_benches::{
    gateway::{Backend, send},
    timing,
};
use equipoise_gateway::limit::{InFlightLayer, Limit, LimitFields, LimitKey, Quota, RateLimitBuilder, RateLimitLayer};
use governor::{RateLimiter, clock::MonotonicClock, state::keyed::HashMapStateStore};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service};

/// Numbers of clients that send requests: one that all threads compete for, some, and more than the table has places.
const CLIENTS: [u32; 3] = [1, 10_000, 1_000_000];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .configure_from_args();
    for threads in [1, 2] {
        requests(&mut criterion, threads);
    }
    criterion.final_summary();
}

fn requests(criterion: &mut Criterion, threads: usize) {
    let mut group = criterion.benchmark_group(format!("limit/{threads}-threads"));
    let plenty = || Quota::per_second(100_000_000);
    let client = || LimitKey::client(ClientAddress::connection());
    let layer = |limits: Vec<Limit>, fields| {
        let builder = limits.into_iter().fold(RateLimitLayer::builder().fields(fields), RateLimitBuilder::limit);
        builder.build().expect("valid limits")
    };
    let mut run = |name: &str, clients: u32, call: &(dyn Fn(u32) + Sync)| {
        let next = AtomicU32::new(0);
        group.bench_function(BenchmarkId::new(name, clients), |b| {
            b.iter_custom(|calls| {
                timing::together(threads, calls, || {
                    // A multiplier spreads consecutive numbers over all clients.
                    call(next.fetch_add(1, Ordering::Relaxed).wrapping_mul(2_654_435_769) % clients);
                })
            });
        });
    };
    run("backend", 1, &|client| request(&mut Backend, client, StatusCode::OK));
    for clients in CLIENTS {
        let one = layer(vec![Limit::new("client", client(), plenty())], LimitFields::None);
        run("one", clients, &|client| request(&mut one.layer(Backend), client, StatusCode::OK));
        let limits = ["a", "b", "c"].map(|name| Limit::new(name, client(), plenty()));
        let three = layer(limits.into(), LimitFields::None);
        run("three", clients, &|client| request(&mut three.layer(Backend), client, StatusCode::OK));
        let fields = layer(vec![Limit::new("client", client(), plenty())], LimitFields::Standard);
        run("fields", clients, &|client| request(&mut fields.layer(Backend), client, StatusCode::OK));
        let in_flight = InFlightLayer::per_client(u32::MAX).expect("a layer");
        run("in-flight", clients, &|client| request(&mut in_flight.layer(Backend), client, StatusCode::OK));
        let many = NonZeroU32::new(100_000_000).expect("not zero");
        let store = HashMapStateStore::<IpAddr>::default();
        let governor: RateLimiter<_, _, _> = RateLimiter::new(governor::Quota::per_second(many), store, MonotonicClock);
        run("governor", clients, &|client| {
            let _ = black_box(governor.check_key(&IpAddr::from(Ipv4Addr::from(client))));
        });
    }
    // All buckets are in use and there are more keys than places, so most requests evict a key.
    let slow = || Quota::per_day(100_000).burst(1_000_000);
    let flooded = layer(vec![Limit::new("client", client(), slow())], LimitFields::None);
    run("flooded", 1_000_000, &|client| request(&mut flooded.layer(Backend), client, StatusCode::OK));
    let empty = layer(vec![Limit::new("all", LimitKey::global(), Quota::per_day(1))], LimitFields::None);
    request(&mut empty.layer(Backend), 0, StatusCode::OK);
    run("denied", 1, &|client| request(&mut empty.layer(Backend), client, StatusCode::TOO_MANY_REQUESTS));
    group.finish();
}

/// Sends one request of a client, and checks the status of the response.
fn request<S, R>(service: &mut S, client: u32, status: StatusCode)
where
    S: Service<Request<()>, Response = Response<R>, Error = Infallible>,
{
    let mut request = Request::new(());
    request.extensions_mut().insert(PeerAddr(SocketAddr::new(Ipv4Addr::from(client).into(), 1)));
    send(service, request, status);
}
