use std::{hint::black_box, sync::Arc, time::Duration};

use equipoise_benches::{
    Kind,
    timing::{Effort, in_turn, median_of, nanos},
};
use equipoise_core::{EndpointSpec, ManualClock, PickRequest, Pool, Verdict};

use crate::table::{Outcome, Table, Tally};

/// The time that a request takes.
const USUAL: Duration = Duration::from_millis(1);
/// The time that a request takes at the slow endpoint.
const SLOW: Duration = Duration::from_millis(10);

/// A pool under a manual clock, on which requests have latencies without taking time. Requests do not overlap.
struct Served {
    pool: Pool<bool>,
    clock: Arc<ManualClock>,
}

impl Served {
    fn new(kind: Kind, n: usize, has_slow: bool) -> Self {
        let clock = Arc::new(ManualClock::new());
        let pool = Pool::builder(kind.strategy()).clock(clock.clone()).build();
        let endpoints = (0..n).map(|at| EndpointSpec::new(at.to_string()));
        pool.update(endpoints, |spec| has_slow && spec.id().as_str() == "0").expect("valid endpoints");
        Self { pool, clock }
    }

    fn request(&self) {
        let lease = self.pool.pick(black_box(&PickRequest::new())).expect("endpoints are up");
        self.clock.advance(if *lease.target() { SLOW } else { USUAL });
        lease.finish(Verdict::Success);
    }
}

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let mut table = Table::new(
        "Requests with latencies under a manual clock, of which one endpoint has ten times as long ones",
        ["strategy", "endpoints", "ns, all alike", "ns, one slow"],
    );
    for kind in [Kind::P2c, Kind::LeastConnections, Kind::PeakEwma, Kind::LogEwma] {
        for n in [10, 1_000] {
            let (alike, slow) = (Served::new(kind, n, false), Served::new(kind, n, true));
            let time = |served: &Served| nanos(effort.calls, || served.request());
            let answers = in_turn(effort.rounds, [&|| time(&alike), &|| time(&slow)]);
            let [alike, slow] = [0, 1].map(|at| format!("{:.1}", median_of(&answers, |times| times[at])));
            table.row([kind.to_string(), n.to_string(), alike, slow], Outcome::NotAsked);
        }
    }
    table.print(tally);
}
