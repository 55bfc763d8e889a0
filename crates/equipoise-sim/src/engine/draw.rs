//! The costs of attempts, drawn before their server is known.

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
    /// The share of responses with a body, and its duration.
    bodies: Option<(f64, WorkSource)>,
    /// Whether answers of any server fail at random.
    flaky: bool,
    /// The share of the requests whose callers give up.
    impatient: Option<f64>,
}

/// The costs of an attempt.
#[derive(Clone, Copy)]
pub(super) struct Draw {
    /// Work in core-seconds.
    pub(super) work: f64,
    /// Network delays to the server and back, without the distance of the server.
    pub(super) there: Nanos,
    pub(super) back: Nanos,
    /// Time from the first byte to the end of the response.
    pub(super) body: Nanos,
    /// The answer fails at a flaky server if its share is above this number, which is below 1.
    pub(super) luck: f64,
}

/// The random numbers of a client.
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

    /// Draws a duration of a body in nanoseconds; 0 for a response without one.
    fn body(&self, rng: &mut Stream) -> Nanos {
        match &self.bodies {
            Some((share, duration)) if rng.random::<f64>() < *share => (duration.draw(rng) * 1e9) as Nanos,
            _ => 0,
        }
    }

    fn luck(&self, rng: &mut Stream) -> f64 {
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

    /// Draws the costs of a request's first attempt. `work` is the work of the request if a trace says it.
    pub(super) fn first(&mut self, costs: &Costs, work: Option<f64>) -> Draw {
        Draw {
            work: work.unwrap_or_else(|| costs.work.draw(&mut self.work)),
            there: costs.network.draw(&mut self.network),
            back: costs.network.draw(&mut self.network),
            body: costs.body(&mut self.bodies),
            luck: costs.luck(&mut self.failures),
        }
    }

    /// Draws the costs of a retry or a hedge.
    pub(super) fn retry(&mut self, costs: &Costs, work: Option<f64>) -> Draw {
        let rng = &mut self.retries;
        Draw {
            work: work.unwrap_or_else(|| costs.work.draw(rng)),
            there: costs.network.draw(rng),
            back: costs.network.draw(rng),
            body: costs.body(rng),
            luck: costs.luck(rng),
        }
    }

    /// Draws whether the caller of the next request gives up when it has waited for too long.
    pub(super) fn is_impatient(&mut self, costs: &Costs) -> bool {
        costs.impatient.is_some_and(|share| self.callers.random::<f64>() < share)
    }
}
