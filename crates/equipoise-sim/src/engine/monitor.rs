//! The health of servers as one client sees it: a health state machine of `equipoise-health`, and the signals that
//! requests give to it.

use std::sync::mpsc::{Receiver, Sender, channel};

use equipoise_core::AnyStrategy;
use equipoise_health::{
    HealthPolicy, ResultCollector,
    machine::{Machine, ProbeId},
    probe::{ProbeError, ProbeOutcome},
};
use slab::Slab;

use super::{
    events::Nanos,
    streams::{Purpose, Stream, number, stream},
};
use crate::scenario::InvalidScenario;

/// The parts of health that all clients share.
pub(super) struct Health {
    pub(super) policy: HealthPolicy,
    pub(super) seed: u64,
    /// Indices of the clients whose requests have given new signals to their health state machine.
    pub(super) woken: (Sender<usize>, Receiver<usize>),
    pub(super) checks: Slab<Check>,
    pub(super) network: Stream,
}

/// The health of all servers as one client sees it.
pub(super) struct Monitor {
    pub(super) machine: Machine,
    pub(super) collector: ResultCollector,
    /// Whether the state machine knows a server, by server.
    pub(super) members: Vec<bool>,
    /// Time of the next timeout of the state machine that is planned as an event.
    pub(super) wakes: Option<Nanos>,
}

/// A health check on its way to a server or back.
pub(super) struct Check {
    pub(super) client: usize,
    pub(super) server: usize,
    pub(super) probe: ProbeId,
    /// The result of the check. `None` on the way to the server.
    pub(super) result: Option<Result<ProbeOutcome, ProbeError>>,
}

impl Health {
    pub(super) fn new(policy: &HealthPolicy, seed: u64) -> Self {
        let network = stream(seed, Purpose::Checks, 0);
        Self { policy: policy.clone(), seed, woken: channel(), checks: Slab::new(), network }
    }

    pub(super) fn monitor(&self, client: usize, servers: usize) -> Result<Monitor, InvalidScenario> {
        let machine = Machine::new(self.policy.clone(), number(self.seed, Purpose::Health, client))?;
        let collector = ResultCollector::new(self.policy.outliers);
        let woken = self.woken.0.clone();
        collector.wake_by(move || {
            // The receiver is gone once the run is over.
            let _ = woken.send(client);
        });
        Ok(Monitor { machine, collector, members: vec![false; servers], wakes: None })
    }
}

impl Monitor {
    pub(super) fn watch(&self, strategy: AnyStrategy) -> AnyStrategy {
        AnyStrategy::new(self.collector.watch(strategy))
    }
}
