//! The state of one request with session affinity, from the request until its response.

use std::{net::IpAddr, time::SystemTime};

use bytes::Bytes;
use equipoise_core::EndpointId;
use http::{Method, StatusCode};

use crate::{
    cookie::CookieState,
    members::PoolMembers,
    outcome::UnboundReason,
    store::{Lookup, StoreAnswer},
    token::{InvalidToken, TokenSession},
};

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
    pub(super) cookie_state: CookieState,
    pub(super) method: Method,
    /// The session in the cookie's token. The next token gets the same session.
    pub(super) token_session: Option<TokenSession>,
    /// Whether the response must set the cookie again although the session's endpoint has not changed.
    pub(super) renew: bool,
}

impl Found {
    pub(super) fn unbound(reason: UnboundReason) -> Self {
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
