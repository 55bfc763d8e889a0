//! Measures a pick: the pick itself, its lease, and the end of the lease with success.
//!
//! About 250 benchmarks of less than a second each. The bench `figures` measures ratios to the floors and compares them
//! with targets; it alternates between the subjects.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use equipoise_benches::{
    Kind, SIZES, Subject, Weights,
    floor::{FloorA, floor_b},
    timing,
};

/// The sizes of pools in which nine of ten endpoints are in maintenance. This is impossible in a pool of three, and
/// slow to set up in a large one.
const SIZES_MOSTLY_DOWN: [usize; 3] = [10, 100, 1_000];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .configure_from_args();
    floors(&mut criterion);
    for weights in Weights::ALL {
        one_thread(&mut criterion, weights);
    }
    two_threads(&mut criterion);
    nine_of_ten_down(&mut criterion);
    criterion.final_summary();
}

fn floors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("floor");
    for n in SIZES {
        let floor = FloorA::new(n);
        group.bench_function(BenchmarkId::new("A", n), |b| b.iter(|| floor.run()));
    }
    group.bench_function("B", |b| b.iter(floor_b));
    group.finish();
}

fn one_thread(criterion: &mut Criterion, weights: Weights) {
    let mut group = criterion.benchmark_group(format!("pick/{weights}"));
    for kind in Kind::ALL {
        for n in SIZES {
            let subject = Subject::new(kind, n, weights);
            group.bench_function(BenchmarkId::new(kind.to_string(), n), |b| b.iter(|| subject.pick()));
        }
    }
    group.finish();
}

/// The result is the time of all picks divided by their number. Two threads that do not slow each other down give half
/// the result of one thread.
fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick/two-threads");
    for kind in Kind::ALL {
        for n in SIZES {
            let subject = Subject::new(kind, n, Weights::Equal);
            group.bench_function(BenchmarkId::new(kind.to_string(), n), |b| {
                b.iter_custom(|calls| timing::together(2, calls, || subject.pick()));
            });
        }
    }
    group.bench_function("calibration/one-thread", |b| {
        b.iter_custom(|calls| timing::together(1, calls, timing::arithmetic));
    });
    group.bench_function("calibration/two-threads", |b| {
        b.iter_custom(|calls| timing::together(2, calls, timing::arithmetic));
    });
    group.finish();
}

fn nine_of_ten_down(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick/nine-of-ten-closed");
    for kind in Kind::ALL {
        for n in SIZES_MOSTLY_DOWN {
            let subject = Subject::mostly_down(kind, n);
            group.bench_function(BenchmarkId::new(kind.to_string(), n), |b| b.iter(|| subject.pick()));
        }
    }
    group.finish();
}
