//! What a pick costs: from the choice of an endpoint through its lease to the lease's end in success.
//!
//! Some 250 benchmarks of less than a second each. For ratios to the floors, and for whether they are what was asked,
//! see the bench `figures`, which interleaves what it compares.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use equipoise_benches::{
    Kind, SIZES, Subject, Weights,
    floor::{FloorA, floor_b},
    timing,
};

/// Nine of ten endpoints cannot be closed in a pool of three, and closing one by one takes long in a large one.
const SIZES_TO_CLOSE: [usize; 3] = [10, 100, 1_000];

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
    nine_of_ten_closed(&mut criterion);
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

/// The time is that of all picks divided by their number: with two threads that do not disturb each other, half of what
/// one takes.
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

fn nine_of_ten_closed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick/nine-of-ten-closed");
    for kind in Kind::ALL {
        for n in SIZES_TO_CLOSE {
            let subject = Subject::mostly_closed(kind, n);
            group.bench_function(BenchmarkId::new(kind.to_string(), n), |b| b.iter(|| subject.pick()));
        }
    }
    group.finish();
}
