//! Modes of session affinity. A mode determines how the session of a request is recognised, and where the endpoint of
//! the session is stored.

mod cookie;
mod found;
mod keyed;
mod naming;

use std::{fmt, sync::Arc, time::SystemTime};

use equipoise_core::EndpointId;
use http::{HeaderMap, request::Parts};

pub(crate) use self::found::{Found, Settlement};
pub use self::naming::{EndpointNaming, InvalidNaming};
use crate::{
    cookie::PersistenceCookie,
    key::SessionKey,
    learn::{Learn, Route},
    members::PoolMembers,
    outcome::UnboundReason,
    store::{Guarded, SessionStore},
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
    /// Finds the session of the request, and the session's endpoint if that is known without waiting. Removes from the
    /// head what endpoints must not see.
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

    /// Prepares a request to which affinity does not apply. In mode `cookie`, removes from the head what endpoints must
    /// not see.
    pub(crate) fn disregard(&self, head: &mut Parts) -> Found {
        match self {
            Self::Cookie(cookie, _) => cookie::disregard(cookie, head),
            _ => Found::unbound(UnboundReason::Off),
        }
    }

    /// Stores the session's binding in the session store or in the response's cookie. Returns whether a new binding to
    /// the endpoint that answered was stored.
    pub(crate) fn settle(&self, settlement: &Settlement<'_>, headers: &mut HeaderMap) -> bool {
        match self {
            Self::None | Self::Hash(_) | Self::Route(..) => false,
            Self::Table(_, store) => keyed::settle_in_table(store, settlement),
            Self::Cookie(cookie, naming) => cookie::settle(cookie, naming, settlement, headers),
            Self::Learn(learn, store) => keyed::settle_learned(learn, store, settlement, headers),
        }
    }

    /// Whether the mode stores bindings in a session store.
    pub(crate) fn has_store(&self) -> bool {
        matches!(self, Self::Table(..) | Self::Learn(..))
    }

    /// Updates the mode with the pool's current members. Does nothing if they have not changed, or if another thread is
    /// doing this.
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
