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
mod redirect;
mod service;
mod unmatched;

use std::net::SocketAddr;

use bytes::Bytes;
use equipoise::proxy::error::ErrorResponses;
use http::{HeaderName, Request, Response};
use hyper::body::Body;
use tower::{Layer, Service};

use self::limit::Stage;
pub(crate) use self::{
    cache::{CacheNote, CacheStores, Purged, purge, store},
    clients::PoolClients,
    kept::{CheckedFunctions, Function, Functions, NewFunctions},
    service::{AnyBodies, AnyBody, AnyService, BoxError, Functional, any_service},
    unmatched::Unmatched,
};
use crate::{
    config::{Errors, HttpListener, Tables},
    context::Context,
    source::{ConfigError, Source},
};

/// Puts a function around a service.
type Around = Box<dyn Fn(AnyService) -> AnyService>;

/// The functions of a route, or of a listener before its routes.
#[derive(Default)]
pub(crate) struct Chain(Vec<Around>);

impl Chain {
    /// Adds a function inside of those that were added before.
    fn push<L, R>(&mut self, layer: L)
    where
        L: Layer<AnyService> + 'static,
        L::Service: Service<Request<AnyBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<AnyBody>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<AnyBody>>>::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.0.push(Box::new(move |service| any_service(layer.layer(service))));
    }

    /// Adds a function that changes request bodies, inside of those that were added before.
    fn push_for_bodies<L, R>(&mut self, layer: L)
    where
        L: Layer<AnyBodies> + 'static,
        L::Service: Service<Request<AnyBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<AnyBody>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<AnyBody>>>::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.0.push(Box::new(move |service| any_service(layer.layer(AnyBodies(service)))));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the functions around a service. They share their states with those around other services.
    pub(crate) fn around<S, R>(&self, service: S) -> Functional<S>
    where
        S: Service<Request<AnyBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        match self.is_empty() {
            true => Functional::Plain(service),
            false => Functional::With(self.around_any(any_service(service))),
        }
    }

    pub(crate) fn around_any(&self, service: AnyService) -> AnyService {
        self.0.iter().rev().fold(service, |inner, around| around(inner))
    }
}

/// What the routes of a listener need besides their tables.
pub(crate) struct Shared<'e> {
    bind: SocketAddr,
    errors: &'e ErrorResponses,
    /// What the errors were built from.
    errors_table: &'e Errors,
    /// The fields that tell backends about identities, on any route. Clients must not set them on any.
    identity_fields: Vec<HeaderName>,
}

impl<'e> Shared<'e> {
    pub(crate) fn new<'t>(
        listener: &'e HttpListener,
        routes: impl Iterator<Item = Tables<'t>>,
        errors: &'e ErrorResponses,
        source: &Source,
    ) -> Result<Self, ConfigError> {
        let (bind, errors_table) = (*listener.bind.get_ref(), &listener.errors);
        Ok(Self { bind, errors, errors_table, identity_fields: auth::all_fields(routes, source)? })
    }

    /// Builds the functions of a route, in the safe order: the first one is the outermost.
    pub(crate) fn route(&self, tables: Tables<'_>, context: Context<'_>) -> Result<Chain, ConfigError> {
        let mut chain = Chain::default();
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
        cache::add(&mut chain, tables, self, context)?;
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
        let mut chain = Chain::default();
        browser::add_request_ids(&mut chain, listener, context.source)?;
        filter::add_paths(&mut chain, (listener.paths.as_ref(), place), self, context)?;
        Ok(chain)
    }
}
