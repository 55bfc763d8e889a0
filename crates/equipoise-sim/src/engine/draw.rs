//! The costs of attempts (work, network delays and the like). They are drawn before a server is picked, so that they do
//! not depend on the strategy.

use rand::RngExt;

use super::{
    events::Nanos,
    streams::{Purpose, Stream, stream},
};
use crate::scenario::{FaultKind, Network, Scenario, WorkSource};

/// The distributions of a scenario from which the costs of attempts are drawn.
pub(super) struct Costs {
    work: WorkSource,
    network: Network,
    /// The share of the responses that have a body, and the distribution of its duration. `None` without bodies.
    bodies: Option<(f64, WorkSource)>,
    /// Whether a fault of the scenario makes requests fail at random.
    flaky: bool,
    /// The share of the requests whose callers give up. `None` if callers do not give up.
    impatient: Option<f64>,
}

/// The costs of one attempt, drawn before its server is picked.
#[derive(Clone, Copy)]
pub(super) struct Draw {
    /// Work in core-seconds.
    pub(super) work: f64,
    /// Network delay to the server, without the distance of the server until the server is known.
    pub(super) there: Nanos,
    /// Network delay back to the client, without the distance of the server until the server is known.
    pub(super) back: Nanos,
    /// Time from the first byte of the response to its end. 0 without a body.
    pub(super) body: Nanos,
    /// A random number from 0 to 1. A flaky server fails the request if its share of failures is above this number.
    pub(super) failure_draw: f64,
}

/// The random numbers of a client, in one stream for each purpose.
pub(super) struct DrawStreams {
    work: Stream,
    network: Stream,
    bodies: Stream,
    failures: Stream,
    callers: Stream,
    retries: Stream,
}

impl Costs {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            work: scenario.work.source(),
            network: scenario.network,
            bodies: scenario.bodies.map(|bodies| (bodies.share, bodies.duration.source())),
            flaky: scenario.faults.iter().any(|fault| matches!(fault.kind, FaultKind::Flaky { .. })),
            impatient: scenario.impatience.map(|impatience| impatience.share),
        }
    }

    /// Draws the duration of a body in nanoseconds. 0 for a response without a body.
    fn body(&self, rng: &mut Stream) -> Nanos {
        match &self.bodies {
            Some((share, duration)) if rng.random::<f64>() < *share => (duration.draw(rng) * 1e9) as Nanos,
            _ => 0,
        }
    }

    fn failure_draw(&self, rng: &mut Stream) -> f64 {
        if self.flaky { rng.random() } else { 1.0 }
    }
}

impl DrawStreams {
    pub(super) fn new(seed: u64, client: usize) -> Self {
        let stream = |purpose| stream(seed, purpose, client);
        Self {
            work: stream(Purpose::Work),
            network: stream(Purpose::Network),
            bodies: stream(Purpose::Bodies),
            failures: stream(Purpose::Failures),
            callers: stream(Purpose::Callers),
            retries: stream(Purpose::Retries),
        }
    }

    /// Draws the costs of the first attempt of a request. `work` is the work of the request if it is from a trace.
    pub(super) fn first(&mut self, costs: &Costs, work: Option<f64>) -> Draw {
        Draw {
            work: work.unwrap_or_else(|| costs.work.draw(&mut self.work)),
            there: costs.network.draw(&mut self.network),
            back: costs.network.draw(&mut self.network),
            body: costs.body(&mut self.bodies),
            failure_draw: costs.failure_draw(&mut self.failures),
        }
    }

    /// Draws the costs of a retry or a hedge. `work` is the work of the request if it is from a trace.
    pub(super) fn retry(&mut self, costs: &Costs, work: Option<f64>) -> Draw {
        let rng = &mut self.retries;
        Draw {
            work: work.unwrap_or_else(|| costs.work.draw(rng)),
            there: costs.network.draw(rng),
            back: costs.network.draw(rng),
            body: costs.body(rng),
            failure_draw: costs.failure_draw(rng),
        }
    }

    /// Draws whether the caller of the next request gives up if it has to wait too long.
    pub(super) fn is_impatient(&mut self, costs: &Costs) -> bool {
        costs.impatient.is_some_and(|share| self.callers.random::<f64>() < share)
    }
}
