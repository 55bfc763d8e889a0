//! A client: a balancer with its own pool and random numbers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use equipoise_core::{EndpointId, EndpointSpec, ManualClock, Pool, SeededEntropy, Strategy, UpdateError};
use rand_distr::{Distribution, Zipf};

use super::{
    monitor::Monitor,
    streams::{Purpose, Stream, number, stream},
};
use crate::{
    contender::Contender,
    error::RunError,
    scenario::{ArrivalSource, Network, Scenario, WorkSource},
};

pub(super) struct Client {
    pub(super) pool: Pool<u32>,
    /// The client's view of health; `None` without a health policy.
    pub(super) monitor: Option<Monitor>,
    arrivals: ArrivalSource,
    arriving: Stream,
    work: Stream,
    network: Stream,
    retries: Stream,
    keys: Stream,
    /// Number of retries that the budget allows at present.
    tokens: f64,
}

/// The costs of an attempt, drawn before its server is known.
#[derive(Clone, Copy)]
pub(super) struct Draw {
    /// Work in core-seconds.
    pub(super) work: f64,
    /// Network delays in nanoseconds, to the server and back.
    pub(super) there: u64,
    pub(super) back: u64,
}

/// Number of retries that a budget allows in a burst.
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
            work: stream(Purpose::Work),
            network: stream(Purpose::Network),
            retries: stream(Purpose::Retries),
            keys: stream(Purpose::Keys),
            tokens: BURST,
        })
    }

    /// Updates the pool to these members, whose addresses are the indices of the servers.
    pub(super) fn update(&self, members: &[EndpointSpec]) -> Result<(), UpdateError> {
        let number = |spec: &EndpointSpec| spec.address().parse().unwrap_or(u32::MAX);
        self.pool.update(members.iter().cloned(), number).map(drop)
    }

    /// Returns the nanoseconds until the next request.
    pub(super) fn gap(&mut self) -> u64 {
        (self.arrivals.next(&mut self.arriving) * 1e9) as u64
    }

    pub(super) fn draw_first(&mut self, work: &WorkSource, network: &Network) -> Draw {
        Draw {
            work: work.draw(&mut self.work),
            there: network.draw(&mut self.network),
            back: network.draw(&mut self.network),
        }
    }

    pub(super) fn draw_retry(&mut self, work: &WorkSource, network: &Network) -> Draw {
        let rng = &mut self.retries;
        Draw { work: work.draw(rng), there: network.draw(rng), back: network.draw(rng) }
    }

    /// Draws the key of the next request, from 0.
    pub(super) fn key(&mut self, popularity: &Zipf<f64>) -> u32 {
        popularity.sample(&mut self.keys) as u32 - 1
    }

    pub(super) fn deposit(&mut self, budget: f64) {
        self.tokens = (self.tokens + budget).min(BURST.max(budget));
    }

    /// Returns whether the budget allows a retry, and takes it.
    pub(super) fn withdraw(&mut self) -> bool {
        let may = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(may));
        may
    }
}

const ID_PREFIX: &str = "server-";

/// Returns the endpoint id of a server.
pub(super) fn server_id(server: usize) -> EndpointId {
    EndpointId::from(format!("{ID_PREFIX}{server}"))
}

/// Returns the index of the server with this endpoint id.
pub(super) fn server_index(id: &EndpointId) -> Option<usize> {
    id.as_str().strip_prefix(ID_PREFIX)?.parse().ok()
}
