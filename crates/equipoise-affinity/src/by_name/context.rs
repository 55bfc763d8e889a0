use std::{fmt, net::IpAddr, sync::Arc};

use equipoise_tower::RequestHead;

use super::error::InvalidModeSettings;
#[cfg(feature = "redis")]
use crate::redis::InvalidRedisStore;
use crate::{
    InvalidMode, SessionStore,
    table::InvalidSessionTable,
    token::{KeyRing, Tokens},
};

/// What a mode is built with that has no place in a text: secrets, stores and code.
///
/// A mode ignores what it does not use, so that one context serves every mode that a configuration may name.
///
/// ```
/// use equipoise_affinity::{AffinitySpec, by_name::{BuildAffinityError, BuildContext}, token::{TokenKey, KeyRing}};
/// use equipoise_core::{EndpointSpec, Pool};
///
/// let pool = Pool::default();
/// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
/// let spec: AffinitySpec = "cookie(name=SRV, indirect, httponly)".parse()?;
///
/// let secret = [7; 32]; // Read it from where secrets are kept.
/// let context = BuildContext::new().keys(KeyRing::new(TokenKey::new(1, secret)?));
/// let affinity = spec.build(&pool, &context)?;
/// # drop(affinity);
///
/// assert!(matches!(spec.build(&pool, &BuildContext::new()), Err(BuildAffinityError::NoKeys { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct BuildContext {
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

impl BuildContext {
    /// An empty context: no keys, no store, no code.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys that sign tokens, for `values=token`, which is the default of cookies. They can serve several pools.
    pub fn keys(mut self, ring: KeyRing) -> Self {
        self.keys = Some(Keys::Ring(ring));
        self
    }

    /// Tokens whose keys can be [rotated](Tokens::rotate) later; replaces [`keys`](Self::keys). They can serve several
    /// pools.
    pub fn tokens(mut self, tokens: Arc<Tokens>) -> Self {
        self.keys = Some(Keys::Tokens(tokens));
        self
    }

    /// The key with which `values=dynamic` hashes addresses: HAProxy's `dynamic-cookie-key`.
    pub fn dynamic_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.dynamic_key = Some(key.as_ref().into());
        self
    }

    /// The store of `by=store`: one of your own, one in Redis that needs a password, or a
    /// [`SessionTable`](crate::table::SessionTable) that other code reads too. It serves one pool.
    pub fn store(mut self, store: Arc<dyn SessionStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// How `source` finds the connection's address; [`PeerAddr`](crate::source::PeerAddr) by default. See
    /// [`ClientAddress::peer`](crate::source::ClientAddress::peer).
    pub fn peer(mut self, peer: impl Fn(RequestHead<'_>) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.peer = Some(Arc::new(peer));
        self
    }

    /// The runtime on which the connection of `by=redis` runs. By default the one in which the mode is built.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }
}

/// Shows which parts are set, and no secrets.
impl fmt::Debug for BuildContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildContext")
            .field("keys", &self.keys.is_some())
            .field("dynamic_key", &self.dynamic_key.is_some())
            .field("store", &self.store.is_some())
            .field("peer", &self.peer.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a mode cannot be built for a pool although its text is valid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildAffinityError {
    /// The mode uses tokens, and the context has no keys.
    #[error(
        "{mode} needs keys for its tokens, which do not stand in the text: pass them to BuildContext::keys, or choose \
         values=id if clients may know and choose endpoints"
    )]
    NoKeys {
        /// The mode's name.
        mode: &'static str,
    },
    /// The mode uses `values=dynamic`, and the context has no key for it.
    #[error(
        "{mode} needs the key that values=dynamic hashes with, which does not stand in the text: pass it to \
         BuildContext::dynamic_key"
    )]
    NoDynamicKey {
        /// The mode's name.
        mode: &'static str,
    },
    /// The mode uses `by=store`, and the context has no store.
    #[error("{mode} needs the store of by=store: pass it to BuildContext::store, or choose by=table")]
    NoStore {
        /// The mode's name.
        mode: &'static str,
    },
    /// The mode does not fit the pool.
    #[error(transparent)]
    Mode(#[from] InvalidMode),
    /// The session table cannot be built.
    #[error(transparent)]
    Table(#[from] InvalidSessionTable),
    /// The store in Redis cannot be built: its URL is invalid, or there is no runtime.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    #[error(transparent)]
    Redis(#[from] InvalidRedisStore),
    /// A value is refused. This does not occur for a parsed text.
    #[error(transparent)]
    Refused(#[from] InvalidModeSettings),
}
