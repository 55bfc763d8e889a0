//! Measures a session table with a million sessions, compared with a bare `HashMap` of the same size.
//!
//! First come the figures with targets: table and map alternate, and the results are multiples. Then criterion measures
//! each operation alone.

use std::{
    array,
    cell::Cell,
    collections::HashMap,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use allocation_counter::measure;
use criterion::Criterion;
use equipoise_affinity::{Lookup, SessionStore, table::SessionTable};
use equipoise_benches::timing::{self, Effort, arithmetic, in_turn, median_of, nanos, nanos_together};
use equipoise_core::EndpointId;

const SESSIONS: u64 = 1_000_000;
const ENDPOINTS: u64 = 100;

/// Minimum calibration, as in `figures`; below it, the machine has no two free cores.
const CALIBRATED: f64 = 1.75;
const ATTEMPTS: usize = 4;

type Key = [u8; 32];

/// Computes a random-looking key of the size of a cookie. Keys in memory would cause a cache miss that requests do not
/// have.
fn key(n: u64) -> Key {
    let word = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    array::from_fn(|at| word[at % 8] ^ at as u8)
}

/// Returns another session for each call, in a separate sequence on each thread.
fn any_session() -> u64 {
    static SEEDS: AtomicU64 = AtomicU64::new(1);
    thread_local!(static STATE: Cell<u64> = {
        Cell::new(SEEDS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0xd134_2543_de82_ef95))
    });
    let state = STATE.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    STATE.set(state);
    ((u128::from(state) * u128::from(SESSIONS)) >> 64) as u64
}

struct Subjects {
    table: SessionTable,
    map: HashMap<Key, EndpointId>,
    endpoints: Vec<EndpointId>,
    /// A second table, for measuring binds. It is as full as the first; its keys are never looked up.
    full: SessionTable,
    flood: AtomicU64,
}

impl Subjects {
    fn new(sessions: u64) -> Self {
        let endpoints: Vec<_> = (0..ENDPOINTS).map(|at| EndpointId::from(format!("10.0.0.{at}:80"))).collect();
        let endpoint = |n: u64| &endpoints[(n % ENDPOINTS) as usize];
        let table =
            |capacity: u64| SessionTable::builder().capacity(capacity as usize).build().expect("a valid capacity");
        let filled = |capacity| {
            let table = table(capacity);
            (0..sessions).for_each(|n| table.bind(&key(n), endpoint(n), None));
            table
        };
        let (mut measured, mut map) = (None, HashMap::new());
        let in_table = measure(|| measured = Some(filled(sessions)));
        let in_map = measure(|| map.extend((0..sessions).map(|n| (key(n), endpoint(n).clone()))));
        let each = |bytes: i64| bytes as f64 / sessions as f64 - size_of::<Key>() as f64;
        println!("memory beyond the key, bytes per session (target: ≤ 150):");
        println!("  a full table          {:6.1}", each(in_table.bytes_current));
        println!("  at its peak           {:6.1}", each(in_table.bytes_max as i64));
        println!("  a HashMap             {:6.1}", each(in_map.bytes_current));
        let full = filled(sessions);
        let flooded = measure(|| (sessions..3 * sessions).for_each(|n| full.bind(&key(n), endpoint(n), None)));
        let flooded = in_table.bytes_current + flooded.bytes_current;
        println!("  a table after a flood {:6.1}", each(flooded));
        Self { table: measured.unwrap_or_else(|| table(1)), map, full, flood: AtomicU64::new(3 * sessions), endpoints }
    }

    /// Looks up a session, which refreshes it.
    fn in_table(&self) {
        match self.table.lookup(&key(any_session())) {
            Lookup::Now(Ok(found)) => drop(black_box(found)),
            _ => unreachable!("a table answers at once"),
        }
    }

    /// The floor: a lookup in a `HashMap`, without a lock, a clock or a refresh. The result is cloned, because a store
    /// returns an owned result.
    fn in_map(&self) {
        drop(black_box(self.map.get(&key(any_session())).cloned()));
    }

    /// The floor without the clone of the result. The processor can then look up several keys at once, which is not
    /// possible for lookups in different requests.
    fn in_map_borrowed(&self) {
        black_box(self.map.get(&key(any_session())));
    }

    /// Binds a new key in a full table.
    fn bind(&self) {
        let n = self.flood.fetch_add(1, Ordering::Relaxed);
        self.full.bind(&key(n), &self.endpoints[(n % ENDPOINTS) as usize], None);
    }

    fn one_thread(&self, effort: Effort) {
        let calls = effort.calls;
        let one = in_turn(
            effort.rounds,
            [
                &|| nanos(calls, || self.in_map()),
                &|| nanos(calls, || self.in_map_borrowed()),
                &|| nanos(calls, || self.in_table()),
                &|| nanos(calls, || self.bind()),
            ],
        );
        println!("one thread, ns (in multiples of the map's):");
        println!("  HashMap, lookup           {:6.1}", median_of(&one, |[map, ..]| map));
        let (bare, ratio) = (median_of(&one, |[_, bare, ..]| bare), median_of(&one, |[map, bare, ..]| bare / map));
        println!("  HashMap, without cloning  {bare:6.1} ({ratio:.2})");
        let (table, ratio) =
            (median_of(&one, |[.., table, _]| table), median_of(&one, |[map, _, table, _]| table / map));
        let of_bare = median_of(&one, |[_, bare, table, _]| table / bare);
        println!(
            "  table, lookup + refresh   {table:6.1} ({ratio:.2}; target: ≤ 2.5; {of_bare:.2} of that without cloning)"
        );
        let (bind, ratio) = (median_of(&one, |[.., bind]| bind), median_of(&one, |[map, .., bind]| bind / map));
        println!("  full table, bind a key    {bind:6.1} ({ratio:.2})");
    }

    fn two_threads(&self, effort: Effort) {
        let calls = effort.calls;
        let attempt = || {
            let answers = in_turn(
                effort.rounds,
                [
                    &|| nanos_together(1, calls, arithmetic),
                    &|| nanos_together(2, calls, arithmetic),
                    &|| nanos_together(1, calls, || self.in_table()),
                    &|| nanos_together(2, calls, || self.in_table()),
                    &|| nanos_together(1, calls, || self.bind()),
                    &|| nanos_together(2, calls, || self.bind()),
                ],
            );
            (median_of(&answers, |[one, two, ..]| one / two), answers)
        };
        // Tries again: load of other machines on the same host may be over by then.
        let (calibration, two) = (1..ATTEMPTS)
            .map(|_| attempt())
            .find(|&(calibration, _)| calibration >= CALIBRATED)
            .unwrap_or_else(attempt);
        println!("two threads together, in multiples of one's throughput:");
        let verdict =
            if calibration < CALIBRATED { " (no two free cores: the following figures are unreliable)" } else { "" };
        println!("  calibration               {calibration:6.2}{verdict}");
        println!("  table, lookup + refresh   {:6.2} (target: ≥ 1)", median_of(&two, |[_, _, one, two, ..]| one / two));
        println!("  full table, bind a key    {:6.2}", median_of(&two, |[.., one, two]| one / two));
    }

    /// Measures how long a request may wait for a lock while sessions are swept, or while a table grows.
    fn stalls(sessions: u64) {
        let endpoint = EndpointId::from("10.0.0.1:80");
        let table = SessionTable::builder().capacity(sessions as usize).build().expect("a valid capacity");
        let mut longest: Vec<_> = (0..sessions)
            .map(|n| {
                let start = Instant::now();
                table.bind(&key(n), &endpoint, None);
                start.elapsed()
            })
            .collect();
        longest.sort_unstable();
        let (at, most) = (longest.len() - 1 - longest.len() / 10_000, longest.last().copied().unwrap_or_default());
        println!("filling an empty table: 99.99 % of binds take ≤ {:?}, the longest {most:?}", longest[at]);
        table.left(&endpoint);
        let start = Instant::now();
        let swept = table.sweep();
        println!("sweeping {swept} void sessions: {:?}", start.elapsed());
    }
}

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (sessions, effort) = if measured { (SESSIONS, Effort::FULL) } else { (10_000, Effort::SMOKE) };
    let subjects = Subjects::new(sessions);
    subjects.one_thread(effort);
    subjects.two_threads(effort);
    Subjects::stalls(sessions);

    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    let mut group = criterion.benchmark_group("sessions");
    group.bench_function("look-up/hash-map", |b| b.iter(|| subjects.in_map()));
    group.bench_function("look-up/table", |b| b.iter(|| subjects.in_table()));
    group.bench_function("bind-when-full/table", |b| b.iter(|| subjects.bind()));
    for threads in [1, 2] {
        group.bench_function(format!("look-up/table/{threads}-threads"), |b| {
            b.iter_custom(|calls| timing::together(threads, calls, || subjects.in_table()));
        });
        group.bench_function(format!("bind-when-full/table/{threads}-threads"), |b| {
            b.iter_custom(|calls| timing::together(threads, calls, || subjects.bind()));
        });
    }
    group.finish();
    criterion.final_summary();
}
