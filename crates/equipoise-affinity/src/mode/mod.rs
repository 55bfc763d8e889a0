//! How sessions are told, and where their bindings are kept.

mod cookie;
mod keyed;
mod learned;
mod routed;
mod table;
mod values;

use std::{fmt, sync::Arc, time::SystemTime};

use bytes::Bytes;
use equipoise_core::EndpointId;
use http::{HeaderMap, StatusCode, request::Parts};

pub(crate) use self::cookie::Memo;
pub use self::values::{InvalidValues, Values};
use crate::{
    cookie::PersistenceCookie,
    key::SessionKey,
    learn::{Learn, Route},
    outcome::Unbound,
    store::{Guarded, Lookup, SessionStore},
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

/// What a mode asks of the pool.
pub(crate) trait Members {
    /// Whether there is such an endpoint.
    fn has(&self, id: &EndpointId) -> bool;

    /// Whether it takes those who are bound to it.
    fn takes(&self, id: &EndpointId) -> bool;

    /// Whether there is such an endpoint, or has been lately.
    fn knows(&self, id: &EndpointId) -> bool;

    /// Returns when the mode has been [told](Kind::there) of everybody who is there now.
    fn catch_up(&self);
}

/// What a mode makes of a request.
pub(crate) struct Sought {
    pub(crate) home: Home,
    /// What tells the session from others: by it the strategy places, a store remembers, and somebody stands in.
    pub(crate) session: Option<Bytes>,
    pub(crate) memo: Memo,
}

pub(crate) enum Home {
    /// It has none, or the endpoint is known.
    Known(Result<EndpointId, Unbound>),
    /// The endpoint has left, and nobody knows which it was.
    Lost(Unbound),
    /// The strategy shall place it.
    Keyed,
    /// The store has to be asked.
    Asked(Lookup),
}

impl Sought {
    /// By the key that a request brings, if it brings one.
    fn by_key(key: Result<Bytes, Unbound>, home: impl FnOnce(&[u8]) -> Home) -> Self {
        match key {
            Ok(key) => Self { home: home(&key), session: Some(key), memo: Memo::default() },
            Err(why) => Self::unbound(why),
        }
    }

    fn unbound(why: Unbound) -> Self {
        Self { home: Home::Known(Err(why)), session: None, memo: Memo::default() }
    }
}

/// What is to be remembered of a response.
pub(crate) struct Answer<'a> {
    /// Who answered.
    pub(crate) served: &'a EndpointId,
    /// Where the session belonged, if anywhere.
    pub(crate) home: Option<&'a EndpointId>,
    /// Whether it belongs to who answered, from now on.
    pub(crate) binds: bool,
    pub(crate) session: Option<&'a [u8]>,
    pub(crate) status: StatusCode,
    pub(crate) now: SystemTime,
    /// Counts a new session for the client, and returns whether it may be remembered.
    pub(crate) may_begin: &'a dyn Fn() -> bool,
    pub(crate) members: &'a dyn Members,
}

impl Kind {
    /// Whom the request belongs to, so far as it can be told at once. What the backend is not to see is taken out.
    pub(crate) fn seek(&self, head: &mut Parts, now: SystemTime, members: &dyn Members) -> Sought {
        match self {
            Self::None => Sought::unbound(Unbound::Off),
            Self::Hash(key) => keyed::seek(key, head),
            Self::Table(key, store) => table::seek(key, store, head),
            Self::Cookie(cookie, values) => cookie::seek(cookie, values, head, now, members),
            Self::Learn(learn, store) => learned::seek(learn, store, head),
            Self::Route(learn, route) => routed::seek(learn, *route, head, members),
        }
    }

    /// For a request that is not to be bound, whatever it brings.
    pub(crate) fn disregard(&self, head: &mut Parts) -> Sought {
        let mut sought = Sought::unbound(Unbound::Off);
        if let Self::Cookie(cookie, _) = self {
            sought.memo = cookie::disregard(cookie, head);
        }
        sought
    }

    /// Remembers it, and puts into the response what the client is to bring next time. Answers whether a session that is
    /// to be bound is bound now.
    pub(crate) fn settle(&self, memo: Memo, answer: &Answer<'_>, headers: &mut HeaderMap) -> bool {
        match self {
            Self::None | Self::Hash(_) | Self::Route(..) => false,
            Self::Table(_, store) => unless_gone(store, answer, || table::settle(store, answer)),
            Self::Cookie(cookie, values) => cookie::settle(cookie, values, memo, answer, headers),
            Self::Learn(learn, store) => unless_gone(store, answer, || learned::settle(learn, store, answer, headers)),
        }
    }

    /// Whether sessions are remembered in a store.
    pub(crate) fn has_store(&self) -> bool {
        matches!(self, Self::Table(..) | Self::Learn(..))
    }

    /// An endpoint has left.
    pub(crate) fn left(&self, endpoint: &EndpointId) {
        if let Self::Table(_, store) | Self::Learn(_, store) = self {
            store.left(endpoint);
        }
    }

    /// These are there.
    pub(crate) fn there(&self, endpoints: &[(EndpointId, String)]) -> Result<(), InvalidValues> {
        match self {
            Self::Cookie(cookie, values) => values.there(cookie, endpoints),
            _ => Ok(()),
        }
    }
}

/// Remembers who answered, unless that one has left meanwhile: nobody would tell the store so again, and if it ever came
/// back, so would a binding from before.
fn unless_gone(store: &Guarded, answer: &Answer<'_>, settle: impl FnOnce() -> bool) -> bool {
    // Who joined after the request came has to be known, or nobody sees it leave.
    answer.members.catch_up();
    if !settle() {
        return false;
    }
    // Asked only now: whoever leaves after this is told of as everybody is.
    let there = answer.members.has(answer.served);
    if !there {
        store.left(answer.served);
    }
    there
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
