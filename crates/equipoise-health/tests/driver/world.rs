//! Endpoints that answer probes as the test says, and functions that wait for an availability.

use std::{collections::HashMap, sync::Arc, time::Duration};

use equipoise_core::{
    Availability, EndpointId, EndpointSpec, EndpointStatus, Lease, PickRequest, Pool, RoundRobin, Verdict,
};
use equipoise_health::{
    Health, HealthBuilder, Schedule,
    agent::AgentReply,
    probe::{ProbeError, ProbeFn, ProbeOutcome, Target, probe_fn},
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::timeout;

/// The behaviour of a probe. By default it passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Say {
    Pass,
    Fail,
    Hang,
    Panic,
    Agent(&'static str),
}

#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    /// By address.
    say: HashMap<String, Say>,
    probes: HashMap<String, usize>,
}

impl Script {
    /// Sets the behaviour of probes of this address.
    pub(crate) fn say(&self, address: &str, say: Say) {
        self.0.lock().say.insert(address.to_owned(), say);
    }

    /// The number of probes of this address that were started.
    pub(crate) fn probes(&self, address: &str) -> usize {
        self.0.lock().probes.get(address).copied().unwrap_or_default()
    }

    pub(crate) fn probe(
        &self,
    ) -> ProbeFn<impl Fn(Target) -> BoxFuture<'static, Result<ProbeOutcome, ProbeError>> + Send + Sync + use<>> {
        let script = self.clone();
        probe_fn(move |target: Target| {
            let mut lines = script.0.lock();
            *lines.probes.entry(target.address.clone()).or_default() += 1;
            let say = lines.say.get(&target.address).copied().unwrap_or(Say::Pass);
            drop(lines);
            let answer: BoxFuture<'static, _> = Box::pin(async move {
                match say {
                    Say::Pass => Ok(ProbeOutcome::Passed),
                    Say::Fail => Err(ProbeError::Unexpected("status 500".to_owned())),
                    Say::Hang => std::future::pending().await,
                    Say::Panic => panic!("as the test wants"),
                    Say::Agent(line) => {
                        Ok(ProbeOutcome::Agent(AgentReply::parse(line.as_bytes()).expect("a whole line")))
                    }
                }
            });
            answer
        })
    }

    /// A builder with one check that follows this script.
    pub(crate) fn health(&self, schedule: Schedule) -> HealthBuilder {
        Health::builder().check("check", schedule, self.probe()).seed(1)
    }
}

pub(crate) fn every_second() -> Schedule {
    Schedule::new().interval(seconds(1)).timeout(seconds(1)).jitter(0.0)
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A round-robin pool whose requests are watched.
pub(crate) fn pool(health: &Health, endpoints: &[&str]) -> Pool<()> {
    let pool = Pool::new(health.watch(RoundRobin::new()));
    update(&pool, endpoints);
    pool
}

pub(crate) fn update(pool: &Pool<()>, endpoints: &[&str]) {
    pool.update(endpoints.iter().map(|address| EndpointSpec::new(*address)), |_| ()).expect("good endpoints");
}

pub(crate) fn status(pool: &Pool<()>, id: &str) -> EndpointStatus {
    let id = EndpointId::from(id);
    pool.endpoints().into_iter().find(|endpoint| endpoint.id == id).expect("it is there")
}

pub(crate) fn of(pool: &Pool<()>, id: &str) -> Availability {
    status(pool, id).availability
}

/// Waits until the status satisfies the condition.
pub(crate) async fn until_it_is(pool: &Pool<()>, id: &str, what: &str, so: impl Fn(&EndpointStatus) -> bool) {
    let wait = async {
        loop {
            let revision = pool.revision();
            if so(&status(pool, id)) {
                return;
            }
            pool.changed(revision).await;
        }
    };
    if timeout(seconds(600), wait).await.is_err() {
        panic!("{id} should become {what}, and is {:?}", status(pool, id));
    }
}

pub(crate) async fn until(pool: &Pool<()>, id: &str, availability: Availability) {
    until_it_is(pool, id, &availability.to_string(), |status| status.availability == availability).await;
}

/// A lease on this endpoint, if a full turn of the pool gives one. The leases on other endpoints succeed.
pub(crate) fn pick(pool: &Pool<()>, id: &str) -> Option<Lease<()>> {
    for _ in 0..2 * pool.endpoints().len() {
        let lease = pool.pick(&PickRequest::new()).expect("somebody takes it");
        if lease.endpoint().id().as_str() == id {
            return Some(lease);
        }
        lease.finish(Verdict::Success);
    }
    None
}
