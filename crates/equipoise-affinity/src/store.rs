use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use equipoise_core::EndpointId;

use crate::guard::guarded;

/// A map from session keys to endpoints. Implementations: [`SessionTable`](crate::table::SessionTable) in memory,
/// `RedisStore` (feature `redis`) for several balancers, or your own.
///
/// A request waits for one [`lookup`](Self::lookup) at most, and never fails because of a store: a late, wrong or
/// missing answer counts as no binding. A store that panics counts as unavailable.
pub trait SessionStore: Send + Sync + 'static {
    /// Returns the endpoint that `key` is bound to. A hit is a use of the session: its idle timeout starts again.
    fn lookup(&self, key: &[u8]) -> Lookup;

    /// Binds `key` to `endpoint`, in place of `instead_of`, the endpoint it was found bound to. If another balancer has
    /// bound the key to a third endpoint meanwhile, that binding stays: if two balancers move a session at once, one
    /// wins and both follow.
    ///
    /// Returns at once. A store that needs longer works in the background.
    fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>);

    /// Ends the session of `key`. Returns at once.
    fn unbind(&self, key: &[u8]);

    /// Reports that an endpoint has left the pool: its bindings become void. Returns at once.
    ///
    /// A store that cannot do this, or that serves several pools (another one may have an endpoint of the same id),
    /// does nothing, which is the default. A binding to an endpoint that the pool does not have counts as none anyway.
    fn left(&self, endpoint: &EndpointId) {
        let _ = endpoint;
    }
}

/// The answer of [`SessionStore::lookup`]: immediate, or after a round trip.
pub enum Lookup {
    /// The answer.
    Now(Result<Option<EndpointId>, StoreError>),
    /// A future of the answer, for a store that has to ask a server.
    Later(Pin<Box<dyn Future<Output = Result<Option<EndpointId>, StoreError>> + Send>>),
}

/// What a session store answers: the endpoint that a key is bound to, if any.
pub(crate) type StoreAnswer = Result<Option<EndpointId>, StoreError>;

impl Lookup {
    /// Waits for the answer, for `timeout` at most. Without Tokio's timer it waits for as long as the store does.
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

/// Why a session store has no answer. The request continues without a binding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached, or did not answer in time.
    #[error("the session store is unavailable: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// The store answered something other than a binding.
    #[error("the session store answered something other than a binding: {reason}")]
    Malformed {
        /// What the store answered.
        reason: String,
    },
}

impl StoreError {
    /// Returns the error as a label for metrics: `unavailable` or `malformed`. Labels are stable.
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

/// A store whose panics are caught, since it may be the user's own code.
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
}
