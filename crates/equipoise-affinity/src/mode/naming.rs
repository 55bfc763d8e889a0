//! How the value of a cookie names an endpoint: by a token, by the endpoint's id, by a name, or by a hash of the
//! endpoint's address.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use equipoise_core::{Address, EndpointId};

use crate::{
    cookie::{CookieValue, InvalidCookieValue, PersistenceCookie},
    outcome::UnboundReason,
    token::{KeyRing, TokenSession, Tokens},
};

/// How the value of a cookie names an endpoint. The value is a token, the endpoint's id, a name, or a hash of the
/// endpoint's address. Used by [`Mode::cookie`](crate::Mode::cookie).
///
/// Cloning is cheap. One `EndpointNaming` can be used for any number of pools, because each
/// [`Affinity`](crate::Affinity) has its own list of endpoints.
#[derive(Clone)]
pub struct EndpointNaming(Naming);

#[derive(Clone)]
enum Naming {
    Tokens {
        tokens: Arc<Tokens>,
        idle_timeout: Option<Duration>,
        lifetime: Option<Duration>,
    },
    /// A name or a hash that is not authenticated.
    Plain {
        names: PlainNames,
        index: Arc<ArcSwap<NameIndex>>,
    },
}

#[derive(Clone)]
enum PlainNames {
    Ids,
    Names(Arc<HashMap<EndpointId, CookieValue>>),
    Dynamic(Arc<[u8]>),
}

/// The name of each endpoint, and the endpoint of each name.
#[derive(Default)]
struct NameIndex {
    values: HashMap<EndpointId, CookieValue>,
    endpoints: HashMap<Box<[u8]>, EndpointId>,
}

/// The endpoint that a cookie's value names.
pub(super) struct NamedEndpoint {
    pub(super) endpoint: EndpointId,
    /// The session of the token. `None` if the value is not a token.
    pub(super) session: Option<TokenSession>,
    /// Whether the response must set the cookie again.
    pub(super) due: bool,
}

impl EndpointNaming {
    /// Creates an `EndpointNaming` that uses authenticated tokens as cookie values. The keys of `ring` sign the tokens.
    /// This is the recommended naming. The tokens are valid only in a cookie with the name of `cookie`.
    ///
    /// Tokens do not reveal the addresses of endpoints, and clients cannot make a token to choose an endpoint. Each
    /// token contains a random number that identifies the session. If the session's endpoint is unavailable, all
    /// balancers use this number to choose the same other endpoint. See the module [`token`](crate::token).
    pub fn tokens(ring: KeyRing, cookie: &PersistenceCookie) -> Self {
        Self::from_tokens(Arc::new(Tokens::new(ring, cookie.name())))
    }

    /// Creates an `EndpointNaming` that uses authenticated tokens as cookie values. The keys of `tokens` can be
    /// replaced later with [`Tokens::rotate`]. The list of endpoints in `tokens` ([`Tokens::members`]) is not used,
    /// because each pool has its own list.
    pub fn from_tokens(tokens: Arc<Tokens>) -> Self {
        Self(Naming::Tokens { tokens, idle_timeout: None, lifetime: None })
    }

    /// Sets how long a token is valid after it was issued. If a request has a token that is older than a tenth of this
    /// time, the response contains a new token, so a session that is in use does not end. Default: no limit. A timeout
    /// of zero makes [`Affinity::new`](crate::Affinity::new) return an error. With other cookie values than tokens,
    /// this setting has no effect.
    ///
    /// Clients cannot change the time in a token, because the token is authenticated.
    /// [`PersistenceCookieBuilder::idle_timeout`](crate::cookie::PersistenceCookieBuilder::idle_timeout) is the same
    /// setting for other cookie values. It uses dates in HAProxy's format, which clients can change.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        if let Naming::Tokens { idle_timeout, .. } = &mut self.0 {
            *idle_timeout = Some(timeout);
        }
        self
    }

    /// Sets how long a session lasts after it began, even if it is in use. After this time, the session's tokens are
    /// invalid. Default: no limit. A lifetime of zero makes [`Affinity::new`](crate::Affinity::new) return an error.
    /// With other cookie values than tokens, this setting has no effect.
    #[must_use]
    pub fn lifetime(mut self, time: Duration) -> Self {
        if let Naming::Tokens { lifetime, .. } = &mut self.0 {
            *lifetime = Some(time);
        }
        self
    }

    /// Creates an `EndpointNaming` that uses the ids of endpoints as cookie values, for compatibility with cookies of
    /// other balancers. Clients see the ids, which are addresses by default, and can choose an endpoint. If the
    /// cookie's value names no endpoint of the pool, the session counts as not bound to an endpoint, as in HAProxy.
    ///
    /// An id does not identify a session: all sessions of an endpoint have the same cookie value. The same is true for
    /// all namings except [`tokens`](Self::tokens). While an endpoint cannot serve its sessions, each balancer's
    /// strategy picks another endpoint, separately for each request of these sessions. The requests of one client may
    /// then go to different endpoints until the client gets a new cookie. This can take long in rewrite mode and with
    /// [`postonly`](crate::cookie::PersistenceCookieBuilder::postonly), because not every response sets the cookie.
    ///
    /// Prefix mode is an exception, because its cookie also contains a value that the endpoint itself has set. While
    /// the endpoint is in the pool, this value identifies the session, and all balancers choose the same other
    /// endpoint.
    pub fn ids() -> Self {
        Self::plain(PlainNames::Ids)
    }

    /// Creates an `EndpointNaming` that uses names as cookie values. The application chooses the names. `names`
    /// contains pairs of an endpoint id and the name of this endpoint. HAProxy's `server … cookie NAME` does the same.
    ///
    /// No session is bound to an endpoint without a name. If such an endpoint answers, the client keeps its cookie
    /// (HAProxy erases the cookie). A name does not identify a session: all sessions of an endpoint have the same
    /// cookie value. If the endpoint is unavailable, each balancer's strategy picks another endpoint, separately for
    /// each request of these sessions until the client gets a new cookie. [`ids`](Self::ids) has the details.
    ///
    /// ```
    /// use equipoise_affinity::{EndpointNaming, cookie::PersistenceCookie};
    ///
    /// let cookie = PersistenceCookie::insert("SRV").build()?;
    /// let naming = EndpointNaming::named(&cookie, [("10.0.0.1:80", "A"), ("10.0.0.2:80", "B")])?;
    /// # let _ = naming;
    /// assert!(EndpointNaming::named(&cookie, [("10.0.0.1:80", "A"), ("10.0.0.2:80", "A")]).is_err());
    /// assert!(EndpointNaming::named(&cookie, [("10.0.0.1:80", "A; path=/admin")]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`InvalidNaming::InvalidValue`]: a name cannot be a cookie's value.
    /// - [`InvalidNaming::Duplicate`]: two endpoints have the same name.
    pub fn named(
        cookie: &PersistenceCookie,
        names: impl IntoIterator<Item = (impl Into<EndpointId>, impl AsRef<[u8]>)>,
    ) -> Result<Self, InvalidNaming> {
        let mut all = HashMap::new();
        let mut seen = HashSet::new();
        for (endpoint, name) in names {
            let endpoint = endpoint.into();
            let value = cookie
                .value(name)
                .map_err(|source| InvalidNaming::InvalidValue { endpoint: endpoint.clone(), source })?;
            if !seen.insert(value.clone()) {
                return Err(InvalidNaming::Duplicate { name: value.as_str().to_owned() });
            }
            all.insert(endpoint, value);
        }
        Ok(Self::plain(PlainNames::Names(Arc::new(all))))
    }

    /// Creates an `EndpointNaming` that uses a hash of `key` and the endpoint's address as the cookie value, as with
    /// HAProxy's `dynamic`. [`CookieValue::dynamic`] describes the hash. The address of each endpoint must contain an
    /// IP address (not a host name) and a port. Otherwise [`Affinity::new`](crate::Affinity::new) returns an error.
    ///
    /// The hash does not identify a session: all sessions of an endpoint have the same cookie value. If the endpoint is
    /// unavailable, the strategy of each balancer picks another endpoint for each request. This ends for a client when
    /// it gets a new cookie. [`ids`](Self::ids) has the details.
    pub fn dynamic(key: impl AsRef<[u8]>) -> Self {
        Self::plain(PlainNames::Dynamic(key.as_ref().into()))
    }

    fn plain(names: PlainNames) -> Self {
        Self(Naming::Plain { names, index: Arc::default() })
    }

    /// Returns the same naming with an empty list of endpoints, for another pool.
    pub(super) fn for_pool(self) -> Self {
        Self(match self.0 {
            Naming::Tokens { tokens, idle_timeout, lifetime } => {
                Naming::Tokens { tokens: Arc::new(tokens.for_pool()), idle_timeout, lifetime }
            }
            Naming::Plain { names, .. } => Naming::Plain { names, index: Arc::default() },
        })
    }

    /// Returns the endpoint that `value` names, or the reason why it names none.
    pub(super) fn read(&self, value: &[u8], now: SystemTime) -> Result<NamedEndpoint, UnboundReason> {
        match &self.0 {
            Naming::Tokens { tokens, idle_timeout, lifetime } => {
                let token = tokens.read(value, now, *idle_timeout, *lifetime).map_err(UnboundReason::Token)?;
                Ok(NamedEndpoint {
                    endpoint: token.endpoint().clone(),
                    session: Some(token.session()),
                    due: token.is_due(),
                })
            }
            Naming::Plain { index, .. } => {
                let endpoint = index.load().endpoints.get(value).cloned().ok_or(UnboundReason::Unknown)?;
                Ok(NamedEndpoint { endpoint, session: None, due: false })
            }
        }
    }

    /// Returns the value that names `endpoint`, or `None` if the endpoint has no name.
    pub(super) fn name(
        &self,
        cookie: &PersistenceCookie,
        endpoint: &EndpointId,
        session: Option<TokenSession>,
        now: SystemTime,
    ) -> Option<CookieValue> {
        match &self.0 {
            Naming::Tokens { tokens, .. } => cookie.value(tokens.issue(endpoint, session, now)?).ok(),
            Naming::Plain { index, .. } => index.load().values.get(endpoint).cloned(),
        }
    }

    /// Returns an error if a time limit of the tokens is zero, so that no token would be valid.
    pub(crate) fn check(&self) -> Result<(), InvalidNaming> {
        let Naming::Tokens { idle_timeout, lifetime, .. } = &self.0 else { return Ok(()) };
        let settings = [("idle_timeout", idle_timeout), ("lifetime", lifetime)];
        match settings.into_iter().find(|(_, time)| **time == Some(Duration::ZERO)) {
            Some((setting, _)) => Err(InvalidNaming::Zero { setting }),
            None => Ok(()),
        }
    }

    /// Replaces the list of endpoints. If some endpoints cannot be named, returns the error of the first of them; all
    /// others are named.
    pub(crate) fn set_members(
        &self,
        cookie: &PersistenceCookie,
        endpoints: &[(EndpointId, String)],
    ) -> Result<(), InvalidNaming> {
        match &self.0 {
            Naming::Tokens { tokens, .. } => {
                tokens.members(endpoints.iter().map(|(id, _)| id.clone()));
                Ok(())
            }
            Naming::Plain { names, index } => {
                let mut next = NameIndex::default();
                let mut unfit = Ok(());
                for (id, address) in endpoints {
                    match names.name(cookie, id, address) {
                        Ok(Some(value)) => {
                            next.endpoints.insert(value.as_str().as_bytes().into(), id.clone());
                            next.values.insert(id.clone(), value);
                        }
                        Ok(None) => {}
                        Err(error) => unfit = unfit.and(Err(error)),
                    }
                }
                index.store(Arc::new(next));
                unfit
            }
        }
    }
}

impl PlainNames {
    fn name(
        &self,
        cookie: &PersistenceCookie,
        id: &EndpointId,
        address: &str,
    ) -> Result<Option<CookieValue>, InvalidNaming> {
        match self {
            Self::Ids => match cookie.value(id.as_str()) {
                Ok(value) => Ok(Some(value)),
                Err(source) => Err(InvalidNaming::InvalidValue { endpoint: id.clone(), source }),
            },
            Self::Names(names) => Ok(names.get(id).cloned()),
            Self::Dynamic(key) => match socket(address) {
                Some(address) => Ok(Some(CookieValue::dynamic(key, address))),
                None => Err(InvalidNaming::Address { endpoint: id.clone(), address: address.to_owned() }),
            },
        }
    }
}

/// Returns the IP address and port of an endpoint's address.
fn socket(address: &str) -> Option<SocketAddr> {
    let of_url = |address: Address<'_>| Some(SocketAddr::new(address.host().parse().ok()?, address.known_port()?));
    address.parse().ok().or_else(|| of_url(Address::parse(address).ok()?))
}

/// Why an [`EndpointNaming`] is invalid, or cannot name an endpoint in a cookie.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNaming {
    /// The name of an endpoint cannot be the value of the cookie. With [`EndpointNaming::named`], the name is the one
    /// that was passed to that function. With [`EndpointNaming::ids`], the name is the endpoint's id.
    #[error("the name of endpoint {endpoint} cannot be the value of the cookie: use another name, or tokens")]
    InvalidValue {
        /// The id of the endpoint with the invalid name.
        endpoint: EndpointId,
        /// Why the name cannot be the value of the cookie.
        source: InvalidCookieValue,
    },
    /// The [`idle_timeout`](EndpointNaming::idle_timeout) or the [`lifetime`](EndpointNaming::lifetime) of tokens is
    /// zero, so that no token would stay valid.
    #[error("{setting} of tokens cannot be 0: use a longer time, or leave it out for no limit")]
    Zero {
        /// The name of the setting that is zero: `idle_timeout` or `lifetime`.
        setting: &'static str,
    },
    /// Two endpoints have the same name in [`EndpointNaming::named`].
    #[error("{name:?} is the name of two endpoints: use a different name for each endpoint")]
    Duplicate {
        /// The name that two endpoints have.
        name: String,
    },
    /// The address of an endpoint does not contain an IP address and a port. [`EndpointNaming::dynamic`] needs both.
    #[error(
        "endpoint {endpoint} cannot have the address {address:?} with EndpointNaming::dynamic: use an IP address with \
         a port"
    )]
    Address {
        /// The id of the endpoint whose address cannot be used.
        endpoint: EndpointId,
        /// The address that cannot be used.
        address: String,
    },
}

/// Shows the kind of naming, and no keys.
impl fmt::Debug for EndpointNaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Naming::Tokens { .. } => "tokens",
            Naming::Plain { names: PlainNames::Ids, .. } => "ids",
            Naming::Plain { names: PlainNames::Names(_), .. } => "names",
            Naming::Plain { names: PlainNames::Dynamic(_), .. } => "dynamic",
        })
    }
}
