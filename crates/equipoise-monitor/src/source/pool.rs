#[cfg(feature = "live")]
use std::any::Any;
use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "affinity")]
use equipoise_affinity::Affinity;
#[cfg(feature = "live")]
use equipoise_core::__private::{ChangeWatch, PoolChange, watch_changes};
use equipoise_core::{DepartedEndpoint, EndpointStatus, Pool, PoolStatus, Revision};
#[cfg(feature = "page")]
use equipoise_core::{Explanation, PickRequest};
#[cfg(feature = "health")]
use equipoise_health::Health;

use super::by_id::ById;
#[cfg(feature = "http")]
use super::connections::{self, ReadConnections};
#[cfg(feature = "health")]
use super::health;
#[cfg(feature = "affinity")]
use super::sessions;
use crate::report::{ConnectionsReport, EndpointReport, HealthReport, HealthTotals, PoolReport, SessionsReport};

/// How often a pool that changes all the time is read for one report.
const READS: u32 = 3;

/// A pool for a [`Monitor`](crate::Monitor), with what belongs to it: its health checks and its sessions.
#[derive(Clone)]
#[must_use]
pub struct WatchedPool {
    pub(crate) name: Arc<str>,
    pub(crate) pool: Arc<dyn AnyPool>,
    #[cfg(feature = "health")]
    pub(crate) health: Option<Health>,
    #[cfg(feature = "affinity")]
    pub(crate) affinity: Option<Affinity>,
    #[cfg(feature = "page")]
    pub(super) explainer: Option<super::explain::Explainer>,
    #[cfg(feature = "http")]
    connections: Option<ReadConnections>,
}

impl WatchedPool {
    /// Creates a watched pool. `name` identifies the pool in metrics and on the status page.
    ///
    /// With the feature `http`, the connections to endpoints are read too if the targets of the pool are of the type
    /// `Upstream`. For other targets, use `connections`.
    pub fn new<T: Send + Sync + 'static>(name: impl Into<Arc<str>>, pool: &Pool<T>) -> Self {
        Self {
            name: name.into(),
            pool: Arc::new(pool.clone()),
            #[cfg(feature = "health")]
            health: None,
            #[cfg(feature = "affinity")]
            affinity: None,
            #[cfg(feature = "page")]
            explainer: None,
            #[cfg(feature = "http")]
            connections: connections::of_upstreams(pool),
        }
    }

    /// Adds the health checks of the pool: reports then say why an endpoint is not up.
    #[cfg(feature = "health")]
    #[cfg_attr(docsrs, doc(cfg(feature = "health")))]
    pub fn health(mut self, health: &Health) -> Self {
        self.health = Some(health.clone());
        self
    }

    /// Adds the sessions of the pool: what became of them, and the session store if there is one.
    #[cfg(feature = "affinity")]
    #[cfg_attr(docsrs, doc(cfg(feature = "affinity")))]
    pub fn affinity(mut self, affinity: &Affinity) -> Self {
        self.affinity = Some(affinity.clone());
        self
    }

    /// Adds the connections to the endpoints, for pools whose targets have an `Upstream` inside. `status` returns the
    /// connections of a target, or `None` if it has none. It is called for each endpoint and snapshot, up to three times if
    /// the pool changes in between, and must be fast. If it panics, the endpoint has no connections in the snapshot.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    /// use equipoise_http::Upstream;
    /// use equipoise_monitor::{Monitor, WatchedPool};
    ///
    /// #[derive(Clone)]
    /// struct Shop {
    ///     upstream: Upstream,
    /// }
    ///
    /// let pool = Pool::default();
    /// pool.add(EndpointSpec::new("10.0.0.1:80"), Shop { upstream: Upstream::new("10.0.0.1:80")? })?;
    ///
    /// let monitor = Monitor::new();
    /// let watched = WatchedPool::new("web", &pool);
    /// monitor.add_pool(watched.connections(&pool, |shop: &Shop| Some(shop.upstream.status())));
    /// assert_eq!(monitor.snapshot().pools[0].endpoints[0].connections.as_ref().unwrap().open, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "http")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn connections<T: Clone + Send + Sync + 'static>(
        mut self,
        pool: &Pool<T>,
        status: impl Fn(&T) -> Option<equipoise_http::ConnectionStatus> + Send + Sync + 'static,
    ) -> Self {
        self.connections = Some(connections::of_targets(pool, status));
        self
    }

    pub(crate) fn report(&self) -> PoolReport {
        let (status, mut health, mut connections) = self.read();
        let mut report = |status: EndpointStatus, left_ago: Option<Duration>| EndpointReport {
            health: health.take(&status.id).filter(|_| left_ago.is_none()),
            connections: connections.take(&status.id),
            status,
            left_ago,
        };
        // An endpoint that has come back has the health and the connections of its id.
        let endpoints = status.endpoints.into_iter().map(|status| report(status, None)).collect();
        let departed = status.departed.into_iter().map(|it| report(it.status, Some(it.left_ago))).collect();
        PoolReport {
            name: Arc::clone(&self.name),
            strategy: self.pool.strategy(),
            revision: status.revision.get(),
            stats: status.stats,
            endpoints,
            departed,
            past_latency: status.past_latency,
            past_duration: status.past_duration,
            health: self.health_totals(),
            sessions: self.sessions(),
        }
    }

    /// Reads the endpoints, their health and their connections. The three are read one after the other: if the pool has
    /// changed in between, they are read again, at most [`READS`] times in all.
    fn read(&self) -> (PoolStatus, ById<HealthReport>, ById<ConnectionsReport>) {
        let mut reads = 1;
        loop {
            // One reading, so that the totals are the sums of the endpoints.
            let status = self.pool.status();
            // Read at once, not for each endpoint.
            let health = self.health_by_endpoint();
            let connections = self.connections_by_endpoint(&status.departed);
            if reads == READS || self.pool.revision() == status.revision {
                return (status, health, connections);
            }
            reads += 1;
        }
    }

    /// Returns whether both watch the same pool under the same name.
    #[cfg(feature = "live")]
    pub(crate) fn is_same_pool(&self, other: &Self) -> bool {
        self.name == other.name && self.pool.is_same(&*other.pool)
    }

    fn health_by_endpoint(&self) -> ById<HealthReport> {
        #[cfg(feature = "health")]
        if let Some(health) = &self.health {
            return ById::new(health::by_endpoint(health));
        }
        ById::new(Vec::new())
    }

    fn connections_by_endpoint(&self, departed: &[DepartedEndpoint]) -> ById<ConnectionsReport> {
        #[cfg(feature = "http")]
        if let Some(read) = &self.connections {
            return ById::new(read(&departed.iter().map(|departed| departed.status.id.clone()).collect::<Vec<_>>()));
        }
        let _ = departed;
        ById::new(Vec::new())
    }

    fn health_totals(&self) -> Option<HealthTotals> {
        #[cfg(feature = "health")]
        if let Some(health) = &self.health {
            return Some(health::totals(health));
        }
        None
    }

    fn sessions(&self) -> Option<SessionsReport> {
        #[cfg(feature = "affinity")]
        if let Some(affinity) = &self.affinity {
            return Some(sessions::report(affinity));
        }
        None
    }
}

impl fmt::Debug for WatchedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedPool").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A pool without the type of its targets.
pub(crate) trait AnyPool: Send + Sync {
    fn strategy(&self) -> String;
    fn status(&self) -> PoolStatus;
    fn revision(&self) -> Revision;
    /// Explains the pick for a request, by the code that picks.
    #[cfg(feature = "page")]
    fn explain(&self, request: &PickRequest<'_>) -> Explanation;
    #[cfg(feature = "live")]
    fn as_any(&self) -> &dyn Any;
    /// Returns whether both are handles of one pool.
    #[cfg(feature = "live")]
    fn is_same(&self, other: &dyn AnyPool) -> bool;
    /// Calls `f` with each change of the pool, as [`watch_changes`] does.
    #[cfg(feature = "live")]
    fn watch(&self, f: Box<dyn Fn(PoolChange) + Send + Sync>) -> ChangeWatch;
}

impl<T: Send + Sync + 'static> AnyPool for Pool<T> {
    fn strategy(&self) -> String {
        self.strategy()
    }

    fn status(&self) -> PoolStatus {
        self.status()
    }

    fn revision(&self) -> Revision {
        self.revision()
    }

    #[cfg(feature = "page")]
    fn explain(&self, request: &PickRequest<'_>) -> Explanation {
        self.explain(request)
    }

    #[cfg(feature = "live")]
    fn as_any(&self) -> &dyn Any {
        self
    }

    #[cfg(feature = "live")]
    fn is_same(&self, other: &dyn AnyPool) -> bool {
        other.as_any().downcast_ref().is_some_and(|other| self.is_same(other))
    }

    #[cfg(feature = "live")]
    fn watch(&self, f: Box<dyn Fn(PoolChange) + Send + Sync>) -> ChangeWatch {
        watch_changes(self, f)
    }
}
