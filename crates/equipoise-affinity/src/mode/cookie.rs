//! The mode `cookie`: a cookie of the client names its endpoint.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use equipoise_core::{Address, EndpointId};
use http::{HeaderMap, request::Parts};
use xxhash_rust::xxh64::xxh64;

use super::found::{Found, Settlement};
use crate::{
    cookie::{
        CookieAction, CookieMatch, CookieMode, CookieOutcome, CookieValue, InvalidCookieValue, PersistenceCookie,
        ResponseContext,
    },
    members::PoolMembers,
    outcome::UnboundReason,
    token::{InvalidToken, KeyRing, TokenSession, Tokens},
};

pub(super) fn find(
    cookie: &PersistenceCookie,
    naming: &EndpointNaming,
    head: &mut Parts,
    now: SystemTime,
    members: &PoolMembers,
    forced: bool,
) -> Found {
    let read = |value: &[u8]| match naming.read(value, now) {
        // Another balancer may have named an endpoint that joined just now.
        Err(UnboundReason::Unknown | UnboundReason::Token(InvalidToken::UnknownEndpoint { .. })) => {
            follow(cookie, naming, members);
            naming.read(value, now)
        }
        known => known,
    };
    // The first endpoint that cannot take the request, and the reason why the first invalid value names no endpoint.
    let (mut down, mut refused) = (None, None);
    let (named, state) = cookie.read(&mut head.headers, now, |value, own| match read(value) {
        Ok(named) if members.accepts(&named.endpoint, forced) => {
            CookieMatch::Endpoint((session_key(named.session, own), named))
        }
        Ok(named) => {
            down.get_or_insert_with(|| (session_key(named.session, own), named));
            CookieMatch::Down
        }
        Err(reason) => {
            refused.get_or_insert(reason);
            CookieMatch::Unknown
        }
    });
    let reason = match state.outcome() {
        CookieOutcome::Absent => UnboundReason::Absent,
        CookieOutcome::Expired | CookieOutcome::Old => UnboundReason::Expired,
        CookieOutcome::TooMany | CookieOutcome::TooLong => UnboundReason::Oversized,
        CookieOutcome::Disregarded => UnboundReason::Off,
        _ => refused.unwrap_or(UnboundReason::Unknown),
    };
    let mut found = Found { cookie_state: state, method: head.method.clone(), ..Found::unbound(reason) };
    // If no value names an endpoint that can take the request, the session is bound to the first one that cannot.
    if let Some((key, named)) = named.or(down) {
        found.endpoint = Ok(named.endpoint);
        found.key = key;
        found.token_session = named.session;
        found.renew = named.due;
    } else if let UnboundReason::Token(InvalidToken::UnknownEndpoint { session }) = reason {
        found.key = session_key(Some(session), None);
        found.token_session = Some(session);
    }
    found
}

/// The session's key: the number in its token, or else a hash of the endpoint's own value behind a prefix. Both are the
/// same at all balancers.
fn session_key(session: Option<TokenSession>, own: Option<&[u8]>) -> Option<Bytes> {
    match session {
        Some(session) => Some(Bytes::copy_from_slice(session.key())),
        None => own.filter(|own| !own.is_empty()).map(|own| Bytes::copy_from_slice(&xxh64(own, 0).to_be_bytes())),
    }
}

/// Removes the cookie of a request that is not to be bound.
pub(super) fn disregard(cookie: &PersistenceCookie, head: &mut Parts) -> Found {
    let state = cookie.disregard(&mut head.headers);
    Found { cookie_state: state, method: head.method.clone(), ..Found::unbound(UnboundReason::Off) }
}

/// Sets or changes the cookie of the response. Returns whether it now names another endpoint than the request's.
pub(super) fn settle(
    cookie: &PersistenceCookie,
    naming: &EndpointNaming,
    settlement: &Settlement<'_>,
    headers: &mut HeaderMap,
) -> bool {
    let Settlement { found, served, binds, now, .. } = *settlement;
    // If another endpoint serves only this request, the cookie still names the session's endpoint. But a cookie that the
    // endpoints set themselves names the endpoint that set it.
    let named = match &found.endpoint {
        Ok(bound_to) if !binds && cookie.mode() == CookieMode::Insert => bound_to,
        _ => served,
    };
    let renew = binds || found.renew;
    // A token costs an HMAC, so it is made only if the client will see it.
    let is_sent = renew || cookie.mode() != CookieMode::Insert || cookie.is_stale(found.cookie_state, now);
    let name = || naming.name(cookie, named, found.token_session, now);
    let name_after_update = || {
        follow(cookie, naming, settlement.members);
        name()
    };
    let value = if is_sent { name().or_else(name_after_update) } else { None };
    let response = ResponseContext {
        state: found.cookie_state,
        // If the endpoint has no name, the client's cookie stays as it is.
        kept: !renew || value.is_none(),
        value: value.as_ref(),
        method: &found.method,
        now,
    };
    let action = cookie.on_response(response, settlement.status, headers);
    let is_taken_over =
        cookie.mode() != CookieMode::Insert && found.endpoint.as_ref().is_ok_and(|bound_to| bound_to != served);
    (binds || is_taken_over)
        && value.is_some()
        && matches!(action, CookieAction::Inserted | CookieAction::Updated | CookieAction::Replaced)
}

/// Waits until `naming` names all current members.
fn follow(cookie: &PersistenceCookie, naming: &EndpointNaming, members: &PoolMembers) {
    if let Some(Err(error)) = members.follow(true, |_| (), |endpoints| naming.set_members(cookie, endpoints)) {
        tracing::warn!("{error}");
    }
}

/// How the value of a cookie names an endpoint.
///
/// Cheap to clone, and usable with any number of pools: each [`Affinity`](crate::Affinity) tracks its own endpoints.
#[derive(Clone)]
pub struct EndpointNaming(Naming);

#[derive(Clone)]
enum Naming {
    Tokens {
        tokens: Arc<Tokens>,
        idle: Option<Duration>,
        life: Option<Duration>,
    },
    /// A name that is not authenticated.
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

/// The names of the endpoints, in both directions.
#[derive(Default)]
struct NameIndex {
    values: HashMap<EndpointId, CookieValue>,
    endpoints: HashMap<Box<[u8]>, EndpointId>,
}

/// The endpoint that a value names.
struct NamedEndpoint {
    endpoint: EndpointId,
    session: Option<TokenSession>,
    /// Whether the cookie is to be set again.
    due: bool,
}

impl EndpointNaming {
    /// Authenticated tokens under the keys of `ring`: the recommended choice. They reveal no address, clients cannot
    /// choose an endpoint, and each session has a number by which all balancers select the same replacement for an
    /// unavailable endpoint. They are valid in this cookie only. See [`token`](crate::token).
    pub fn tokens(ring: KeyRing, cookie: &PersistenceCookie) -> Self {
        Self::of_tokens(Arc::new(Tokens::new(ring, cookie.name())))
    }

    /// Tokens whose keys can be [rotated](Tokens::rotate) through `tokens`. The [members](Tokens::members) of `tokens`
    /// itself are not used: each pool has its own.
    pub fn of_tokens(tokens: Arc<Tokens>) -> Self {
        Self(Naming::Tokens { tokens, idle: None, life: None })
    }

    /// Sets how long a token is valid after it was issued. It is renewed while it is in use. Default: no limit. A
    /// timeout of zero is an error of [`Affinity::new`](crate::Affinity::new). Has an effect on tokens only.
    ///
    /// Unlike the dates of [`max_idle`](crate::cookie::PersistenceCookieBuilder::max_idle), which are HAProxy's, this
    /// is authenticated.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        if let Naming::Tokens { idle, .. } = &mut self.0 {
            *idle = Some(timeout);
        }
        self
    }

    /// Sets how long a session lasts at most, whether it is used or not. Default: no limit. A lifetime of zero is an
    /// error of [`Affinity::new`](crate::Affinity::new). Has an effect on tokens only.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        if let Naming::Tokens { life, .. } = &mut self.0 {
            *life = Some(lifetime);
        }
        self
    }

    /// The endpoints' ids, for compatibility. They reveal the ids to clients, which are addresses by default, and
    /// clients can choose an endpoint.
    ///
    /// As with all values except tokens, nothing distinguishes sessions of one endpoint. If the endpoint cannot take
    /// them, each balancer's strategy picks another one, and each request of the client may go elsewhere until the
    /// client has the new cookie. In rewrite mode, or with
    /// [`postonly`](crate::cookie::PersistenceCookieBuilder::postonly), that may take long. In prefix mode, the
    /// endpoint's own value identifies the session, as a token's number does, while the session's endpoint is in the
    /// pool. A value that names no endpoint of the pool counts as none, as in HAProxy.
    pub fn ids() -> Self {
        Self::plain(PlainNames::Ids)
    }

    /// Names of your own, as in HAProxy's `server … cookie NAME`. Sessions are not bound to endpoints without a name.
    /// If such an endpoint answers, the client keeps the cookie that it has (HAProxy erases it). For sessions of an
    /// unavailable endpoint, see [`ids`](Self::ids).
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
    /// [`InvalidNaming::InvalidValue`] if a name cannot be a cookie's value, and [`InvalidNaming::Duplicate`] if two endpoints
    /// have the same name.
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

    /// HAProxy's `dynamic`: a hash of this key and the endpoint's address, which must be an IP address with a port. See
    /// [`CookieValue::dynamic`]. For sessions of an unavailable endpoint, see [`ids`](Self::ids).
    pub fn dynamic(key: impl AsRef<[u8]>) -> Self {
        Self::plain(PlainNames::Dynamic(key.as_ref().into()))
    }

    fn plain(names: PlainNames) -> Self {
        Self(Naming::Plain { names, index: Arc::default() })
    }

    /// The same naming for another pool, with no members yet.
    pub(super) fn for_pool(self) -> Self {
        Self(match self.0 {
            Naming::Tokens { tokens, idle, life } => Naming::Tokens { tokens: Arc::new(tokens.for_pool()), idle, life },
            Naming::Plain { names, .. } => Naming::Plain { names, index: Arc::default() },
        })
    }

    /// Returns the endpoint that `value` names, or why it names none.
    fn read(&self, value: &[u8], now: SystemTime) -> Result<NamedEndpoint, UnboundReason> {
        match &self.0 {
            Naming::Tokens { tokens, idle, life } => {
                let token = tokens.read(value, now, *idle, *life).map_err(UnboundReason::Token)?;
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

    /// Returns the value that names `endpoint`, or `None` if it has no name.
    fn name(
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

    /// Refuses settings with which no cookie is ever valid.
    pub(crate) fn check(&self) -> Result<(), InvalidNaming> {
        let Naming::Tokens { idle, life, .. } = &self.0 else { return Ok(()) };
        match [("idle_timeout", idle), ("lifetime", life)].into_iter().find(|(_, time)| **time == Some(Duration::ZERO))
        {
            Some((setting, _)) => Err(InvalidNaming::Zero { setting }),
            None => Ok(()),
        }
    }

    /// These are the endpoints now. The first of them that cannot be named is the error; all others can.
    pub(super) fn set_members(
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

/// The IP address and port of an endpoint's address.
fn socket(address: &str) -> Option<SocketAddr> {
    let of_url = |address: Address<'_>| Some(SocketAddr::new(address.host().parse().ok()?, address.known_port()?));
    address.parse().ok().or_else(|| of_url(Address::parse(address).ok()?))
}

/// Why endpoints cannot be named in a cookie.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNaming {
    /// A name, or an id used as a name, cannot be a cookie's value.
    #[error("endpoint {endpoint} cannot be named in a cookie: name it otherwise, or use tokens")]
    InvalidValue {
        /// The endpoint.
        endpoint: EndpointId,
        /// What is wrong with it.
        source: InvalidCookieValue,
    },
    /// A time of zero: every token would be void at once.
    #[error("{setting} of tokens must be longer than zero; leave it out for no limit")]
    Zero {
        /// The setting: `idle_timeout` or `lifetime`.
        setting: &'static str,
    },
    /// Two endpoints have the same name.
    #[error("{name:?} names two endpoints: give each a name of its own")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The endpoint's address is not an IP address with a port, which [`EndpointNaming::dynamic`] needs.
    #[error("the address of endpoint {endpoint}, {address:?}, is not an IP address with a port")]
    Address {
        /// The endpoint.
        endpoint: EndpointId,
        /// The address.
        address: String,
    },
}

/// Does not show keys.
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
