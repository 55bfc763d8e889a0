//! What all listeners of a proxy share.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use arc_swap::ArcSwap;
use equipoise_core::{AnyTarget, Availability, EndpointId, InvalidSpec, Lease, PickError, PickRequest, Pool};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    address::check, limits::Sessions, listener::is_own, peers::Peers, ready::Wakeups, settings::UdpSettings,
    stats::Counters,
};
use crate::attempts::CountAttempts;

/// A pool without the type of its targets.
pub(super) trait Endpoints: CountAttempts + Send + Sync {
    fn pick(&self, request: &PickRequest<'_>) -> Result<Lease<AnyTarget>, PickError>;
    /// Returns whether the endpoint has been found unhealthy, or has left the pool.
    fn is_unhealthy(&self, id: &EndpointId) -> bool;
    /// Checks the addresses of all endpoints.
    fn check(&self) -> Result<(), InvalidSpec>;
}

impl<T: Send + Sync + 'static> Endpoints for Pool<T> {
    fn pick(&self, request: &PickRequest<'_>) -> Result<Lease<AnyTarget>, PickError> {
        self.pick(request).map(Lease::without_target)
    }

    fn is_unhealthy(&self, id: &EndpointId) -> bool {
        !matches!(self.availability(id), Some(Availability::Up | Availability::Draining))
    }

    fn check(&self) -> Result<(), InvalidSpec> {
        self.demand_addresses(check)
    }
}

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// No session is opened any more.
    Draining,
    /// All sessions end.
    Aborting,
}

/// What can be replaced while sessions are open.
#[derive(Clone)]
pub(super) struct Backend {
    /// The pool for later sessions. A session keeps the one that it has its endpoint from.
    pub(super) pool: Arc<dyn Endpoints>,
    pub(super) settings: Arc<UdpSettings>,
}

pub(super) struct Shared {
    backend: ArcSwap<Backend>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) peers: Peers,
    pub(super) counters: Counters,
    /// A [`Phase`].
    phase: AtomicU8,
    /// The listeners that are served, each with its address. They are told of a new phase.
    listeners: Mutex<Vec<(Arc<Wakeups>, SocketAddr)>>,
    /// Each listener that is served has a receiver.
    serving: watch::Sender<()>,
}

impl Shared {
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            backend: ArcSwap::from_pointee(backend),
            sessions: Arc::default(),
            peers: Peers::default(),
            counters: Counters::default(),
            phase: AtomicU8::new(Phase::Serving as u8),
            listeners: Mutex::default(),
            serving: watch::Sender::default(),
        }
    }

    pub(super) fn backend(&self) -> Arc<Backend> {
        self.backend.load_full()
    }

    pub(super) fn replace(&self, backend: Backend) {
        self.backend.store(Arc::new(backend));
        self.wake_all();
    }

    pub(super) fn set_settings(&self, settings: UdpSettings) {
        let settings = Arc::new(settings);
        self.backend.rcu(|backend| Backend { pool: Arc::clone(&backend.pool), settings: Arc::clone(&settings) });
        self.wake_all();
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Serving as u8 => Phase::Serving,
            phase if phase == Phase::Draining as u8 => Phase::Draining,
            _ => Phase::Aborting,
        }
    }

    /// Begins a phase, unless a later one has begun, and tells all listeners.
    pub(super) fn begin(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.wake_all();
    }

    /// Returns a value that is dropped when a listener is served no longer.
    pub(super) fn serving(&self) -> watch::Receiver<()> {
        self.serving.subscribe()
    }

    /// Waits until no listener is served.
    pub(super) async fn unserved(&self) {
        self.serving.closed().await;
    }

    pub(super) fn enter(&self, listener: &Arc<Wakeups>, local: SocketAddr) {
        self.listeners.lock().push((Arc::clone(listener), local));
    }

    pub(super) fn leave(&self, listener: &Arc<Wakeups>) {
        self.listeners.lock().retain(|(other, _)| !Arc::ptr_eq(other, listener));
    }

    /// Returns whether an address is that of a listener of this proxy.
    pub(super) fn is_own(&self, address: SocketAddr, asked: Option<IpAddr>) -> bool {
        self.listeners.lock().iter().any(|(_, local)| is_own(*local, address, asked))
    }

    fn wake_all(&self) {
        self.listeners.lock().iter().for_each(|(listener, _)| listener.wake_task());
    }
}
