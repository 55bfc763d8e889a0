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
    outcome::Unbound,
    token::{KeyRing, Session, Tokens},
};

/// How the value of a cookie names an endpoint.
///
/// Cheap to clone, and good for any number of pools: each [`Affinity`](crate::Affinity) knows its own endpoints by it.
#[derive(Clone)]
pub struct Values(Naming);

#[derive(Clone)]
enum Naming {
    Tokens {
        tokens: Arc<Tokens>,
        idle: Option<Duration>,
        life: Option<Duration>,
    },
    /// As the operator says, or by what the endpoints are.
    Plain {
        given: Given,
        known: Arc<ArcSwap<Directory>>,
    },
}

#[derive(Clone)]
enum Given {
    Ids,
    Names(Arc<HashMap<EndpointId, CookieValue>>),
    Dynamic(Arc<[u8]>),
}

/// Both ways.
#[derive(Default)]
struct Directory {
    values: HashMap<EndpointId, CookieValue>,
    endpoints: HashMap<Box<[u8]>, EndpointId>,
}

/// The endpoint that a value names.
pub(super) struct NamedEndpoint {
    pub(super) endpoint: EndpointId,
    pub(super) session: Option<Session>,
    /// Whether the cookie is to be set again.
    pub(super) due: bool,
}

impl Values {
    /// Authenticated tokens, the usual choice: no address leaks, nobody can choose an endpoint, and each session has a
    /// number by which all balancers agree on who stands in for an endpoint. They are good for this cookie alone. See
    /// [`token`](crate::token).
    pub fn tokens(ring: KeyRing, cookie: &PersistenceCookie) -> Self {
        Self::of_tokens(Arc::new(Tokens::new(ring, cookie.name())))
    }

    /// Tokens whose keys are shared with whoever [rotates](Tokens::rotate) them. Their
    /// [members](Tokens::members) are not: a pool's own count.
    pub fn of_tokens(tokens: Arc<Tokens>) -> Self {
        Self(Naming::Tokens { tokens, idle: None, life: None })
    }

    /// A token that was not brought for so long is void; it is renewed while it is in use. Authenticated, unlike the dates
    /// of [`max_idle`](crate::cookie::PersistenceCookieBuilder::max_idle), which are HAProxy's. No effect but on tokens.
    #[must_use]
    pub fn idle(mut self, longest: Duration) -> Self {
        if let Naming::Tokens { idle, .. } = &mut self.0 {
            *idle = Some(longest);
        }
        self
    }

    /// A session that has lasted so long ends, in use or not. No effect but on tokens.
    #[must_use]
    pub fn life(mut self, longest: Duration) -> Self {
        if let Naming::Tokens { life, .. } = &mut self.0 {
            *life = Some(longest);
        }
        self
    }

    /// The endpoints' ids, for compatibility. They tell clients what the endpoints are called, by default their
    /// addresses, and clients may choose.
    ///
    /// As with all values but tokens, nothing tells a session from others: who stands in for its endpoint is up to the
    /// strategy, and each balancer's. Until the client has taken another cookie, each of its requests may go elsewhere;
    /// and in rewrite mode, or under [`postonly`](crate::cookie::PersistenceCookieBuilder::postonly), that may be long.
    /// In prefix mode, however, the endpoint's own value tells the session, as a token's number does, as long as the one
    /// it belongs to has not left. (A name that is no endpoint's any more is no name, as in HAProxy; a token is one.)
    pub fn ids() -> Self {
        Self::plain(Given::Ids)
    }

    /// Names of your own, as HAProxy's `server … cookie NAME`. Endpoints without one are not bound to; if one of them
    /// answers, the client keeps the cookie that it has (where HAProxy erases it). Who stands in for an endpoint is up to
    /// the strategy, see [`ids`](Self::ids).
    ///
    /// ```
    /// use equipoise_affinity::{Values, cookie::PersistenceCookie};
    ///
    /// let cookie = PersistenceCookie::insert("SRV").build()?;
    /// let values = Values::named(&cookie, [("10.0.0.1:80", "A"), ("10.0.0.2:80", "B")])?;
    /// # let _ = values;
    /// assert!(Values::named(&cookie, [("10.0.0.1:80", "A"), ("10.0.0.2:80", "A")]).is_err());
    /// assert!(Values::named(&cookie, [("10.0.0.1:80", "A; path=/admin")]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When a name is not fit for a cookie, or two endpoints have the same.
    pub fn named(
        cookie: &PersistenceCookie,
        names: impl IntoIterator<Item = (impl Into<EndpointId>, impl AsRef<[u8]>)>,
    ) -> Result<Self, InvalidValues> {
        let mut all = HashMap::new();
        let mut seen = HashSet::new();
        for (endpoint, name) in names {
            let endpoint = endpoint.into();
            let value =
                cookie.value(name).map_err(|source| InvalidValues::Unfit { endpoint: endpoint.clone(), source })?;
            if !seen.insert(value.clone()) {
                return Err(InvalidValues::Twice { name: value.as_str().to_owned() });
            }
            all.insert(endpoint, value);
        }
        Ok(Self::plain(Given::Names(Arc::new(all))))
    }

    /// HAProxy's `dynamic`: a hash of this key and the endpoint's address, which has to be an IP address with a port. See
    /// [`CookieValue::dynamic`]. Who stands in for an endpoint is up to the strategy, see [`ids`](Self::ids).
    pub fn dynamic(key: impl AsRef<[u8]>) -> Self {
        Self::plain(Given::Dynamic(key.as_ref().into()))
    }

    fn plain(given: Given) -> Self {
        Self(Naming::Plain { given, known: Arc::default() })
    }

    /// The same for one pool, with a directory of its own: no endpoint is known yet.
    pub(super) fn for_pool(self) -> Self {
        Self(match self.0 {
            Naming::Tokens { tokens, idle, life } => Naming::Tokens { tokens: Arc::new(tokens.for_pool()), idle, life },
            Naming::Plain { given, .. } => Naming::Plain { given, known: Arc::default() },
        })
    }

    /// Returns the endpoint that `value` names, or why it names none.
    pub(super) fn read(&self, value: &[u8], now: SystemTime) -> Result<NamedEndpoint, Unbound> {
        match &self.0 {
            Naming::Tokens { tokens, idle, life } => {
                let token = tokens.read(value, now, *idle, *life).map_err(Unbound::Token)?;
                Ok(NamedEndpoint { endpoint: token.endpoint().clone(), session: Some(token.session()), due: token.is_due() })
            }
            Naming::Plain { known, .. } => {
                let endpoint = known.load().endpoints.get(value).cloned().ok_or(Unbound::Unknown)?;
                Ok(NamedEndpoint { endpoint, session: None, due: false })
            }
        }
    }

    /// Returns the value that names `endpoint`, or `None` if it has no name.
    pub(super) fn name(
        &self,
        cookie: &PersistenceCookie,
        endpoint: &EndpointId,
        session: Option<Session>,
        now: SystemTime,
    ) -> Option<CookieValue> {
        match &self.0 {
            Naming::Tokens { tokens, .. } => cookie.value(tokens.issue(endpoint, session, now)?).ok(),
            Naming::Plain { known, .. } => known.load().values.get(endpoint).cloned(),
        }
    }

    /// Refuses settings with which no cookie is ever valid.
    pub(crate) fn check(&self) -> Result<(), InvalidValues> {
        let Naming::Tokens { idle, life, .. } = &self.0 else { return Ok(()) };
        match [("idle", idle), ("life", life)].into_iter().find(|(_, time)| **time == Some(Duration::ZERO)) {
            Some((setting, _)) => Err(InvalidValues::Zero { setting }),
            None => Ok(()),
        }
    }

    /// These are the endpoints now. The first of them that cannot be named is the error; all others can.
    pub(super) fn set_members(
        &self,
        cookie: &PersistenceCookie,
        endpoints: &[(EndpointId, String)],
    ) -> Result<(), InvalidValues> {
        match &self.0 {
            Naming::Tokens { tokens, .. } => {
                tokens.members(endpoints.iter().map(|(id, _)| id.clone()));
                Ok(())
            }
            Naming::Plain { given, known } => {
                let mut directory = Directory::default();
                let mut unfit = Ok(());
                for (id, address) in endpoints {
                    match given.name(cookie, id, address) {
                        Ok(Some(value)) => {
                            directory.endpoints.insert(value.as_str().as_bytes().into(), id.clone());
                            directory.values.insert(id.clone(), value);
                        }
                        Ok(None) => {}
                        Err(error) => unfit = unfit.and(Err(error)),
                    }
                }
                known.store(Arc::new(directory));
                unfit
            }
        }
    }
}

impl Given {
    fn name(
        &self,
        cookie: &PersistenceCookie,
        id: &EndpointId,
        address: &str,
    ) -> Result<Option<CookieValue>, InvalidValues> {
        match self {
            Self::Ids => match cookie.value(id.as_str()) {
                Ok(value) => Ok(Some(value)),
                Err(source) => Err(InvalidValues::Unfit { endpoint: id.clone(), source }),
            },
            Self::Names(names) => Ok(names.get(id).cloned()),
            Self::Dynamic(key) => match socket(address) {
                Some(address) => Ok(Some(CookieValue::dynamic(key, address))),
                None => Err(InvalidValues::Address { endpoint: id.clone(), address: address.to_owned() }),
            },
        }
    }
}

/// The IP address and port of an endpoint's address.
fn socket(address: &str) -> Option<SocketAddr> {
    let of_url = |address: Address<'_>| Some(SocketAddr::new(address.host().parse().ok()?, address.known_port()?));
    address.parse().ok().or_else(|| of_url(Address::parse(address).ok()?))
}

/// Why endpoints cannot be named in a cookie.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidValues {
    /// A name, or an id that is to be one, is not fit for a cookie.
    #[error("endpoint {endpoint} cannot be named in a cookie: name it otherwise, or use tokens")]
    Unfit {
        /// Whose.
        endpoint: EndpointId,
        /// What is wrong with it.
        source: InvalidCookieValue,
    },
    /// A time of zero, with which every token would be void at once.
    #[error("{setting} of tokens has to be longer than zero; without it, they do not end by it")]
    Zero {
        /// The setting: `idle` or `life`.
        setting: &'static str,
    },
    /// Two endpoints have the same name.
    #[error("{name:?} names two endpoints: give each a name of its own")]
    Twice {
        /// The name.
        name: String,
    },
    /// The address is not an IP address with a port, of which [`Values::dynamic`] makes a name.
    #[error("the address of endpoint {endpoint}, {address:?}, is not an IP address with a port")]
    Address {
        /// Whose.
        endpoint: EndpointId,
        /// The address.
        address: String,
    },
}

/// Never what a value is made with.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Naming::Tokens { .. } => "tokens",
            Naming::Plain { given: Given::Ids, .. } => "ids",
            Naming::Plain { given: Given::Names(_), .. } => "names",
            Naming::Plain { given: Given::Dynamic(_), .. } => "dynamic",
        })
    }
}
