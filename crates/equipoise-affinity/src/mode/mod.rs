//! Modes of session affinity. A mode determines how the session of a request is recognised, and where the endpoint of
//! the session is stored.

pub(crate) mod cookie;
pub(crate) mod keyed;
mod naming;

use std::{fmt, net::IpAddr, sync::Arc, time::SystemTime};

use bytes::Bytes;
use equipoise_core::EndpointId;
use http::{Method, StatusCode};

pub use self::naming::{EndpointNaming, InvalidNaming};
use crate::{
    cookie::{CookieState, PersistenceCookie},
    key::SessionKey,
    learn::{Learn, Route},
    members::PoolMembers,
    outcome::UnboundReason,
    store::{Guarded, Lookup, SessionStore, StoreAnswer},
    token::{InvalidToken, TokenSession},
};

/// A mode of session affinity. It determines how the session of a request is recognised, and where the endpoint of the
/// session is stored. [`Affinity::new`](crate::Affinity::new) applies a mode to a pool.
///
/// | mode | what identifies the session | where its endpoint is stored |
/// | --- | --- | --- |
/// | [`none`](Self::none) | nothing | nowhere |
/// | [`hash`](Self::hash) | a key: source address, header, query, path, cookie, or the result of a closure | nowhere: a hashing strategy computes it |
/// | [`table`](Self::table) | a key, as in `hash` | in a session store |
/// | [`cookie`](Self::cookie) | a cookie that the balancer sets | in that cookie |
/// | [`learn`](Self::learn) | a cookie or header that the backend sets | in a session store |
/// | [`route`](Self::route) | a cookie or header that the backend sets | in that cookie or header: a part of the value is the endpoint's id |
#[derive(Clone)]
pub struct Mode(pub(crate) Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    None,
    Hash(SessionKey),
    Table(SessionKey, Guarded),
    Cookie(PersistenceCookie, EndpointNaming),
    Learn(Learn, Guarded),
    Route(Learn, Route),
}

impl Mode {
    /// Creates the mode without affinity. The strategy picks an endpoint for each request, and responses have no
    /// [`AffinityOutcome`](crate::AffinityOutcome).
    pub fn none() -> Self {
        Self(Kind::None)
    }

    /// Creates the mode in which the pool's strategy chooses the endpoint of a session by hashing `key`. The strategy
    /// must be a hashing strategy: [`Maglev`](equipoise_core::Maglev), [`Ring`](equipoise_core::Ring),
    /// [`Rendezvous`](equipoise_core::Rendezvous), or a strategy that uses one of them, such as
    /// [`BoundedLoad`](equipoise_core::BoundedLoad). With another strategy, [`Affinity::new`](crate::Affinity::new)
    /// returns an error.
    ///
    /// The endpoint of a session is not stored. All balancers with the same endpoints choose the same endpoint for a
    /// key. When an endpoint joins or leaves the pool, some keys move to other endpoints. They move back when the
    /// change is undone.
    pub fn hash(key: SessionKey) -> Self {
        Self(Kind::Hash(key))
    }

    /// Creates the mode that stores the endpoint of each key in `store`. The strategy picks an endpoint for the first
    /// request with a key. When the head of the response arrives, the key is bound to this endpoint. Later requests
    /// with the key go to the same endpoint, for as long as `store` contains the key.
    ///
    /// Clients can invent keys and so start any number of sessions.
    /// [`Affinity::session_limit`](crate::Affinity::session_limit) limits how many sessions one source may start.
    ///
    /// Use a [`SessionTable`](crate::table::SessionTable) for one pool only. Other stores may support several pools:
    /// see [`SessionStore`].
    pub fn table(key: SessionKey, store: Arc<dyn SessionStore>) -> Self {
        Self(Kind::Table(key, Guarded::new(store)))
    }

    /// Creates the mode in which a cookie names the endpoint of the session. The balancer sets the cookie, or changes a
    /// cookie that the backend sets, as HAProxy's `cookie` does. `cookie` contains the cookie's name, attributes and
    /// other settings. `naming` determines how the cookie's value names an endpoint.
    pub fn cookie(cookie: PersistenceCookie, naming: EndpointNaming) -> Self {
        Self(Kind::Cookie(cookie, naming))
    }

    /// Creates the mode for session keys that backends set, in a cookie such as `JSESSIONID` or in a header. `learn`
    /// says where the key is. If a backend has set a key in a response, later requests with this key go to the same
    /// backend. This mode corresponds to nginx's `sticky learn`, and to HAProxy's `stick store-response` with `stick
    /// match`.
    ///
    /// Only keys that backends have set are added to `store`, unless [`Learn::adopt`] is set. So clients cannot add
    /// keys that they invent. But if a backend creates a session for each request without a key, any client can fill
    /// the store. [`Affinity::session_limit`](crate::Affinity::session_limit) limits how many sessions one source may
    /// start.
    ///
    /// Use a [`SessionTable`](crate::table::SessionTable) for one pool only. Other stores may support several pools:
    /// see [`SessionStore`].
    pub fn learn(learn: Learn, store: Arc<dyn SessionStore>) -> Self {
        Self(Kind::Learn(learn, Guarded::new(store)))
    }

    /// Creates the mode in which a part of the session key is the id of the endpoint. The backend sets this key in a
    /// cookie or header. `learn` says where the key is, and `route` says which part of the key is the id. If a request
    /// has no key, or a key without this part, its session is not bound to an endpoint. Tomcat calls the part
    /// `jvmRoute`, and nginx has this mode as `sticky route`.
    ///
    /// The id must belong to an endpoint of the pool, or to one of the last 1,024 endpoints that this balancer has seen
    /// leave the pool. If the id belongs to none of these endpoints, the session is not bound to an endpoint. So
    /// clients cannot cause work with ids that they invent.
    pub fn route(learn: Learn, route: Route) -> Self {
        Self(Kind::Route(learn, route))
    }

    /// Prepares the mode for use with one pool. In mode `cookie`, the naming gets a list of endpoints that is not
    /// shared with other pools.
    pub(crate) fn into_kind(self) -> Kind {
        match self.0 {
            Kind::Cookie(cookie, naming) => Kind::Cookie(cookie, naming.for_pool()),
            kind => kind,
        }
    }
}

impl Kind {
    /// Returns the session store of the mode.
    pub(crate) fn store(&self) -> Option<&Guarded> {
        match self {
            Self::Table(_, store) | Self::Learn(_, store) => Some(store),
            Self::None | Self::Hash(_) | Self::Cookie(..) | Self::Route(..) => None,
        }
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::None => f.write_str("none"),
            Kind::Hash(key) => f.debug_tuple("hash").field(key).finish(),
            Kind::Table(key, _) => f.debug_tuple("table").field(key).finish_non_exhaustive(),
            Kind::Cookie(cookie, naming) => f.debug_tuple("cookie").field(cookie).field(naming).finish(),
            Kind::Learn(learn, _) => f.debug_tuple("learn").field(learn).finish_non_exhaustive(),
            Kind::Route(learn, route) => f.debug_tuple("route").field(learn).field(route).finish(),
        }
    }
}

/// What is known about the session of a request. It is kept until the response arrives.
#[derive(Debug)]
pub(crate) struct Found {
    /// The endpoint that the session is bound to, or the reason why it is bound to none.
    pub(crate) endpoint: Result<EndpointId, UnboundReason>,
    /// The session's key. A session store stores the binding under this key. If the session's endpoint cannot serve the
    /// request, another endpoint is chosen by a hash of the key.
    pub(crate) key: Option<Bytes>,
    /// Whether the strategy chooses the endpoint by the key.
    pub(crate) keyed: bool,
    /// The pending answer of the session store. `None` if no answer is awaited.
    pub(crate) lookup: Option<Lookup>,
    /// Whether the request goes to its endpoint whatever the endpoint's availability.
    pub(crate) forced: bool,
    /// The client's address. `None` if it is not known, or if the number of new sessions is not limited.
    pub(crate) client: Option<IpAddr>,
    /// The state of the request's cookie. This field and the fields below are used in mode `cookie` only.
    cookie_state: CookieState,
    method: Method,
    /// The session in the cookie's token. The next token gets the same session.
    token_session: Option<TokenSession>,
    /// Whether the response must set the cookie again although the session's endpoint has not changed.
    renew: bool,
}

impl Found {
    pub(crate) fn unbound(reason: UnboundReason) -> Self {
        Self {
            endpoint: Err(reason),
            key: None,
            keyed: false,
            lookup: None,
            forced: false,
            client: None,
            cookie_state: CookieState::default(),
            method: Method::GET,
            token_session: None,
            renew: false,
        }
    }

    /// Stores the answer of the session store.
    pub(crate) fn set_answer(&mut self, answer: StoreAnswer) {
        self.endpoint = answer.map_err(UnboundReason::from).and_then(|id| id.ok_or(UnboundReason::Unknown));
    }

    /// Whether the session was bound to an endpoint that has left the pool and whose id is not known.
    pub(crate) fn has_lost_endpoint(&self) -> bool {
        matches!(self.endpoint, Err(UnboundReason::Token(InvalidToken::UnknownEndpoint { .. })))
    }
}

/// What a mode needs to store the binding of a session when the response arrives.
#[derive(Clone, Copy)]
pub(crate) struct Settlement<'a> {
    pub(crate) found: &'a Found,
    /// The endpoint that answered.
    pub(crate) served: &'a EndpointId,
    /// Whether the session must be bound to the endpoint that answered.
    pub(crate) binds: bool,
    pub(crate) status: StatusCode,
    pub(crate) now: SystemTime,
    /// Counts a new session for the client's source. Returns whether the session may be stored.
    pub(crate) may_begin: &'a dyn Fn() -> bool,
    pub(crate) members: &'a PoolMembers,
}
