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
    requests::Signals,
};

/// The state that the clones of a `Health` share.
pub(super) struct Shared {
    pub(super) machine: Mutex<Machine>,
    /// By index of the check.
    pub(super) probes: Vec<Arc<dyn Probe>>,
    pub(super) signals: Signals,
    pub(super) wake: Arc<Notify>,
    /// Locked while the driver runs, so that it runs once at a time.
    pub(super) running: tokio::sync::Mutex<Known>,
    pub(super) listeners: Listeners,
    pub(super) origin: Instant,
}

/// What one run of the driver leaves for the next.
#[derive(Default)]
pub(super) struct Known {
    /// The endpoints that the machine knows.
    pub(super) members: BTreeMap<EndpointId, Member>,
    /// The probes that the machine waits for.
    pub(super) probes: HashMap<ProbeId, AbortHandle>,
}

#[derive(PartialEq)]
pub(super) struct Member {
    /// Changes when an endpoint leaves and comes back, even if the driver did not see it leave.
    pub(super) joined: Revision,
    pub(super) address: Box<str>,
}

impl Shared {
    /// The time on the machine's clock.
    pub(super) fn now(&self) -> Timestamp {
        // Starts at 1 ns, because 0 means "never" in some places.
        Timestamp::from_nanos(1) + self.origin.elapsed()
    }
}
