use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use equipoise_core::{EndpointId, Revision, Timestamp};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::AbortHandle, time::Instant};

use super::changes::Listeners;
use crate::{
    machine::{Machine, ProbeId},
    probe::Probe,
    requests::ResultCollector,
};

/// The state that the clones of a `Health` share.
pub(super) struct Shared {
    /// The name of the pool. `None` if it has none.
    pub(super) name: Option<Box<str>>,
    pub(super) machine: Mutex<Machine>,
    /// The probe of each check, by the index of the check.
    pub(super) probes: Mutex<Vec<Arc<dyn Probe>>>,
    pub(super) collector: ResultCollector,
    pub(super) wake: Arc<Notify>,
    /// Locked while the driver runs, so that only one call of `Health::run` is active at a time.
    pub(super) running: tokio::sync::Mutex<Known>,
    pub(super) listeners: Listeners,
    pub(super) origin: Instant,
}

/// The state that one call of `Health::run` leaves for the next call.
#[derive(Default)]
pub(super) struct Known {
    /// The endpoints that have joined, as far as the health state machine knows.
    pub(super) members: BTreeMap<EndpointId, Member>,
    /// The running probes whose results the health state machine waits for.
    pub(super) probes: HashMap<ProbeId, AbortHandle>,
}

#[derive(PartialEq)]
pub(super) struct Member {
    /// The revision in which the endpoint joined. It changes when an endpoint leaves and comes back, even if the
    /// driver did not notice that it left.
    pub(super) joined: Revision,
    pub(super) address: Box<str>,
}

impl Shared {
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the present time on the clock of the health state machine.
    pub(super) fn now(&self) -> Timestamp {
        // The clock starts at 1 ns, because 0 means "never" in some places.
        Timestamp::from_nanos(1) + self.origin.elapsed()
    }
}
