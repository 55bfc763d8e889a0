//! Measures a call of `Balance` over a service that answers at once, including its future, and the throughput of 64
//! tasks that share one `Balance`.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use equipoise_benches::{
    Kind,
    call::{bare, call, get, immediate},
    tasks::{TASKS, buffered, runtime, shared},
};
use equipoise_tower::Balance;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    calls(&mut criterion);
    tasks(&mut criterion);
    criterion.final_summary();
}

fn calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("service/call");
    for kind in Kind::CALLED {
        let mut balance = bare(immediate(kind, 10));
        group.bench_function(BenchmarkId::new("bare", kind), |b| b.iter(|| call(&mut balance, 7u64)));
        for (name, endpoints) in [("http, one endpoint", 1), ("http, ten endpoints", 10)] {
            let mut balance = Balance::new(immediate(kind, endpoints));
            group.bench_function(BenchmarkId::new(name, kind), |b| {
                b.iter_batched(get, |request| call(&mut balance, request), BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

fn tasks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("service/64-tasks");
    group.throughput(Throughput::Elements(1));
    for workers in [1, 2] {
        let runtime = runtime(workers);
        for kind in Kind::CALLED {
            let balance = bare::<u64>(immediate(kind, 10));
            group.bench_function(BenchmarkId::new(kind.to_string(), workers), |b| {
                b.iter_custom(|calls| shared(&runtime, calls.max(TASKS), &balance));
            });
        }
        let buffer = buffered(&runtime);
        group.bench_function(BenchmarkId::new("tower's Buffer", workers), |b| {
            b.iter_custom(|calls| shared(&runtime, calls.max(TASKS), &buffer));
        });
    }
    group.finish();
}
