use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Weak,
        atomic::{
            AtomicU8,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use equipoise_core::{EndpointId, Timestamp, Verdict};
use parking_lot::Mutex;

use super::tally::{Flags, Tally, nanos};
use crate::{machine::Event, settings::Outliers};

/// Collects the results of a pool's requests for outlier detection by a [`Machine`](crate::machine::Machine). Clones
/// share the results.
///
/// [`Health`](crate::Health) contains a `ResultCollector`. Use this type only with a `Machine` that runs without
/// `Health`. Each request that ends updates atomic counters of its endpoint. Some results require an immediate
/// decision, for example because the endpoint has reached a failure limit. The collector then calls the function that
/// [`wake_by`](Self::wake_by) has set. No result is lost.
///
/// ```
/// use equipoise_core::{EndpointSpec, Failure, P2c, PickRequest, Pool, Verdict};
/// use equipoise_health::{Outliers, ResultCollector};
/// use equipoise_health::machine::{Event, FailureLimit, Signal};
///
/// let collector = ResultCollector::new(Outliers::new().consecutive_failures(2));
/// let pool = Pool::new(collector.watch(P2c::new()));
/// pool.add(EndpointSpec::new("a:80"), ())?;
/// for _ in 0..2 {
///     pool.pick(&PickRequest::new())?.finish(Verdict::Failure(Failure::Server));
/// }
/// let reached = Signal::FailureLimitReached(FailureLimit::Consecutive(2));
/// assert!(matches!(&collector.take()[..], [Event::Signalled { signal, .. }] if *signal == reached));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ResultCollector(Arc<Registry>);

struct Registry {
    rules: Option<Outliers>,
    /// The endpoints with each id, the newest one last. An id may have several: a replaced endpoint exists as long as
    /// its leases, and the pool may reject a new endpoint.
    endpoints: Mutex<HashMap<EndpointId, Vec<Weak<EndpointResults>>>>,
    flagged: Mutex<Vec<Weak<EndpointResults>>>,
    wake: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

/// The results of the requests to one endpoint.
#[derive(Debug)]
pub(super) struct EndpointResults {
    id: EndpointId,
    tally: Tally,
    flags: AtomicU8,
    registry: Weak<Registry>,
    this: Weak<EndpointResults>,
}

impl EndpointResults {
    pub(super) fn on_latency(&self, latency: Duration) {
        self.tally.on_latency(latency);
    }

    pub(super) fn on_outcome(&self, verdict: Verdict, now: Timestamp) {
        self.set(self.tally.on_outcome(verdict, now));
    }

    pub(super) fn on_probation(&self, verdict: Verdict) {
        self.set(Tally::on_probation(verdict));
    }

    /// Returns whether a request that its caller abandoned after this time counts as a timeout.
    pub(super) fn is_timeout(&self, waited: Duration) -> bool {
        let Some(factor) = self.tally.abandon_factor() else { return false };
        let usual = match self.tally.usual_latency() {
            // Without a response of its own, the endpoint is assumed to be as slow as the slowest endpoint.
            0 => self.registry.upgrade().map_or(0, |registry| registry.max_usual_latency()),
            usual => usual,
        };
        usual > 0 && nanos(waited) as f64 >= factor * usual as f64
    }

    fn set(&self, flags: Flags) {
        // Only the first flag has to announce the endpoint. Later flags are read together with it.
        if flags != 0
            && self.flags.fetch_or(flags, Release) == 0
            && let Some(registry) = self.registry.upgrade()
        {
            registry.flagged.lock().push(Weak::clone(&self.this));
            let wake = registry.wake.lock().clone();
            if let Some(wake) = wake {
                wake();
            }
        }
    }

    fn take_flags(&self) -> Flags {
        self.flags.swap(0, Acquire)
    }
}

impl Registry {
    /// Returns the newest endpoint with each id.
    fn newest(&self) -> Vec<Arc<EndpointResults>> {
        // The result is a `Vec`, so that the lock is released before a last reference is dropped. Dropping it takes
        // the lock again.
        self.endpoints.lock().values().filter_map(|endpoints| newest(endpoints)).collect()
    }

    /// Returns the usual latency of the slowest endpoint in nanoseconds, or 0 if no endpoint has answered yet. Takes
    /// O(n) time for n endpoints.
    fn max_usual_latency(&self) -> u64 {
        self.newest().iter().map(|endpoint| endpoint.tally.usual_latency()).max().unwrap_or_default()
    }
}

impl ResultCollector {
    /// Creates a collector of request results. `rules` are the settings of outlier detection, which decide what is
    /// collected. If `rules` is `None`, nothing is collected.
    pub fn new(rules: impl Into<Option<Outliers>>) -> Self {
        Self(Arc::new(Registry {
            rules: rules.into(),
            endpoints: Mutex::default(),
            flagged: Mutex::default(),
            wake: Mutex::default(),
        }))
    }

    /// Sets the function that is called when [`take`](Self::take) has something to return. The function `wake` is
    /// called on the threads on which requests end, and must not block. A later call of `wake_by` replaces the function
    /// of an earlier call. Default: no function is called.
    pub fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        *self.0.wake.lock() = Some(Arc::new(wake));
    }

    /// Returns the request results that require an immediate decision, such as reached failure limits. The results
    /// since the previous call of `take` are returned. Each result is an [`Event::Signalled`]. Pass each event to
    /// [`Machine::handle`](crate::machine::Machine::handle). Returns an empty list if there was no such result.
    pub fn take(&self) -> Vec<Event> {
        let flagged = std::mem::take(&mut *self.0.flagged.lock());
        let mut events = Vec::new();
        for endpoint in flagged.iter().filter_map(Weak::upgrade) {
            let signals = endpoint.tally.signals(endpoint.take_flags());
            // Ignores an endpoint that has left or was replaced.
            if self.newest(&endpoint.id).is_some_and(|newest| Arc::ptr_eq(&newest, &endpoint)) {
                events.extend(signals.map(|signal| Event::Signalled { id: endpoint.id.clone(), signal }));
            }
        }
        events
    }

    /// Returns an [`Event::Counted`] with the results of each endpoint's requests since the previous call of `count`:
    /// the numbers of successes and failures, and the latencies. The event is the answer to
    /// [`Action::CollectCounts`](crate::machine::Action::CollectCounts).
    pub fn count(&self) -> Event {
        let endpoints = self.0.newest();
        Event::Counted(endpoints.iter().map(|endpoint| (endpoint.id.clone(), endpoint.tally.take_counts())).collect())
    }

    /// Returns whether a strategy was wrapped by `watch` and its pool has endpoints.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_endpoints(&self) -> bool {
        !self.0.endpoints.lock().is_empty()
    }

    pub(crate) fn rules(&self) -> Option<Outliers> {
        self.0.rules
    }

    /// Adds an endpoint. Returns `None` if outlier detection is off.
    pub(super) fn add(&self, id: &EndpointId) -> Option<Arc<EndpointResults>> {
        let rules = self.0.rules?;
        let endpoint = Arc::new_cyclic(|this| EndpointResults {
            id: id.clone(),
            tally: Tally::new(rules),
            flags: AtomicU8::new(0),
            registry: Arc::downgrade(&self.0),
            this: Weak::clone(this),
        });
        self.0.endpoints.lock().entry(id.clone()).or_default().push(Arc::downgrade(&endpoint));
        Some(endpoint)
    }

    fn newest(&self, id: &EndpointId) -> Option<Arc<EndpointResults>> {
        newest(self.0.endpoints.lock().get(id)?)
    }
}

fn newest(endpoints: &[Weak<EndpointResults>]) -> Option<Arc<EndpointResults>> {
    endpoints.iter().rev().find_map(Weak::upgrade)
}

/// Removes the endpoint from the registry. A `Weak` that stayed there would keep the memory of the endpoint
/// allocated.
impl Drop for EndpointResults {
    fn drop(&mut self) {
        let Some(registry) = self.registry.upgrade() else { return };
        if let Entry::Occupied(mut endpoints) = registry.endpoints.lock().entry(self.id.clone()) {
            endpoints.get_mut().retain(|endpoint| !Weak::ptr_eq(endpoint, &self.this));
            if endpoints.get().is_empty() {
                endpoints.remove();
            }
        }
        if *self.flags.get_mut() != 0 {
            registry.flagged.lock().retain(|endpoint| !Weak::ptr_eq(endpoint, &self.this));
        }
    }
}

impl std::fmt::Debug for ResultCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultCollector").field("rules", &self.0.rules).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}
