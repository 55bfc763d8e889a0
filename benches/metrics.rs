//! Measures a scrape of a pool with 10 000 endpoints: the snapshot and the text for Prometheus. Then compares picks alone
//! with picks beside a thread that scrapes all the time.

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use criterion::Criterion;
use equipoise_benches::timing;
use equipoise_core::{EndpointSpec, Failure, P2c, PickRequest, Pool, Verdict};
use equipoise_monitor::{
    Monitor, WatchedPool,
    prometheus::{Exporter, Format},
};

const ENDPOINTS: usize = 10_000;

/// Enough requests for each endpoint to have counts and, with histograms, several buckets.
const REQUESTS: usize = 10 * ENDPOINTS;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
        .configure_from_args();
    scrapes(&mut criterion);
    criterion.final_summary();
    if !std::env::args().any(|argument| argument == "--test") {
        picks_beside_a_scrape();
    }
}

fn pool(histograms: bool) -> Pool<()> {
    let pool = Pool::builder(P2c::new()).latency_histograms(histograms).build();
    let spec = |i| EndpointSpec::new(format!("10.0.{}.{}:8080", i / 250, i % 250));
    pool.update((0..ENDPOINTS).map(spec), |_| ()).expect("valid endpoints");
    for request in 0..REQUESTS {
        let mut lease = pool.pick(&PickRequest::new()).expect("all endpoints are up");
        lease.first_byte();
        lease.finish(if request % 10 == 0 { Verdict::Failure(Failure::Server) } else { Verdict::Success });
    }
    pool
}

fn monitor(pool: &Pool<()>) -> Monitor {
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("web", pool));
    monitor
}

fn text(exporter: &Exporter, format: Format) -> usize {
    black_box(exporter.text(format).expect("no metrics of an application")).len()
}

fn scrapes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics");
    for (name, histograms, of_endpoints) in [
        ("no histograms", false, false),
        ("histograms of the pool", true, false),
        ("histograms of endpoints", true, true),
    ] {
        let monitor = monitor(&pool(histograms));
        let exporter = Exporter::new(&monitor).endpoint_histograms(of_endpoints);
        group.bench_function(format!("{name}/snapshot"), |b| b.iter(|| monitor.snapshot()));
        for (format, encoding) in [("Prometheus", Format::Prometheus), ("OpenMetrics", Format::OpenMetrics)] {
            group.bench_function(format!("{name}/{format}"), |b| b.iter(|| text(&exporter, encoding)));
        }
    }
    group.finish();
}

fn picks_beside_a_scrape() {
    const PICKS: u64 = 200_000;
    let pool = pool(false);
    let exporter = Exporter::new(&monitor(&pool));
    let pick = || {
        timing::nanos_together(1, PICKS, || {
            pool.pick(&PickRequest::new()).expect("all endpoints are up").finish(Verdict::Success);
        })
    };
    let beside = || {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    text(&exporter, Format::OpenMetrics);
                }
            });
            let nanos = pick();
            done.store(true, Ordering::Relaxed);
            nanos
        })
    };
    let answers = timing::in_turn(25, [&pick, &beside]);
    let [alone, scraped] = [0, 1].map(|at| timing::median(answers[at].clone()));
    let ratio = timing::median_of(&answers, |[alone, scraped]| scraped / alone);
    println!(
        "a pick: {alone:.1} ns alone, {scraped:.1} ns beside a thread that scrapes; median of the ratios {ratio:.3}"
    );
}
