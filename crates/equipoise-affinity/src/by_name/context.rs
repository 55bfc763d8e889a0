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

/// What [`AffinitySpec::build`](crate::AffinitySpec::build) needs in addition to the text of a mode: secrets, session
/// stores and code.
///
/// A mode ignores everything in the context that it does not use. So one context can be used for all modes that a
/// configuration may name.
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
}

type PeerFn = dyn Fn(RequestHead<'_>) -> Option<IpAddr> + Send + Sync;

#[derive(Clone)]
pub(super) enum Keys {
    Ring(KeyRing),
    Tokens(Arc<Tokens>),
}

impl BuildContext {
    /// Creates an empty context: it has no keys, no session store and no code.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the keys that sign the tokens in cookies. The modes `cookie`, `rewrite` and `prefix` need keys if their
    /// parameter `values` is `token`, which is the default. The keys may be used for several pools. Replaces what
    /// [`tokens`](Self::tokens) has set. Default: no keys.
    pub fn keys(mut self, ring: KeyRing) -> Self {
        self.keys = Some(Keys::Ring(ring));
        self
    }

    /// Sets the [`Tokens`], which issue and read the signed cookie values. Use this method instead of
    /// [`keys`](Self::keys) if the keys must be [replaced](Tokens::rotate) later. One `Tokens` may be used for several
    /// pools. Replaces what [`keys`](Self::keys) has set. Default: no tokens.
    pub fn tokens(mut self, tokens: Arc<Tokens>) -> Self {
        self.keys = Some(Keys::Tokens(tokens));
        self
    }

    /// Sets the secret key for cookie modes with the parameter `values=dynamic`. With this parameter, the cookie's
    /// value is a hash of the secret key and the endpoint's address. HAProxy calls this key `dynamic-cookie-key`.
    /// Default: no key, so that a mode with `values=dynamic` cannot be built.
    pub fn dynamic_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.dynamic_key = Some(key.as_ref().into());
        self
    }

    /// Sets the session store for modes with the parameter `by=store`. The store can be your own implementation, a
    /// Redis store whose URL contains a password, or a [`SessionTable`](crate::table::SessionTable) that other code
    /// reads too. Use a separate store for each pool. Default: no store, so that a mode with `by=store` cannot be
    /// built.
    pub fn store(mut self, store: Arc<dyn SessionStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets how the mode `source` finds the IP address of the connection on which a request arrived. If `peer` returns
    /// `None`, the address is not known, and the request has no session. Default: the request extension
    /// [`PeerAddr`](crate::source::PeerAddr). See [`ClientAddress::peer`](crate::source::ClientAddress::peer).
    pub fn peer(mut self, peer: impl Fn(RequestHead<'_>) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.peer = Some(Arc::new(peer));
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

/// Why an [`Affinity`](crate::Affinity) cannot be created for a pool, although the text of its mode is valid. Returned
/// by [`AffinitySpec::build`](crate::AffinitySpec::build).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildAffinityError {
    /// The mode uses tokens, but the [`BuildContext`] has no keys. Set the keys with [`BuildContext::keys`] or
    /// [`BuildContext::tokens`].
    #[error(
        "{mode} needs keys for its tokens, which are not in the text: pass them to BuildContext::keys, or set \
         values=id if clients may know and choose endpoints"
    )]
    NoKeys {
        /// The name of the mode, such as `cookie`.
        mode: &'static str,
    },
    /// The mode has the parameter `values=dynamic`, but the [`BuildContext`] has no key for hashing the addresses of
    /// endpoints. Set the key with [`BuildContext::dynamic_key`].
    #[error(
        "{mode} needs the key for the hashes of values=dynamic, which is not in the text: pass it to \
         BuildContext::dynamic_key"
    )]
    NoDynamicKey {
        /// The name of the mode, such as `cookie`.
        mode: &'static str,
    },
    /// The mode has the parameter `by=store`, but the [`BuildContext`] has no session store. Set the store with
    /// [`BuildContext::store`].
    #[error("{mode} needs the session store for by=store: pass it to BuildContext::store, or set by=table")]
    NoStore {
        /// The name of the mode, such as `header`.
        mode: &'static str,
    },
    /// The mode cannot be used with the pool, for example because the pool's strategy does not use keys.
    #[error(transparent)]
    Mode(#[from] InvalidMode),
    /// The session table in memory cannot be created. The mode needs a table because of its parameter `by=table`.
    #[error(transparent)]
    Table(#[from] InvalidSessionTable),
    /// The session store in Redis cannot be created: its URL is invalid, or there is no Tokio runtime. The mode needs
    /// this store because of its parameter `by=redis`.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    #[error(transparent)]
    Redis(#[from] InvalidRedisStore),
    /// The values of the mode's parameters are invalid. This does not occur for a spec that was parsed from a text,
    /// because parsing checks the values.
    #[error(transparent)]
    Refused(#[from] InvalidModeSettings),
}
