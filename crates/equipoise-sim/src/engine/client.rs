//! A client: a balancer with chance of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use equipoise_core::{EndpointSpec, ManualClock, Pool, SeededEntropy, Strategy, UpdateError};
use rand_distr::{Distribution, Zipf};

use super::{
    health::Keeper,
    streams::{Purpose, Stream, number, stream},
};
use crate::{
    contender::Contender,
    error::RunError,
    scenario::{ArrivalSource, Network, Scenario, WorkSource},
};

pub(super) struct Client {
    pub(super) pool: Pool<u32>,
    /// Who keeps an eye on the servers' health for it.
    pub(super) keeper: Option<Keeper>,
    arrivals: ArrivalSource,
    arriving: Stream,
    work: Stream,
    network: Stream,
    again: Stream,
    keys: Stream,
    /// Second attempts that it may make.
    tokens: f64,
}

/// What an attempt costs: drawn before anybody knows where it will go.
#[derive(Clone, Copy)]
pub(super) struct Draw {
    /// Core-seconds.
    pub(super) work: f64,
    /// Nanoseconds on the way, there and back.
    pub(super) there: u64,
    pub(super) back: u64,
}

/// How many second attempts a budget admits at once.
const BURST: f64 = 10.0;

impl Client {
    pub(super) fn new(
        scenario: &Scenario,
        index: usize,
        contender: &dyn Contender,
        clock: &Arc<ManualClock>,
        keeper: Option<Keeper>,
    ) -> Result<Self, RunError> {
        let panicked = |_| RunError::Panicked { label: contender.label(), client: index };
        let make = || {
            let strategy = contender.strategy(index);
            (strategy.needs(), strategy)
        };
        let (needs, strategy) = catch_unwind(AssertUnwindSafe(make)).map_err(panicked)?;
        scenario.check_tables(needs)?;
        let strategy = match &keeper {
            Some(keeper) => keeper.watch(strategy),
            None => strategy,
        };
        let entropy = SeededEntropy::new(number(scenario.seed, Purpose::Strategy, index).rotate_left(17));
        let pool = Pool::<u32>::builder(strategy).clock(clock.clone()).entropy(Arc::new(entropy)).stripes(1).build();
        let stream = |purpose| stream(scenario.seed, purpose, index);
        Ok(Self {
            pool,
            keeper,
            arrivals: ArrivalSource::new(scenario.arrivals, scenario.gap()),
            arriving: stream(Purpose::Arrivals),
            work: stream(Purpose::Work),
            network: stream(Purpose::Network),
            again: stream(Purpose::Again),
            keys: stream(Purpose::Keys),
            tokens: BURST,
        })
    }

    /// Gives the pool the members. Their addresses are the numbers of the servers.
    pub(super) fn learn(&self, members: &[EndpointSpec]) -> Result<(), UpdateError> {
        let number = |spec: &EndpointSpec| spec.address().parse().unwrap_or(u32::MAX);
        self.pool.update(members.iter().cloned(), number).map(drop)
    }

    /// Nanoseconds until its next request.
    pub(super) fn gap(&mut self) -> u64 {
        (self.arrivals.next(&mut self.arriving) * 1e9) as u64
    }

    pub(super) fn first(&mut self, work: &WorkSource, network: &Network) -> Draw {
        Draw {
            work: work.draw(&mut self.work),
            there: network.draw(&mut self.network),
            back: network.draw(&mut self.network),
        }
    }

    pub(super) fn again(&mut self, work: &WorkSource, network: &Network) -> Draw {
        let rng = &mut self.again;
        Draw { work: work.draw(rng), there: network.draw(rng), back: network.draw(rng) }
    }

    /// The key of its next request, from 0.
    pub(super) fn key(&mut self, popularity: &Zipf<f64>) -> u32 {
        popularity.sample(&mut self.keys) as u32 - 1
    }

    pub(super) fn earn(&mut self, budget: f64) {
        self.tokens = (self.tokens + budget).min(BURST.max(budget));
    }

    /// Whether it may make one more second attempt.
    pub(super) fn spend(&mut self) -> bool {
        let may = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(may));
        may
    }
}
