//! A client of the simulation: a balancer with its own pool and its own random numbers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use equipoise_core::{EndpointId, EndpointSpec, ManualClock, Pool, SeededEntropy, Strategy, UpdateError};
use rand_distr::{Distribution, Zipf};

use super::{
    draw::DrawStreams,
    events::{Nanos, ORIGIN},
    monitor::Monitor,
    streams::{Purpose, Stream, number, stream},
};
use crate::{
    contender::Contender,
    error::RunError,
    scenario::{ArrivalSource, Scenario, Trace},
};

pub(super) struct Client {
    pub(super) pool: Pool<u32>,
    /// The health of the servers as this client sees it. `None` without a health policy.
    pub(super) monitor: Option<Monitor>,
    arrivals: ArrivalSource,
    arriving: Stream,
    /// The trace, the index in it of the client's next request, and the number that is added to the index for each
    /// request.
    traced: (Option<Trace>, usize, usize),
    pub(super) draws: DrawStreams,
    keys: Stream,
    /// Number of retries that the retry budget allows at present.
    tokens: f64,
}

/// Number of retries that the retry budget allows in a burst.
const BURST: f64 = 10.0;

impl Client {
    pub(super) fn new(
        scenario: &Scenario,
        index: usize,
        contender: &dyn Contender,
        clock: &Arc<ManualClock>,
        monitor: Option<Monitor>,
    ) -> Result<Self, RunError> {
        let panicked = |_| RunError::Panicked { label: contender.label(), client: index };
        let make = || {
            let strategy = contender.strategy(index);
            (strategy.needs(), strategy)
        };
        let (needs, strategy) = catch_unwind(AssertUnwindSafe(make)).map_err(panicked)?;
        scenario.check_tables(needs)?;
        let strategy = match &monitor {
            Some(monitor) => monitor.watch(strategy),
            None => strategy,
        };
        let entropy = SeededEntropy::new(number(scenario.seed, Purpose::Strategy, index).rotate_left(17));
        let pool = Pool::<u32>::builder(strategy).clock(clock.clone()).entropy(Arc::new(entropy)).stripes(1).build();
        let stream = |purpose| stream(scenario.seed, purpose, index);
        Ok(Self {
            pool,
            monitor,
            arrivals: ArrivalSource::new(scenario.arrivals, scenario.gap()),
            arriving: stream(Purpose::Arrivals),
            traced: (scenario.trace.clone(), index, scenario.clients),
            draws: DrawStreams::new(scenario.seed, index),
            keys: stream(Purpose::Keys),
            tokens: BURST,
        })
    }

    /// Updates the endpoints of the pool to `members`. The address of a member is the index of its server.
    pub(super) fn update(&self, members: &[EndpointSpec]) -> Result<(), UpdateError> {
        let number = |spec: &EndpointSpec| spec.address().parse().unwrap_or(u32::MAX);
        self.pool.update(members.iter().cloned(), number).map(drop)
    }

    /// Returns the time at which the next request arrives at this client. `None` if the trace has no further request.
    pub(super) fn next_arrival(&mut self, now: Nanos) -> Option<Nanos> {
        match &self.traced {
            (None, ..) => Some(now.saturating_add((self.arrivals.next(&mut self.arriving) * 1e9) as Nanos)),
            (Some(trace), next, _) => Some(ORIGIN.saturating_add(trace.requests.get(*next)?.0)),
        }
    }

    /// Takes the client's next request from the trace and returns its work. `None` without a trace.
    pub(super) fn take_traced(&mut self) -> Option<f64> {
        let (trace, next, step) = &mut self.traced;
        let (_, work) = trace.as_ref()?.requests.get(*next)?;
        *next = next.saturating_add(*step);
        Some(*work)
    }

    /// Draws the key of the next request: a number from 0, where 0 is the most frequent key.
    pub(super) fn key(&mut self, popularity: &Zipf<f64>) -> u32 {
        popularity.sample(&mut self.keys) as u32 - 1
    }

    /// Adds the part of a retry that one request allows to the retry budget.
    pub(super) fn deposit(&mut self, budget: f64) {
        self.tokens = (self.tokens + budget).min(BURST.max(budget));
    }

    /// Takes one retry from the retry budget. Returns false if the budget does not allow one.
    pub(super) fn withdraw(&mut self) -> bool {
        let may = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(may));
        may
    }
}

const ID_PREFIX: &str = "server-";

/// Returns the id of the endpoint of a server.
pub(super) fn server_id(server: usize) -> EndpointId {
    EndpointId::from(format!("{ID_PREFIX}{server}"))
}

/// Returns the index of the server that has the endpoint `id`.
pub(super) fn server_index(id: &EndpointId) -> Option<usize> {
    id.as_str().strip_prefix(ID_PREFIX)?.parse().ok()
}
