//! A small discrete-event simulation: requests arrive at random, and each stays at its endpoint for an exponentially
//! distributed time.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use equipoise_core::{
    Entropy, Failure, Lease, ManualClock, PickRequest, Pool, SeededEntropy, Strategy, Timestamp, Verdict,
};

use crate::common::{at, clocked, id, pick};

pub(crate) struct Sim<'a> {
    pub(crate) pool: &'a Pool<()>,
    pub(crate) clock: &'a ManualClock,
    /// The mean service time of each endpoint, in seconds.
    pub(crate) service: &'a [f64],
    /// The mean time between arrivals, in seconds.
    pub(crate) gap: f64,
    /// The endpoint that fails all its requests, if any.
    pub(crate) failing: Option<usize>,
    pub(crate) seed: u64,
}

impl Sim<'_> {
    /// Returns how many of `requests` requests each endpoint got. Before them, a quarter of this number is sent as
    /// warm-up.
    pub(crate) fn run(&self, requests: u32) -> Vec<u32> {
        let chance = SeededEntropy::new(self.seed);
        let exponential = |mean: f64| {
            let unit = (chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            (-mean * (1.0 - unit).ln() * 1e9) as u64
        };
        let mut under_way: BTreeMap<Reverse<(u64, u32)>, Lease<()>> = BTreeMap::new();
        let mut counts = vec![0; self.service.len()];
        let mut now = nanos(self.clock);
        let warm_up = requests / 4;
        for number in 0..warm_up + requests {
            now += exponential(self.gap);
            while let Some(first) = under_way.last_entry().filter(|entry| entry.key().0.0 <= now) {
                self.clock.set(Timestamp::from_nanos(first.key().0.0));
                self.end(first.remove());
            }
            self.clock.set(Timestamp::from_nanos(now));
            let lease = pick(self.pool);
            counts[at(&lease)] += u32::from(number >= warm_up);
            under_way.insert(Reverse((now + exponential(self.service[at(&lease)]), number)), lease);
        }
        counts
    }

    fn end(&self, lease: Lease<()>) {
        let verdict = match self.failing {
            Some(failing) if failing == at(&lease) => Verdict::Failure(Failure::Server),
            _ => Verdict::Success,
        };
        lease.finish(verdict);
    }
}

fn nanos(clock: &ManualClock) -> u64 {
    equipoise_core::Clock::now(clock).as_nanos()
}

/// Makes a request that takes `time` and succeeds. Returns the endpoint that served it.
pub(crate) fn serve(pool: &Pool<()>, clock: &ManualClock, time: impl FnOnce(usize) -> Duration) -> usize {
    let lease = pick(pool);
    let index = at(&lease);
    clock.advance(time(index));
    lease.finish(Verdict::Success);
    index
}

/// One request stays at e0 for two seconds. After that, requests of 10 ms follow one after the other, so no request is
/// in flight when the next pick is made. Returns the share of e0 in each of these `spans`, in seconds.
pub(crate) fn after_a_stall<const N: usize>(
    strategy: impl Strategy,
    weights: &[u32],
    spans: [u32; N],
    seed: u64,
) -> [f64; N] {
    let (pool, clock) = clocked(strategy, weights, seed);
    let bound = id(0);
    let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("up");
    clock.advance(Duration::from_secs(2));
    lease.finish(Verdict::Success);
    spans.map(|seconds| {
        let requests = seconds * 100;
        let served = (0..requests).filter(|_| serve(&pool, &clock, |_| Duration::from_millis(10)) == 0).count();
        served as f64 / f64::from(requests)
    })
}
