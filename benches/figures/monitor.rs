//! The figures of a monitor: what it adds to a pick and to a call, and how long it reads a large pool.

use equipoise_benches::{
    Kind, Subject, Weights,
    call::{bare, call, get, immediate},
    timing::{Effort, in_turn, median_of, nanos},
    watched::{monitor, recorded, while_read},
};
use equipoise_core::Pool;
use equipoise_tower::Balance;

use crate::table::{Outcome, Table, Tally};

/// Limit of the time with a monitor, as a multiple of the time without one.
const WITH_MONITOR: f64 = 1.02;

/// Limit of the time of a snapshot of [`LARGE`] endpoints, in milliseconds.
const SNAPSHOT: f64 = 50.0;

/// The number of endpoints of a large pool.
const LARGE: usize = 10_000;

pub(crate) fn measure(effort: Effort, tally: &mut Tally) {
    beside(effort, tally);
    snapshots(effort, tally);
}

fn beside(effort: Effort, tally: &mut Tally) {
    let header = ["strategy", "what", "asked", "ns", "watched", "read each 10 ms"];
    let mut table = Table::new("A pick and a call beside a monitor", header);
    for kind in [Kind::RoundRobin, Kind::P2c, Kind::LogEwma] {
        let mut row = |what: &str, times: [Vec<f64>; 3]| {
            let watched = median_of(&times, |[alone, watched, _]| watched / alone);
            let read = median_of(&times, |[alone, _, read]| read / alone);
            let cells = [
                kind.to_string(),
                what.to_owned(),
                format!("≤ {WITH_MONITOR}"),
                format!("{:.0}", median_of(&times, |[alone, ..]| alone)),
                format!("{watched:.3}"),
                format!("{read:.3}"),
            ];
            table.row(cells, Outcome::of(watched.max(read) <= WITH_MONITOR));
        };
        // One pool for all, because the place of a pool in memory changes its speed.
        let subject = Subject::new(kind, 10, Weights::Equal);
        row("pick", compare(effort, subject.pool(), || nanos(effort.calls, || subject.pick())));
        let pool = immediate(kind, 10);
        let balance = bare(pool.clone());
        row(
            "call",
            compare(effort, &pool, || {
                let mut balance = balance.clone();
                nanos(effort.calls, || call(&mut balance, 7u64))
            }),
        );
        let balance = Balance::new(pool.clone());
        row(
            "call, HTTP",
            compare(effort, &pool, || {
                let mut balance = balance.clone();
                nanos(effort.calls, || call(&mut balance, get()))
            }),
        );
    }
    table.print(tally);
}

/// Runs `f` in turn without a monitor, with one that does not read, and with one that reads.
fn compare<T: Send + Sync + 'static>(effort: Effort, pool: &Pool<T>, f: impl Fn() -> f64) -> [Vec<f64>; 3] {
    let watched = || {
        let _monitor = monitor(pool);
        f()
    };
    in_turn(effort.rounds, [&f, &watched, &|| while_read(&monitor(pool), &f)])
}

fn snapshots(effort: Effort, tally: &mut Tally) {
    let mut table = Table::new("A snapshot of a large pool", ["endpoints", "histograms", "asked", "ms"]);
    for histograms in [false, true] {
        // A short run needs no large pool.
        let endpoints = if effort.calls < Effort::FULL.calls { 10 } else { LARGE };
        let monitor = monitor(&recorded(endpoints, histograms));
        let times = in_turn(effort.rounds, [&|| nanos(1, || drop(monitor.snapshot())) / 1e6]);
        let ms = median_of(&times, |[ms]| ms);
        let cells = [endpoints.to_string(), histograms.to_string(), format!("≤ {SNAPSHOT} ms"), format!("{ms:.1}")];
        table.row(cells, Outcome::of(ms <= SNAPSHOT));
    }
    table.print(tally);
}
