//! What is known about one request while it is served.

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

/// What was found for a request. It is kept until the response.
#[derive(Debug)]
pub(crate) struct Found {
    /// The endpoint that the session is bound to, or why there is none.
    pub(crate) endpoint: Result<EndpointId, UnboundReason>,
    /// The session's key. A store remembers the session by it, and another endpoint is selected by it.
    pub(crate) key: Option<Bytes>,
    /// Whether the strategy places the request by its key.
    pub(crate) keyed: bool,
    /// The session store's answer, while it is awaited.
    pub(crate) lookup: Option<Lookup>,
    /// Whether the request goes to its endpoint in every availability.
    pub(crate) forced: bool,
    /// The client's address, if new sessions are limited by it and it is known.
    pub(crate) client: Option<IpAddr>,
    /// The state of the request's cookie. It and the fields below are used in mode `cookie` only.
    pub(super) cookie_state: CookieState,
    pub(super) method: Method,
    /// The session that the cookie's token names. The next token continues it.
    pub(super) token_session: Option<TokenSession>,
    /// Whether the cookie is to be set again although its endpoint stays.
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

    /// Takes the session store's answer.
    pub(crate) fn set_answer(&mut self, answer: StoreAnswer) {
        self.endpoint = answer.map_err(UnboundReason::from).and_then(|id| id.ok_or(UnboundReason::Unknown));
    }

    /// Whether the session had an endpoint that has left the pool, and whose id is not known.
    pub(crate) fn has_lost_endpoint(&self) -> bool {
        matches!(self.endpoint, Err(UnboundReason::Token(InvalidToken::UnknownEndpoint { .. })))
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
