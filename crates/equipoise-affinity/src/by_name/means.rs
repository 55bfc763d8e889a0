use std::{fmt, net::IpAddr, sync::Arc};

use equipoise_tower::RequestHead;

use super::Refusal;
#[cfg(feature = "redis")]
use crate::redis::InvalidRedisStore;
use crate::{
    InvalidMode, SessionStore,
    table::TableError,
    token::{KeyRing, Tokens},
};

/// What a mode is built with that has no place in a text: secrets, stores, code.
///
/// What a mode has no use for is left alone, so that the same means do whatever the configuration says.
///
/// ```
/// use equipoise_affinity::{AffinitySpec, by_name::{BuildError, Means}, token::{Key, KeyRing}};
/// use equipoise_core::{EndpointSpec, Pool};
///
/// let pool = Pool::default();
/// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
/// let spec: AffinitySpec = "cookie(name=SRV, indirect, httponly)".parse()?;
///
/// let secret = [7; 32]; // From where secrets are kept.
/// let means = Means::new().keys(KeyRing::new(Key::new(1, secret)?));
/// let affinity = spec.build(&pool, &means)?;
/// # drop(affinity);
///
/// assert!(matches!(spec.build(&pool, &Means::new()), Err(BuildError::NoKeys { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Means {
    pub(super) keys: Option<Keys>,
    pub(super) dynamic_key: Option<Arc<[u8]>>,
    pub(super) store: Option<Arc<dyn SessionStore>>,
    pub(super) peer: Option<Arc<PeerFn>>,
    #[cfg(feature = "redis")]
    pub(super) runtime: Option<tokio::runtime::Handle>,
}

type PeerFn = dyn Fn(RequestHead<'_>) -> Option<IpAddr> + Send + Sync;

#[derive(Clone)]
pub(super) enum Keys {
    Ring(KeyRing),
    Tokens(Arc<Tokens>),
}

impl Means {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys that sign tokens: for `values=token`, the default of cookies. They serve any number of pools.
    pub fn keys(mut self, ring: KeyRing) -> Self {
        self.keys = Some(Keys::Ring(ring));
        self
    }

    /// Tokens whose keys are shared with whoever [rotates](Tokens::rotate) them, in place of [`keys`](Self::keys). They
    /// serve any number of pools.
    pub fn tokens(mut self, tokens: Arc<Tokens>) -> Self {
        self.keys = Some(Keys::Tokens(tokens));
        self
    }

    /// What names are hashed with under `values=dynamic`: HAProxy's `dynamic-cookie-key`.
    pub fn dynamic_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.dynamic_key = Some(key.as_ref().into());
        self
    }

    /// The store of `by=store`: one of your own, one in Redis that asks for a password, or a
    /// [`SessionTable`](crate::table::SessionTable) that is also looked into. For one pool.
    pub fn store(mut self, store: Arc<dyn SessionStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Where `source` finds the connection's address, in place of [`PeerAddr`](crate::source::PeerAddr): see
    /// [`ClientAddress::peer`](crate::source::ClientAddress::peer).
    pub fn peer(mut self, peer: impl Fn(RequestHead<'_>) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.peer = Some(Arc::new(peer));
        self
    }

    /// Where the connection of `by=redis` lives; the runtime that the mode is built in by default.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }
}

/// What is there, not what it is.
impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Means")
            .field("keys", &self.keys.is_some())
            .field("dynamic_key", &self.dynamic_key.is_some())
            .field("store", &self.store.is_some())
            .field("peer", &self.peer.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a mode cannot be built for a pool, although its text is right.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Tokens need keys.
    #[error(
        "{mode} needs keys for its tokens, which do not stand in the text: hand them over with Means::keys, or choose \
         values=id if clients may know and choose endpoints"
    )]
    NoKeys {
        /// The mode.
        mode: &'static str,
    },
    /// Dynamic names need a key.
    #[error(
        "{mode} needs the key that values=dynamic hashes with, which does not stand in the text: hand it over with \
         Means::dynamic_key"
    )]
    NoDynamicKey {
        /// The mode.
        mode: &'static str,
    },
    /// `by=store` needs one.
    #[error("{mode} needs the store that by=store speaks of: hand it over with Means::store, or choose by=table")]
    NoStore {
        /// The mode.
        mode: &'static str,
    },
    /// The mode does not fit the pool.
    #[error(transparent)]
    Mode(#[from] InvalidMode),
    /// By the session table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// By the store in Redis: its URL is none, or there is no runtime.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    #[error(transparent)]
    Redis(#[from] InvalidRedisStore),
    /// By what a setting is for.
    #[error(transparent)]
    Refused(#[from] Refusal),
}
