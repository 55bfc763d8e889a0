use std::time::Instant;

use equipoise_benches::{
    Kind, Subject, Weights, id,
    timing::{Effort, median},
};
use equipoise_core::Availability;

use crate::table::{Outcome, Table, Tally};

const ENDPOINTS: usize = 10_000;

/// Number of availability changes per round. Endpoints are [`STRIDE`] apart, which is coprime with [`ENDPOINTS`].
const CHANGES: usize = 20;
const STRIDE: usize = 7_919;

/// Maximum time of an availability change in microseconds. Hashing strategies keep their tables.
fn asked(kind: Kind) -> f64 {
    if kind.is_keyed() { 100.0 } else { 300.0 }
}

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let mut table = Table::new(
        "One of 10 000 endpoints goes down, or comes back, until the new view is published",
        ["strategy", "weights", "asked", "µs, down", "µs, back"],
    );
    for kind in Kind::ALL {
        for weights in Weights::ALL {
            let subject = Subject::new(kind, ENDPOINTS, weights);
            let change = |at: usize, to| {
                let id = id(at);
                let start = Instant::now();
                let changed = subject.pool().set_availability(id, to).expect("a member");
                let micros = start.elapsed().as_nanos() as f64 / 1e3;
                assert!(changed);
                micros
            };
            let changes = 0..(effort.rounds * CHANGES);
            let (down, back): (Vec<f64>, Vec<f64>) = changes
                .map(|turn| turn * STRIDE % ENDPOINTS)
                .map(|at| (change(at, Availability::Maintenance), change(at, Availability::Up)))
                .unzip();
            let (down, back) = (median(down), median(back));
            table.row(
                [
                    kind.to_string(),
                    weights.to_string(),
                    format!("≤ {} µs", asked(kind)),
                    format!("{down:.1}"),
                    format!("{back:.1}"),
                ],
                Outcome::of(down.max(back) <= asked(kind)),
            );
        }
    }
    table.print(tally);
}
