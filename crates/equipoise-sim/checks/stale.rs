//! Strategies that use periodic snapshots of the load.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use equipoise_core::{BuildError, EndpointSpec, PickCx, Picker, Slot, Strategy, Timestamp, View};
use equipoise_sim::{Control, Feed, Scenario, Server, ServerLoad, Spread, Work, named};

use super::{finding::Findings, mean, ms};

const SERVICE: Duration = ms(10);

/// The numbers of requests at the servers in the last snapshot.
struct Snapshots {
    period: Duration,
    lengths: Arc<[AtomicU32]>,
}

impl Feed for Snapshots {
    fn snapshot_interval(&self) -> Option<Duration> {
        Some(self.period)
    }

    fn on_snapshot(&mut self, loads: &[ServerLoad], _: Timestamp) {
        for (length, load) in self.lengths.iter().zip(loads) {
            length.store(load.in_flight, Ordering::Relaxed);
        }
    }
}

/// Picks the shortest queue in the snapshot, of two random ones or of all.
struct Reader {
    lengths: Arc<[AtomicU32]>,
    all: bool,
}

struct Reading {
    candidates: Vec<(Slot, usize)>,
    lengths: Arc<[AtomicU32]>,
    all: bool,
}

impl Strategy for Reader {
    /// Index in the snapshot: the address of a server is its index.
    type State = usize;
    type Picker = Reading;

    fn state(&self, spec: &EndpointSpec) -> usize {
        spec.address().parse().unwrap_or_default()
    }

    fn build(&self, view: &View, _: Option<&Reading>) -> Result<Reading, BuildError> {
        let candidates = view.eligible().iter().filter_map(|&slot| Some((slot, *view.state::<usize>(slot)?)));
        Ok(Reading { candidates: candidates.collect(), lengths: Arc::clone(&self.lengths), all: self.all })
    }
}

impl Picker for Reading {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let length = |at: usize| self.lengths.get(at).map_or(0, |length| length.load(Ordering::Relaxed));
        if self.all {
            // Ties are broken at random.
            return self.candidates.iter().min_by_key(|(_, at)| (length(*at), cx.random())).map(|(slot, _)| *slot);
        }
        let n = self.candidates.len() as u64;
        let one = cx.random().checked_rem(n)?;
        // Any other than the first.
        let other = cx.random().checked_rem(n - 1).map_or(one, |drawn| (one + 1 + drawn) % n);
        let (one, other) = (self.candidates.get(one as usize)?, self.candidates.get(other as usize)?);
        Some(if length(other.1) < length(one.1) { other.0 } else { one.0 })
    }
}

/// Returns the mean latency in service times, for this number of seeds.
fn latency(scenario: &Scenario, services: u32, all: bool, seeds: u64) -> Result<Spread, Box<dyn Error>> {
    let mut means = Vec::new();
    for seed in 1..=seeds {
        let lengths: Arc<[AtomicU32]> = (0..100).map(|_| AtomicU32::new(0)).collect();
        let reader = named("reads snapshots", |_| Reader { lengths: Arc::clone(&lengths), all });
        let mut snapshots = Snapshots { period: SERVICE * services, lengths: Arc::clone(&lengths) };
        means.push(mean(SERVICE)(&scenario.clone().seed(seed).run_fed(&reader, &mut snapshots, &Control::new())?));
    }
    Ok(Spread::of(means))
}

pub(super) fn snapshots(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let scenario = Scenario::of(100, Server::fifo(1)).load(0.9).work(Work::exponential(SERVICE));
    let scenario = scenario.lasting(SERVICE * found.pick(3_000, 15_000));
    let seeds = found.pick(1, 3);
    let (p2c, jsq) = (latency(&scenario, 1, false, seeds)?, latency(&scenario, 1, true, seeds)?);
    let (old_p2c, old_jsq) = (latency(&scenario, 10, false, seeds)?, latency(&scenario, 10, true, seeds)?);
    found.near("P2C, snapshot every service time", 2.93, p2c, 0.1);
    found.near("JSQ", 4.07, jsq, 0.1);
    found.near("P2C, snapshot every 10 service times", 5.12, old_p2c, 0.1);
    found.near("JSQ", 23.7, old_jsq, 0.1);
    found.rising("fresher", &[("P2C", p2c.mean), ("JSQ", jsq.mean)]);
    found.rising("older", &[("P2C", old_p2c.mean), ("random", 10.0), ("JSQ", old_jsq.mean)]);
    Ok(())
}
