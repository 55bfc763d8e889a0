use std::{any::Any, fmt, sync::Arc};

#[cfg(feature = "affinity")]
use equipoise_affinity::Affinity;
#[cfg(feature = "live")]
use equipoise_core::__private::{ChangeWatch, PoolChange, watch_changes};
use equipoise_core::{DepartedEndpoint, EndpointStatus, Pool, PoolStats, Revision};
#[cfg(feature = "page")]
use equipoise_core::{Explanation, PickRequest};
#[cfg(feature = "health")]
use equipoise_health::Health;

use crate::report::{ConnectionsReport, EndpointReport, HealthReport, HealthTotals, PoolReport, SessionsReport};

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
}

impl WatchedPool {
    /// Creates a watched pool. `name` identifies the pool in metrics and on the status page.
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
        }
    }

    /// Adds the health checks of the pool: reports then say why an endpoint is not up.
    #[cfg(feature = "health")]
    #[cfg_attr(docsrs, doc(cfg(feature = "health")))]
    pub fn health(mut self, health: &Health) -> Self {
        self.health = Some(health.clone());
        self
    }

    /// Adds the sessions of the pool.
    #[cfg(feature = "affinity")]
    #[cfg_attr(docsrs, doc(cfg(feature = "affinity")))]
    pub fn affinity(mut self, affinity: &Affinity) -> Self {
        self.affinity = Some(affinity.clone());
        self
    }

    pub(crate) fn report(&self) -> PoolReport {
        let endpoint = |status: EndpointStatus| EndpointReport {
            health: self.health_of(&status),
            connections: self.pool.connections(&status),
            status,
            left_ago: None,
        };
        let departed = |departed: DepartedEndpoint| EndpointReport {
            status: departed.status,
            health: None,
            connections: None,
            left_ago: Some(departed.left_ago),
        };
        PoolReport {
            name: Arc::clone(&self.name),
            strategy: self.pool.strategy(),
            revision: self.pool.revision().get(),
            stats: self.pool.stats(),
            endpoints: self.pool.endpoints().into_iter().map(endpoint).collect(),
            departed: self.pool.departed().into_iter().map(departed).collect(),
            health: self.health_totals(),
            sessions: self.sessions(),
        }
    }

    /// Returns whether both watch the same pool under the same name.
    #[cfg(feature = "live")]
    pub(crate) fn is_same_pool(&self, other: &Self) -> bool {
        self.name == other.name && self.pool.is_same(&*other.pool)
    }

    fn health_of(&self, _status: &EndpointStatus) -> Option<HealthReport> {
        None
    }

    fn health_totals(&self) -> Option<HealthTotals> {
        None
    }

    fn sessions(&self) -> Option<SessionsReport> {
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
    fn revision(&self) -> Revision;
    fn stats(&self) -> PoolStats;
    fn endpoints(&self) -> Vec<EndpointStatus>;
    fn departed(&self) -> Vec<DepartedEndpoint>;
    fn connections(&self, endpoint: &EndpointStatus) -> Option<ConnectionsReport>;
    /// Explains the pick for a request, by the code that picks.
    #[cfg(feature = "page")]
    fn explain(&self, request: &PickRequest<'_>) -> Explanation;
    #[allow(dead_code, reason = "for the status page")]
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
        String::new()
    }

    fn revision(&self) -> Revision {
        self.revision()
    }

    fn stats(&self) -> PoolStats {
        self.stats()
    }

    fn endpoints(&self) -> Vec<EndpointStatus> {
        self.endpoints()
    }

    fn departed(&self) -> Vec<DepartedEndpoint> {
        self.departed()
    }

    fn connections(&self, _endpoint: &EndpointStatus) -> Option<ConnectionsReport> {
        None
    }

    #[cfg(feature = "page")]
    fn explain(&self, request: &PickRequest<'_>) -> Explanation {
        self.explain(request)
    }

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
