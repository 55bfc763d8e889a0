//! A custom strategy with a memory for each endpoint that survives updates.
//!
//! `Demerits`: a success costs an endpoint one point, a failure ten, and the endpoint with the fewest points is picked.
//! This is a round robin that skips failing endpoints. At the end, the simulator compares it with P2C.
//!
//! ```text
//! cargo run --example custom_strategy
//! ```
//!
//! One line in `compare/contenders.rs` adds it to the tool `compare`, with its scenarios, tables and plots:
//!
//! ```text
//! own("demerits", |_client| Demerits { per_failure: 10 }),
//! cargo run --release --example compare -- --scenario sinkhole --strategy demerits --strategy p2c --out plots
//! ```

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use equipoise::{
    BuildError, EndpointSpec, Failure, Needs, PickCx, PickRequest, Picker, Pool, Slot, Strategy, StrategySpec,
    Timestamp, Verdict, View,
    sim::{Fault, Scenario, Server, named},
};

/// The strategy: settings, and hooks that learn from the ends of requests.
pub(crate) struct Demerits {
    pub(crate) per_failure: u64,
}

/// The memory of one endpoint. The pool keeps it as long as the endpoint is a member.
#[derive(Default)]
pub(crate) struct Points(AtomicU64);

/// The picker: the eligible endpoints with their memory.
pub(crate) struct FewestPoints(Vec<(Slot, Arc<Points>)>);

impl Strategy for Demerits {
    type State = Points;
    type Picker = FewestPoints;

    fn state(&self, _: &EndpointSpec) -> Points {
        Points::default()
    }

    /// Runs when membership or availability changes.
    fn build(&self, view: &View, _last: Option<&FewestPoints>) -> Result<FewestPoints, BuildError> {
        let candidates: Vec<(Slot, Arc<Points>)> =
            view.eligible().iter().filter_map(|&slot| Some((slot, view.state::<Points>(slot)?))).collect();
        // A new endpoint without points would get all requests until it has caught up, so it starts with the fewest
        // points.
        let known = candidates.iter().map(|(_, points)| points.0.load(Ordering::Relaxed)).filter(|&points| points > 0);
        if let Some(least) = known.min() {
            for (_, points) in &candidates {
                points.0.fetch_max(least, Ordering::Relaxed);
            }
        }
        Ok(FewestPoints(candidates))
    }

    fn needs(&self) -> Needs {
        Needs::new().outcomes()
    }

    /// Runs at the end of each request, because `needs` asks for outcomes.
    fn on_outcome(&self, points: &Points, verdict: Verdict, _: Timestamp) {
        points.0.fetch_add(if verdict.is_failure() { self.per_failure } else { 1 }, Ordering::Relaxed);
    }
}

impl Picker for FewestPoints {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let mut best = None;
        for (slot, points) in &self.0 {
            // Skips endpoints that this request excludes or that are at their limit.
            if cx.usable(*slot) {
                // Requests in flight count as points, so that a burst spreads.
                let score = points.0.load(Ordering::Relaxed) + u64::from(cx.view().in_flight(*slot));
                // Tells `Pool::explain` which score was compared. In a pick this does nothing.
                cx.score(*slot, score as f64);
                if best.is_none_or(|(least, _)| score < least) {
                    best = Some((score, *slot));
                }
            }
        }
        best.map(|(_, slot)| slot)
    }
}

fn main() -> anyhow::Result<()> {
    let pool = Pool::new(Demerits { per_failure: 10 });
    pool.update(["a", "b", "c"].map(EndpointSpec::new), |_| ())?;

    println!("30 requests; endpoint c fails all of its requests:");
    send(&pool, 30)?;
    println!("{}", pool.explain(&PickRequest::new()));

    println!("\na leaves and d joins: b and c keep their points, d starts with b's:");
    pool.update(["b", "c", "d"].map(EndpointSpec::new), |_| ())?;
    println!("{}", pool.explain(&PickRequest::new()));

    println!("\n30 more requests:");
    send(&pool, 30)?;
    println!("{}", pool.explain(&PickRequest::new()));

    println!("\nin the simulator: ten servers, one of which answers every request with an error after 1 ms:");
    let scenario = Scenario::of(10, Server::fifo(4)).clients(3).load(0.7).fault(Fault::sinkhole(0));
    println!("{}", scenario.run(&named("demerits", |_| Demerits { per_failure: 10 }))?);
    println!("{}", scenario.run(&"p2c".parse::<StrategySpec>()?)?);
    Ok(())
}

/// Sends requests one after the other, and prints how many each endpoint got.
fn send(pool: &Pool<()>, requests: usize) -> anyhow::Result<()> {
    let mut served = BTreeMap::new();
    for _ in 0..requests {
        let lease = pool.pick(&PickRequest::new())?;
        let endpoint = lease.endpoint().id().clone();
        lease.finish(if endpoint.as_str() == "c" { Verdict::Failure(Failure::Server) } else { Verdict::Success });
        *served.entry(endpoint).or_insert(0) += 1;
    }
    println!("{served:?}");
    Ok(())
}
