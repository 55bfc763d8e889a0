use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{Health, Shared};
use crate::{
    machine::Machine,
    probe::Probe,
    settings::{CheckPolicy, InvalidHealth, Outliers, Policy, Schedule},
    signals::Board,
};

/// What a [`Health`] goes by.
#[must_use]
pub struct HealthBuilder {
    policy: Policy,
    probes: Vec<Arc<dyn Probe>>,
    seed: Option<u64>,
}

impl HealthBuilder {
    pub(super) fn new() -> Self {
        Self { policy: Policy::new(), probes: Vec::new(), seed: None }
    }

    /// Every endpoint has to pass this check, which reasons will call by this name. Several may be set.
    pub fn check(self, name: impl Into<String>, schedule: Schedule, probe: impl Probe) -> Self {
        self.add(name.into(), schedule, false, Arc::new(probe))
    }

    /// Every endpoint has an agent that says how it feels; an agent that does not answer has no opinion.
    pub fn agent(self, name: impl Into<String>, schedule: Schedule, probe: impl Probe) -> Self {
        self.add(name.into(), schedule, true, Arc::new(probe))
    }

    fn add(mut self, name: String, schedule: Schedule, is_agent: bool, probe: Arc<dyn Probe>) -> Self {
        self.policy.checks.push(CheckPolicy { name, schedule, is_agent });
        self.probes.push(probe);
        self
    }

    /// Ejects endpoints for how they treat requests. Takes a pool whose strategy is [watched](Health::watch).
    pub fn outliers(mut self, outliers: Outliers) -> Self {
        self.policy.outliers = Some(outliers);
        self
    }

    /// How many probes may be under way at a time; 100 by default.
    pub fn most_probes(mut self, probes: usize) -> Self {
        self.policy.most_probes = probes;
        self
    }

    /// Where chance (jitter, the spread of first looks) begins; by default the operating system says.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Puts it together.
    ///
    /// # Errors
    ///
    /// When a setting is impossible; the error names it.
    pub fn build(self) -> Result<Health, InvalidHealth> {
        let (outliers, wake) = (self.policy.outliers, Arc::new(Notify::new()));
        let machine = Machine::new(self.policy, self.seed.unwrap_or_else(rand::random))?;
        let board = Arc::new(Board::default());
        let waker = Arc::clone(&wake);
        board.wake_by(move || waker.notify_one());
        Ok(Health(Arc::new(Shared {
            machine: Mutex::new(machine),
            probes: self.probes,
            outliers,
            board,
            wake,
            listeners: Mutex::default(),
            origin: Instant::now(),
        })))
    }
}
