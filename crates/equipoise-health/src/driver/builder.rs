use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{Health, Shared};
use crate::{
    machine::Machine,
    probe::Probe,
    settings::{CheckPolicy, InvalidHealth, Outliers, Policy, Schedule},
    signals::Signals,
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

    /// Looks at every endpoint with this probe, which reasons will call by this name. Several may be set: an endpoint has
    /// to pass them all, and its [agent](crate::probe::Agent), if one of them is asked, must not object.
    pub fn check(mut self, name: impl Into<String>, schedule: Schedule, probe: impl Probe) -> Self {
        self.policy.checks.push(CheckPolicy { silence: probe.silence(), ..CheckPolicy::new(name, schedule) });
        self.probes.push(Arc::new(probe));
        self
    }

    /// Ejects endpoints for how they treat requests. Takes a pool whose strategy is [watched](Health::watch).
    pub fn outliers(mut self, outliers: Outliers) -> Self {
        self.policy.outliers = Some(outliers);
        self
    }

    /// How many probes may be under way at a time; 256 by default.
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
        let (signals, wake) = (Signals::new(self.policy.outliers), Arc::new(Notify::new()));
        let machine = Machine::new(self.policy, self.seed.unwrap_or_else(rand::random))?;
        let waker = Arc::clone(&wake);
        signals.wake_by(move || waker.notify_one());
        Ok(Health(Arc::new(Shared {
            machine: Mutex::new(machine),
            probes: self.probes,
            signals,
            wake,
            running: tokio::sync::Mutex::default(),
            listeners: Mutex::default(),
            origin: Instant::now(),
        })))
    }
}
