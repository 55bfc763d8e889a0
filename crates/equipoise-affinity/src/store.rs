use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use equipoise_core::EndpointId;

use crate::guard::guarded;

/// Where bindings are remembered: key → endpoint. [`SessionTable`](crate::table::SessionTable) in memory,
/// `RedisStore` (feature `redis`) for several balancers side by side, or one of your own.
///
/// No request ever waits for more than one [`lookup`](Self::lookup), and none fails because of a store: what it answers
/// too late, wrongly or not at all counts as no binding. One that panics is away.
pub trait SessionStore: Send + Sync + 'static {
    /// Whom `key` is bound to. A hit counts as use: idle expiry starts again.
    fn lookup(&self, key: &[u8]) -> Lookup;

    /// Binds `key` to `endpoint`, in place of what it was found bound to. If meanwhile somebody else (another balancer)
    /// has bound it otherwise, that stands: of two who move a session at once, one wins, and both follow.
    ///
    /// Returns at once. Whatever takes longer, the store does in its own time.
    fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>);

    /// Ends a session.
    fn unbind(&self, key: &[u8]);

    /// Returns at once. An endpoint has left the pool: whatever is bound to it is void. A store that cannot tell, or serves several pools
    /// (in which the same id may stay), does nothing: a binding to an endpoint that is not there is no binding.
    fn left(&self, endpoint: &EndpointId) {
        let _ = endpoint;
    }
}

/// What [`SessionStore::lookup`] answers: at once, or after a round trip.
pub enum Lookup {
    /// What it found.
    Now(Result<Option<EndpointId>, StoreError>),
    /// It has to ask.
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
        limited.await.unwrap_or_else(|_| Err(StoreError::Away { why: format!("no answer within {timeout:?}") }))
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

/// Why a store has no answer. The request goes on without a binding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or did not answer in time.
    #[error("the session store is away: {why}")]
    Away {
        /// What happened.
        why: String,
    },
    /// It answered what is no binding.
    #[error("the session store answered what is no binding: {what}")]
    Garbage {
        /// What it answered.
        what: String,
    },
}

impl StoreError {
    pub(crate) fn panicked() -> Self {
        Self::Away { why: "it panicked".to_owned() }
    }
}

/// A store, which may be the user's own: what it does harms no request.
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
        // What it has not kept, it does not know when it is asked.
        let _ = guarded(|| self.0.bind(key, endpoint, instead_of));
    }

    pub(crate) fn unbind(&self, key: &[u8]) {
        let _ = guarded(|| self.0.unbind(key));
    }

    pub(crate) fn left(&self, endpoint: &EndpointId) {
        let _ = guarded(|| self.0.left(endpoint));
    }
}
