//! How a session is recognised, and where its endpoint is stored.

mod cookie;
mod found;
mod keyed;

use std::{fmt, sync::Arc, time::SystemTime};

use equipoise_core::EndpointId;
use http::{HeaderMap, request::Parts};

pub use self::cookie::{EndpointNaming, InvalidNaming};
pub(crate) use self::found::{Found, Settlement};
use crate::{
    cookie::PersistenceCookie,
    key::SessionKey,
    learn::{Learn, Route},
    members::PoolMembers,
    outcome::UnboundReason,
    store::{Guarded, SessionStore},
};

/// How a session is recognised, and where its endpoint is stored.
///
/// | mode | what identifies the session | where its endpoint is stored |
/// | --- | --- | --- |
/// | [`none`](Self::none) | nothing | nowhere |
/// | [`hash`](Self::hash) | a key: source address, header, query, path, cookie, a closure | nowhere: a hashing strategy computes it |
/// | [`table`](Self::table) | such a key | in a session store |
/// | [`cookie`](Self::cookie) | a cookie that the balancer sets | in that cookie |
/// | [`learn`](Self::learn) | a cookie or header that the backend sets | in a session store |
/// | [`route`](Self::route) | a cookie or header that the backend sets | in it: a part of its value names the endpoint |
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
    /// No affinity. Every request goes where the strategy says, and responses have no
    /// [`AffinityOutcome`](crate::AffinityOutcome).
    pub fn none() -> Self {
        Self(Kind::None)
    }

    /// The strategy places requests by this key. It must be a hashing one, such as [`Maglev`](equipoise_core::Maglev),
    /// [`Ring`](equipoise_core::Ring), [`Rendezvous`](equipoise_core::Rendezvous) or
    /// [`BoundedLoad`](equipoise_core::BoundedLoad) over one of them. With others,
    /// [`Affinity::new`](crate::Affinity::new) returns an error.
    ///
    /// Nothing is stored, and all balancers agree. But a few keys move whenever the pool changes, and move back when
    /// the change is undone.
    pub fn hash(key: SessionKey) -> Self {
        Self(Kind::Hash(key))
    }

    /// The first request with a key goes where the strategy says. Later ones go to the same endpoint, for as long as
    /// `store` remembers it. A session is bound when the head of its first response arrives. Clients can invent keys:
    /// [`Affinity::session_limit`](crate::Affinity::session_limit) limits how many sessions each may start.
    ///
    /// A [`SessionTable`](crate::table::SessionTable) serves one pool. Other stores may serve several: see
    /// [`SessionStore`].
    pub fn table(key: SessionKey, store: Arc<dyn SessionStore>) -> Self {
        Self(Kind::Table(key, Guarded::new(store)))
    }

    /// The balancer sets a cookie, or changes one that the backend sets: HAProxy's `cookie`. `naming` determines how
    /// the cookie's value names an endpoint.
    pub fn cookie(cookie: PersistenceCookie, naming: EndpointNaming) -> Self {
        Self(Kind::Cookie(cookie, naming))
    }

    /// A request with a session key that a backend once set (in a cookie such as `JSESSIONID`, or in a header) goes to
    /// that backend: nginx's `sticky learn`, HAProxy's `stick store-response` with `stick match`.
    ///
    /// Only keys that backends set enter `store`, so clients cannot add keys of their own. But if a backend creates a
    /// session for each request without one, any client can fill the store:
    /// [`Affinity::session_limit`](crate::Affinity::session_limit) limits that. As in mode [`table`](Self::table), a
    /// store may be for one pool only.
    pub fn learn(learn: Learn, store: Arc<dyn SessionStore>) -> Self {
        Self(Kind::Learn(learn, Guarded::new(store)))
    }

    /// A part of the key that the backend sets names the endpoint by its id: Tomcat's `jvmRoute`, nginx's `sticky
    /// route`.
    ///
    /// A request has no binding if it names an endpoint that is not in the pool and has not left it recently (among the
    /// last 1,024 departures that this balancer has seen). So an invented id costs only a lookup.
    pub fn route(learn: Learn, route: Route) -> Self {
        Self(Kind::Route(learn, route))
    }

    /// The mode for one pool, whose endpoints no other pool shares.
    pub(crate) fn into_kind(self) -> Kind {
        match self.0 {
            Kind::Cookie(cookie, naming) => Kind::Cookie(cookie, naming.for_pool()),
            kind => kind,
        }
    }
}

impl Kind {
    /// Finds the request's session and its endpoint, as far as they are known at once. Removes from the head what the
    /// endpoint is not to see.
    pub(crate) fn find(&self, head: &mut Parts, now: SystemTime, members: &PoolMembers, forced: bool) -> Found {
        let found = match self {
            Self::None => Found::unbound(UnboundReason::Off),
            Self::Hash(key) => keyed::find_by_hash(key, head),
            Self::Table(key, store) => keyed::find_in_table(key, store, head),
            Self::Cookie(cookie, naming) => cookie::find(cookie, naming, head, now, members, forced),
            Self::Learn(learn, store) => keyed::find_learned(learn, store, head),
            Self::Route(learn, route) => keyed::find_by_route(learn, *route, head, members),
        };
        Found { forced, ..found }
    }

    /// Prepares a request that is not to be bound: its cookie is removed in mode `cookie`.
    pub(crate) fn disregard(&self, head: &mut Parts) -> Found {
        match self {
            Self::Cookie(cookie, _) => cookie::disregard(cookie, head),
            _ => Found::unbound(UnboundReason::Off),
        }
    }

    /// Stores the session's binding in the store or in the response's cookie. Returns whether the session is bound to
    /// the endpoint that answered, and was not before.
    pub(crate) fn settle(&self, settlement: &Settlement<'_>, headers: &mut HeaderMap) -> bool {
        match self {
            Self::None | Self::Hash(_) | Self::Route(..) => false,
            Self::Table(_, store) => keyed::settle_in_table(store, settlement),
            Self::Cookie(cookie, naming) => cookie::settle(cookie, naming, settlement, headers),
            Self::Learn(learn, store) => keyed::settle_learned(learn, store, settlement, headers),
        }
    }

    /// Whether bindings are kept in a store.
    pub(crate) fn has_store(&self) -> bool {
        matches!(self, Self::Table(..) | Self::Learn(..))
    }

    /// Brings the mode up to date with the pool's members, unless another thread is doing so.
    pub(crate) fn follow(&self, members: &PoolMembers) -> Result<(), InvalidNaming> {
        let on_departure = |id: &EndpointId| {
            if let Self::Table(_, store) | Self::Learn(_, store) = self {
                store.left(id);
            }
        };
        let followed = members.follow(false, on_departure, |endpoints| match self {
            Self::Cookie(cookie, naming) => naming.set_members(cookie, endpoints),
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
            Kind::Cookie(cookie, naming) => f.debug_tuple("cookie").field(cookie).field(naming).finish(),
            Kind::Learn(learn, _) => f.debug_tuple("learn").field(learn).finish_non_exhaustive(),
            Kind::Route(learn, route) => f.debug_tuple("route").field(learn).field(route).finish(),
        }
    }
}
