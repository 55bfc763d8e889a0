//! How sessions are told, and where their bindings are kept.

mod cookie;
mod keyed;
mod values;

use std::{fmt, net::IpAddr, sync::Arc, time::SystemTime};

use bytes::Bytes;
use equipoise_core::EndpointId;
use http::{HeaderMap, Method, StatusCode, request::Parts};

pub use self::values::{InvalidValues, Values};
use crate::{
    cookie::{PersistenceCookie, Presented},
    key::SessionKey,
    learn::{Learn, Route},
    members::PoolMembers,
    outcome::Unbound,
    store::{Guarded, Lookup, SessionStore, StoreAnswer},
    token::{Refused, Session},
};

/// How sessions are told, and where it is kept whom they belong to.
///
/// | mode | what tells the session | where its binding is |
/// | --- | --- | --- |
/// | [`none`](Self::none) | nothing | nowhere |
/// | [`hash`](Self::hash) | a key: source address, header, query, path, cookie, a closure | nowhere: a hashing strategy works it out |
/// | [`table`](Self::table) | such a key | in a session store |
/// | [`cookie`](Self::cookie) | a cookie that the balancer sets | in that cookie |
/// | [`learn`](Self::learn) | what the backend sets | in a session store |
/// | [`route`](Self::route) | what the backend sets | in that: a part of it names the endpoint |
#[derive(Clone)]
pub struct Mode(pub(crate) Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    None,
    Hash(SessionKey),
    Table(SessionKey, Guarded),
    Cookie(PersistenceCookie, Values),
    Learn(Learn, Guarded),
    Route(Learn, Route),
}

impl Mode {
    /// No affinity: every request goes where the strategy says, and responses have no [`Outcome`](crate::Outcome).
    pub fn none() -> Self {
        Self(Kind::None)
    }

    /// The strategy places requests by this key: [`Maglev`](equipoise_core::Maglev), [`Ring`](equipoise_core::Ring),
    /// [`Rendezvous`](equipoise_core::Rendezvous), [`BoundedLoad`](equipoise_core::BoundedLoad) over one of them. With other
    /// strategies, [`Affinity::new`](crate::Affinity::new) is an error.
    ///
    /// Nothing is kept and all balancers agree; but a few keys move whenever the pool changes, and come back when it
    /// changes back.
    pub fn hash(key: SessionKey) -> Self {
        Self(Kind::Hash(key))
    }

    /// The first request with a key goes where the strategy says, and those after it to the same endpoint, as long as
    /// `store` remembers. A session is bound when the head of its first response is there. Clients can make up keys:
    /// [`Affinity::session_limit`](crate::Affinity::session_limit) bounds how many sessions each may begin.
    ///
    /// Whether pools can share a store is up to it: see [`SessionStore`]. A
    /// [`SessionTable`](crate::table::SessionTable) is for one.
    pub fn table(key: SessionKey, store: Arc<dyn SessionStore>) -> Self {
        Self(Kind::Table(key, Guarded::new(store)))
    }

    /// The balancer sets a cookie, or takes part in one that the backend sets: HAProxy's `cookie`. `values` says how a
    /// cookie's value names an endpoint.
    pub fn cookie(cookie: PersistenceCookie, values: Values) -> Self {
        Self(Kind::Cookie(cookie, values))
    }

    /// Whoever brings what a backend has set (a cookie such as `JSESSIONID`, a header) goes to that backend: nginx's
    /// `sticky learn`, HAProxy's `stick store-response` with `stick match`. Only what backends set enters `store`. So
    /// clients cannot put keys of their own there, but a backend that makes a session for each request without one lets
    /// any client fill it with such requests: [`Affinity::session_limit`](crate::Affinity::session_limit) bounds that. As
    /// with [`table`](Self::table), `store` is for one pool unless it says otherwise.
    pub fn learn(learn: Learn, store: Arc<dyn SessionStore>) -> Self {
        Self(Kind::Learn(learn, Guarded::new(store)))
    }

    /// A part of what the backend has set names the endpoint by its id: Tomcat's `jvmRoute`, nginx's `sticky route`.
    ///
    /// A request that names an endpoint which is neither in the pool nor has left it lately (the last 1 024 departures
    /// that this balancer has seen count) has no binding. So ids that clients make up cost no more than a look.
    pub fn route(learn: Learn, route: Route) -> Self {
        Self(Kind::Route(learn, route))
    }

    /// For one pool: what is known of its endpoints is known of no other's.
    pub(crate) fn into_kind(self) -> Kind {
        match self.0 {
            Kind::Cookie(cookie, values) => Kind::Cookie(cookie, values.for_pool()),
            kind => kind,
        }
    }
}

/// What was found for a request. It is kept until the response.
#[derive(Debug)]
pub(crate) struct Found {
    /// The endpoint that the session is bound to, or why there is none.
    pub(crate) endpoint: Result<EndpointId, Unbound>,
    /// The session's key. A store remembers the session by it, and another endpoint is selected by it.
    pub(crate) key: Option<Bytes>,
    /// Whether the strategy places the request by its key.
    pub(crate) keyed: bool,
    /// The session store's answer, while it is awaited.
    pub(crate) lookup: Option<Lookup>,
    /// Whether the request goes to its endpoint whatever the endpoint's availability is.
    pub(crate) forced: bool,
    /// The client's address, if new sessions are limited by it and it is known.
    pub(crate) client: Option<IpAddr>,
    /// The request's cookie. Mode `cookie` only, as the rest.
    presented: Presented,
    method: Method,
    /// The session that the cookie's token names. The next token continues it.
    token_session: Option<Session>,
    /// Whether the cookie is to be set again although its endpoint stays.
    renew: bool,
}

impl Found {
    fn unbound(reason: Unbound) -> Self {
        Self {
            endpoint: Err(reason),
            key: None,
            keyed: false,
            lookup: None,
            forced: false,
            client: None,
            presented: Presented::default(),
            method: Method::GET,
            token_session: None,
            renew: false,
        }
    }

    /// Takes the session store's answer.
    pub(crate) fn set_answer(&mut self, answer: StoreAnswer) {
        self.endpoint = answer.map_err(Unbound::from).and_then(|id| id.ok_or(Unbound::Unknown));
    }

    /// Whether the session had an endpoint that has left the pool, and whose id is not known.
    pub(crate) fn has_lost_endpoint(&self) -> bool {
        matches!(self.endpoint, Err(Unbound::Token(Refused::UnknownEndpoint { .. })))
    }
}

/// How a request is settled with its response.
#[derive(Clone, Copy)]
pub(crate) struct Settlement<'a> {
    pub(crate) found: &'a Found,
    /// The endpoint that answered.
    pub(crate) served: &'a EndpointId,
    /// Whether the session is bound to that endpoint from now on.
    pub(crate) binds: bool,
    pub(crate) status: StatusCode,
    pub(crate) now: SystemTime,
    /// Counts a new session for the client, and returns whether it may be remembered.
    pub(crate) may_begin: &'a dyn Fn() -> bool,
    pub(crate) members: &'a PoolMembers,
}

impl Kind {
    /// Finds the request's session and its endpoint, as far as they are known at once. Removes from the head what the
    /// endpoint is not to see.
    pub(crate) fn find(&self, head: &mut Parts, now: SystemTime, members: &PoolMembers, forced: bool) -> Found {
        let found = match self {
            Self::None => Found::unbound(Unbound::Off),
            Self::Hash(key) => keyed::find_by_hash(key, head),
            Self::Table(key, store) => keyed::find_in_table(key, store, head),
            Self::Cookie(cookie, values) => cookie::find(cookie, values, head, now, members, forced),
            Self::Learn(learn, store) => keyed::find_learned(learn, store, head),
            Self::Route(learn, route) => keyed::find_by_route(learn, *route, head, members),
        };
        Found { forced, ..found }
    }

    /// For a request that is not to be bound, whatever it brings.
    pub(crate) fn disregard(&self, head: &mut Parts) -> Found {
        match self {
            Self::Cookie(cookie, _) => cookie::disregard(cookie, head),
            _ => Found::unbound(Unbound::Off),
        }
    }

    /// Remembers the session, and puts into the response what the client is to bring next time. Returns whether the
    /// session is bound to the endpoint that answered, and was not before.
    pub(crate) fn settle(&self, settlement: &Settlement<'_>, headers: &mut HeaderMap) -> bool {
        match self {
            Self::None | Self::Hash(_) | Self::Route(..) => false,
            Self::Table(_, store) => keyed::settle_in_table(store, settlement),
            Self::Cookie(cookie, values) => cookie::settle(cookie, values, settlement, headers),
            Self::Learn(learn, store) => keyed::settle_learned(learn, store, settlement, headers),
        }
    }

    /// Whether sessions are remembered in a store.
    pub(crate) fn has_store(&self) -> bool {
        matches!(self, Self::Table(..) | Self::Learn(..))
    }

    /// Brings the mode up to date with the pool's members, unless another thread is doing so.
    pub(crate) fn follow(&self, members: &PoolMembers) -> Result<(), InvalidValues> {
        let on_departure = |id: &EndpointId| {
            if let Self::Table(_, store) | Self::Learn(_, store) = self {
                store.left(id);
            }
        };
        let followed = members.follow(false, on_departure, |endpoints| match self {
            Self::Cookie(cookie, values) => values.set_members(cookie, endpoints),
            _ => Ok(()),
        });
        followed.unwrap_or(Ok(()))
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::None => f.write_str("none"),
            Kind::Hash(key) => f.debug_tuple("hash").field(key).finish(),
            Kind::Table(key, _) => f.debug_tuple("table").field(key).finish_non_exhaustive(),
            Kind::Cookie(cookie, values) => f.debug_tuple("cookie").field(cookie).field(values).finish(),
            Kind::Learn(learn, _) => f.debug_tuple("learn").field(learn).finish_non_exhaustive(),
            Kind::Route(learn, route) => f.debug_tuple("route").field(learn).field(route).finish(),
        }
    }
}
