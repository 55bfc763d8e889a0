//! The functions of the gateway around pools and listeners, such as authentication. `config/functions` has their tables.

mod auth;
mod body;
mod browser;
mod cache;
mod clients;
mod compression;
mod file;
mod filter;
mod headers;
mod jwt;
mod kept;
mod limit;
mod maintenance;
mod names;
mod redirect;
mod redis;
mod schemes;
mod service;
mod unmatched;

use std::net::SocketAddr;

use bytes::Bytes;
use equipoise::{
    gateway::{
        self,
        stack::{AnyBody, InvalidFunctions},
    },
    proxy::error::ErrorResponses,
};
use http::{Request, Response};
use hyper::body::Body;
use tower::Service;

pub(crate) use self::{
    auth::identity_fields,
    cache::{CacheStores, Purged, purge, store},
    clients::PoolClients,
    kept::{CheckedFunctions, Function, Functions, NewFunctions},
    service::{BoxError, Functional},
    unmatched::Unmatched,
};
use self::{limit::Stage, service::RoutePlace};
use crate::{
    config::{Errors, HttpListener, Tables},
    context::Context,
    source::ConfigError,
};

/// The functions of a route, or of a listener before its routes. Their order does not depend on that in which they are added.
pub(crate) struct Chain {
    functions: gateway::stack::Functions,
    is_empty: bool,
    /// The place of the route, if a function needs it.
    place: Option<RoutePlace>,
}

impl Chain {
    fn new() -> Self {
        Self { functions: gateway::stack::Functions::new(), is_empty: true, place: None }
    }

    /// Adds a function.
    fn add(&mut self, add: impl FnOnce(gateway::stack::Functions) -> gateway::stack::Functions) {
        self.functions = add(std::mem::take(&mut self.functions));
        self.is_empty = false;
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Puts the functions around a service. They share their states with those around other services.
    ///
    /// # Errors
    ///
    /// The functions would leave a route open by mistake. Each function is checked before, with its place in the file.
    pub(crate) fn around<S, B, R>(&self, service: S) -> Result<Functional<S, B, R>, InvalidFunctions>
    where
        S: Service<Request<AnyBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        match self.is_empty {
            true => Ok(Functional::Plain(service)),
            false => self.only(service),
        }
    }

    /// Puts the functions around a service of any type.
    ///
    /// # Errors
    ///
    /// Those of `around`.
    pub(crate) fn only<S, T, B, R>(&self, service: T) -> Result<Functional<S, B, R>, InvalidFunctions>
    where
        T: Service<Request<AnyBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
        T::Error: Into<BoxError>,
        T::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.functions.layer(service).map(|service| Functional::With(service, self.place.clone()))
    }
}

/// What the routes of a listener need besides their tables.
pub(crate) struct Shared<'e> {
    bind: SocketAddr,
    /// The number of the listener among those with mode "http", from 1.
    number: usize,
    errors: &'e ErrorResponses,
    /// What the errors were built from.
    errors_table: &'e Errors,
    /// Whether clients are asked for certificates.
    has_client_ca: bool,
}

impl<'e> Shared<'e> {
    pub(crate) fn new(listener: &'e HttpListener, number: usize, errors: &'e ErrorResponses) -> Self {
        let tls = listener.tls.iter().flat_map(|tls| &tls.get_ref().0);
        Self {
            bind: *listener.bind.get_ref(),
            number,
            errors,
            errors_table: &listener.errors,
            has_client_ca: tls.into_iter().any(|tls| tls.client_ca.is_some()),
        }
    }

    /// Returns a place in the words of all gateways with the same listeners and routes: with the number of the listener in
    /// place of its address.
    fn place(&self, place: &str) -> RoutePlace {
        let conditions = place.strip_prefix(&self.bind.to_string()).unwrap_or(place);
        RoutePlace::new(&format!("{}{conditions}", self.number))
    }

    /// Builds the functions of a route, in the safe order: the first one is the outermost. `pool` is its pool, if it has one.
    pub(crate) fn route(
        &self,
        tables: Tables<'_>,
        pool: Option<&str>,
        context: Context<'_>,
    ) -> Result<Chain, ConfigError> {
        let mut chain = Chain::new();
        headers::add_of_responses(&mut chain, tables, context)?;
        filter::add(&mut chain, tables, self, context)?;
        maintenance::add(&mut chain, tables, self, context)?;
        redirect::add(&mut chain, tables, context)?;
        browser::add_cors(&mut chain, tables, context)?;
        limit::add(&mut chain, Stage::BeforeAuthentication, tables, self, context)?;
        auth::add(&mut chain, tables, self, context)?;
        limit::add(&mut chain, Stage::AfterAuthentication, tables, self, context)?;
        browser::add_csrf(&mut chain, tables, self, context)?;
        compression::add(&mut chain, tables, context)?;
        cache::add(&mut chain, (tables, pool), self, context)?;
        headers::add_of_requests(&mut chain, tables, context)?;
        compression::add_decompression(&mut chain, tables, self, context)?;
        body::add(&mut chain, tables, self, context)?;
        Ok(chain)
    }

    /// Builds the functions of a listener that run before a route is looked for.
    pub(crate) fn before_routes(
        &self,
        listener: &HttpListener,
        place: &str,
        context: Context<'_>,
    ) -> Result<Chain, ConfigError> {
        let mut chain = Chain::new();
        browser::add_request_ids(&mut chain, (listener, place), context)?;
        filter::add_paths(&mut chain, (listener.paths.as_ref(), place), self, context)?;
        Ok(chain)
    }
}
