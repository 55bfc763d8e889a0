//! Measures what a reverse proxy adds to a request:
//!
//! - the lookup of a route, by the number of routes;
//! - a call of `ReverseProxy` over a service that answers at once: checks, header fields and the response.

use std::{convert::Infallible, hint::black_box, net::SocketAddr, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use equipoise_affinity::source::PeerAddr;
use equipoise_proxy::{
    RequestBody, ReverseProxy,
    route::{Route, Routes},
};
use equipoise_tower::RequestHead;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower_service::Service;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    routes(&mut criterion);
    calls(&mut criterion);
    criterion.final_summary();
}

fn request(host: &str, path: &str) -> Request<Empty<Bytes>> {
    let request = Request::get(path)
        .header("host", host)
        .header("user-agent", "curl/8.5.0")
        .header("accept", "*/*")
        .header("cookie", "lang=de; session=0123456789abcdef")
        .header("connection", "keep-alive");
    let mut request = request.body(Empty::new()).expect("a valid request");
    request.extensions_mut().insert(PeerAddr(SocketAddr::from(([192, 0, 2, 1], 40000))));
    request
}

fn routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proxy/route");
    for count in [1, 100, 10_000] {
        // Ten hosts, each with routes of two segments and with a parameter.
        let all = (0..count).map(|n| {
            let host = format!("host-{}.app.test", n % 10);
            let path = format!("/service-{}/item-{}/{{id}}", n / 100, n / 10);
            Route::to(n.to_string(), n).host(host).path_prefix(path)
        });
        let routes = Routes::new(all).expect("valid routes");
        let last = count - 1;
        let path = format!("/service-{}/item-{}/4711/details?x=y", last / 100, last / 10);
        let found = request(&format!("host-{}.app.test", last % 10), &path);
        let missed = request("host-0.app.test", "/service-0/other");
        group.bench_function(format!("found among {count}"), |bencher| {
            bencher.iter(|| black_box(routes.find(RequestHead::of(black_box(&found))).is_ok()));
        });
        group.bench_function(format!("missed among {count}"), |bencher| {
            bencher.iter(|| black_box(routes.find(RequestHead::of(black_box(&missed))).is_ok()));
        });
    }
    let header = Routes::new([
        Route::to("other", ()).method(http::Method::POST),
        Route::to("beta", ()).header("x-beta", "1").cookie("session", "0123456789abcdef"),
        Route::to("cookie", ()).cookie("session", "0123456789abcdef"),
    ]);
    let header = header.expect("valid routes");
    let cookie = request("app.test", "/");
    group.bench_function("by header and cookie", |bencher| {
        bencher.iter(|| black_box(header.find(RequestHead::of(black_box(&cookie))).is_ok()));
    });
    let tenants = Routes::new((0..10_000).map(|n| Route::to(n.to_string(), n).header("x-tenant", n.to_string())));
    let tenants = tenants.expect("valid routes");
    let mut tenant = request("app.test", "/");
    tenant.headers_mut().insert("x-tenant", http::HeaderValue::from_static("9999"));
    group.bench_function("by the value of a header among 10000", |bencher| {
        bencher.iter(|| black_box(tenants.find(RequestHead::of(black_box(&tenant))).is_ok()));
    });
    group.finish();
}

type Forwarded = Request<RequestBody<Empty<Bytes>>>;

/// Answers at once.
async fn answer(request: Forwarded) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(black_box(request));
    let mut response = Response::new(Full::from("ok"));
    let headers = response.headers_mut();
    headers.insert("content-length", 2.into());
    headers.insert("server", http::HeaderValue::from_static("test"));
    Ok(response)
}

fn calls(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut group = criterion.benchmark_group("proxy/call");
    let request = || request("app.test", "/p?q=1");
    group.bench_function("bare", |bencher| {
        bencher.iter_batched(
            request,
            |request| runtime.block_on(tower::service_fn(bare).call(request)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("reverse proxy", |bencher| {
        let mut proxy = ReverseProxy::new(tower::service_fn(answer));
        bencher.iter_batched(request, |request| runtime.block_on(proxy.call(request)), BatchSize::SmallInput);
    });
    group.finish();
}

/// The same answer without a proxy.
async fn bare(request: Request<Empty<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(black_box(request));
    let mut response = Response::new(Full::from("ok"));
    let headers = response.headers_mut();
    headers.insert("content-length", 2.into());
    headers.insert("server", http::HeaderValue::from_static("test"));
    Ok(response)
}
