use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use equipoise_core::EndpointId;

use crate::guard::guarded;

/// Stores to which endpoint each session is bound: for each session key, the id of an endpoint.
/// [`Mode::table`](crate::Mode::table) and [`Mode::learn`](crate::Mode::learn) use a session store.
///
/// [`SessionTable`](crate::table::SessionTable) stores sessions in memory. `RedisStore` (feature `redis`) stores the
/// sessions of several balancers. You can also implement this trait.
///
/// Each request looks up at most one key. A request never fails because of a store: if the answer of the store is late
/// or invalid, the pool's strategy picks an endpoint for the request. A store that panics counts as unavailable.
pub trait SessionStore: Send + Sync + 'static {
    /// Returns the id of the endpoint to which the session with this key is bound. If there is such an endpoint, the
    /// lookup counts as a use of the session: the session's idle timeout starts again. Must not block: a store that has
    /// to ask a server returns [`Lookup::Later`].
    fn lookup(&self, key: &[u8]) -> Lookup;

    /// Stores that the session with the key `key` is bound to the endpoint `endpoint`. `instead_of` is the endpoint
    /// that [`lookup`](Self::lookup) returned for `key` when the request arrived. `instead_of` is `None` if the lookup
    /// returned no endpoint, or if the request did not have this key.
    ///
    /// Another balancer may have bound the session to a third endpoint meanwhile, which is neither `endpoint` nor
    /// `instead_of`. The store must then keep the third endpoint. So if two balancers move a session at the same time,
    /// only one endpoint is stored, and both balancers then use this endpoint.
    ///
    /// Must return at once. A store that needs more time does the work in the background.
    fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>);

    /// Removes the session with the key `key`, because the session has ended. Later lookups of the key return no
    /// endpoint. Must return at once.
    fn unbind(&self, key: &[u8]);

    /// Called when the endpoint with the id `endpoint` has left the pool. The store must end all sessions that are
    /// bound to this endpoint: lookups of these sessions no longer return the endpoint, even if an endpoint with the
    /// same id joins later. Must return at once.
    ///
    /// The default implementation does nothing. While no endpoint with this id is in the pool, the sessions of the
    /// endpoint then count as not bound. If an endpoint with this id joins later, these sessions are bound to it again.
    /// Use the default implementation for a store that several pools share, because another pool may have an endpoint
    /// with this id.
    fn left(&self, endpoint: &EndpointId) {
        let _ = endpoint;
    }

    /// Returns the size of the store and what it has counted, for metrics. Must be fast and must not block.
    /// [`Affinity::store_stats`](crate::Affinity::store_stats) returns the result.
    ///
    /// The default implementation returns `None`: nothing is known.
    fn store_stats(&self) -> Option<StoreStats> {
        None
    }
}

/// The size of a [`SessionStore`] and what it has counted since it was created. Returned by
/// [`SessionStore::store_stats`].
///
/// ```
/// use equipoise_affinity::{SessionStore, StoreStats, table::SessionTable};
///
/// let table = SessionTable::builder().capacity(1000).build()?;
/// let stats = table.store_stats().expect("a table counts");
/// assert_eq!((stats.sessions, stats.capacity), (Some(0), Some(1000)));
/// assert_eq!(stats.events[0], ("evictions", 0));
///
/// // A store of the application reports what it knows.
/// let own = StoreStats::new("etcd").sessions(17).event("timeouts", 3);
/// assert_eq!((own.store, own.capacity), ("etcd", None));
/// # Ok::<(), equipoise_affinity::table::InvalidSessionTable>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// The kind of the store: `table`, `redis`, or another word for a store of the application.
    pub store: &'static str,
    /// The number of stored sessions. `None` if it is not known, as with Redis. Sessions that have ended may count
    /// until they are removed.
    pub sessions: Option<u64>,
    /// The maximum number of stored sessions. `None` if it is not known.
    pub capacity: Option<u64>,
    /// Whether the store is connected to its server. `None` if it has no server.
    pub connected: Option<bool>,
    /// Numbers of events so far, each with its name in snake case, such as `evictions`. The names are those of the
    /// fields of [`TableStats`](crate::table::TableStats) and of `RedisStats`. Events that have not occurred are
    /// included, with the number 0.
    pub events: Vec<(&'static str, u64)>,
}

impl StoreStats {
    /// Creates stats in which nothing is known. `store` is a word for the kind of the store.
    #[must_use]
    pub const fn new(store: &'static str) -> Self {
        Self { store, sessions: None, capacity: None, connected: None, events: Vec::new() }
    }

    /// Sets the number of stored sessions. Default: not known.
    #[must_use]
    pub const fn sessions(mut self, sessions: u64) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Sets the maximum number of stored sessions. Default: not known.
    #[must_use]
    pub const fn capacity(mut self, capacity: u64) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Sets whether the store is connected to its server. Default: it has no server.
    #[must_use]
    pub const fn connected(mut self, connected: bool) -> Self {
        self.connected = Some(connected);
        self
    }

    /// Adds the number of events of one kind. `name` is in snake case. Default: no events.
    #[must_use]
    pub fn event(mut self, name: &'static str, count: u64) -> Self {
        self.events.push((name, count));
        self
    }
}

/// The result of [`SessionStore::lookup`]: an answer, or a future of the answer.
pub enum Lookup {
    /// The answer is known at once. `Ok(Some(id))`: the session is bound to the endpoint with this id. `Ok(None)`: the
    /// session is not bound to an endpoint. `Err`: the store does not know whether the session is bound.
    Now(Result<Option<EndpointId>, StoreError>),
    /// A future of the answer, for a store that has to ask a server. `Ok(Some(id))`: the session is bound to the
    /// endpoint with this id. `Ok(None)`: the session is not bound to an endpoint. `Err`: the store does not know
    /// whether the session is bound. The request waits for at most
    /// [`Affinity::lookup_timeout`](crate::Affinity::lookup_timeout), and then drops the future.
    Later(Pin<Box<dyn Future<Output = Result<Option<EndpointId>, StoreError>> + Send>>),
}

/// The answer of a session store: the endpoint that a key is bound to, or `None` if the key is not bound.
pub(crate) type StoreAnswer = Result<Option<EndpointId>, StoreError>;

impl Lookup {
    /// Waits for the answer, for at most `timeout`. If there is no Tokio timer, waits without a timeout.
    pub(crate) async fn within(self, timeout: Duration) -> StoreAnswer {
        let mut pending = match self {
            Self::Now(answer) => return answer,
            Self::Later(pending) => pending,
        };
        let mut answer = Box::pin(poll_fn(|cx| {
            guarded(|| pending.as_mut().poll(cx)).unwrap_or_else(|| Poll::Ready(Err(StoreError::panicked())))
        }));
        let Some(limited) = guarded(|| tokio::time::timeout(timeout, answer.as_mut())) else { return answer.await };
        limited
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable { reason: format!("no answer within {timeout:?}") }))
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(found) => f.debug_tuple("Now").field(found).finish(),
            Self::Later(_) => f.write_str("Later(..)"),
        }
    }
}

/// Why a session store cannot say to which endpoint a session is bound. The pool's strategy then picks an endpoint for
/// the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached, did not answer in time, or panicked.
    #[error("the session store is unavailable: {reason}")]
    Unavailable {
        /// What happened, as a text for people.
        reason: String,
    },
    /// The store answered with data that does not name an endpoint in the store's format.
    #[error("the session store answered something other than a binding: {reason}")]
    Malformed {
        /// What the store answered, or what is wrong with it, as a text for people.
        reason: String,
    },
}

impl StoreError {
    /// Returns a stable label for metrics and logs: `unavailable` or `malformed`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Malformed { .. } => "malformed",
        }
    }

    pub(crate) fn panicked() -> Self {
        Self::Unavailable { reason: "it panicked".to_owned() }
    }
}

/// A session store whose panics are caught, because it may be code of the application.
#[derive(Clone)]
pub(crate) struct Guarded(Arc<dyn SessionStore>);

impl Guarded {
    pub(crate) fn new(store: Arc<dyn SessionStore>) -> Self {
        Self(store)
    }

    pub(crate) fn lookup(&self, key: &[u8]) -> Lookup {
        guarded(|| self.0.lookup(key)).unwrap_or_else(|| Lookup::Now(Err(StoreError::panicked())))
    }

    pub(crate) fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>) {
        let _ = guarded(|| self.0.bind(key, endpoint, instead_of));
    }

    pub(crate) fn unbind(&self, key: &[u8]) {
        let _ = guarded(|| self.0.unbind(key));
    }

    pub(crate) fn left(&self, endpoint: &EndpointId) {
        let _ = guarded(|| self.0.left(endpoint));
    }

    pub(crate) fn store_stats(&self) -> Option<StoreStats> {
        guarded(|| self.0.store_stats()).flatten()
    }
}
