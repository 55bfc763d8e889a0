//! What all functions of a route are added to, and what they are built from.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use equipoise::{
    gateway::stack::{AnyBody, Functions, InvalidFunctions},
    proxy::error::ErrorResponses,
};
use http::{Request, Response};
use hyper::body::Body;
use tower::Service;

use super::service::{BoxError, Functional, RoutePlace};
use crate::config::{Errors, HttpListener};

/// The functions of a route, or of a listener before its routes. Their order does not depend on that in which they are added.
pub(crate) struct Chain {
    functions: Functions,
    is_empty: bool,
    /// The place of the route, if a function needs it.
    pub(super) place: Option<RoutePlace>,
}

impl Chain {
    pub(super) fn new(errors: &ErrorResponses) -> Self {
        Self { functions: Functions::new().errors(errors.clone()), is_empty: true, place: None }
    }

    /// Adds a function.
    pub(super) fn add(&mut self, add: impl FnOnce(Functions) -> Functions) {
        self.functions = add(std::mem::take(&mut self.functions));
        self.is_empty = false;
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Returns what completes the responses of the proxy itself.
    pub(crate) fn own_responses(
        &self,
    ) -> impl Fn(Request<()>, Response<Bytes>) -> Response<Bytes> + Send + Sync + 'static + use<> {
        self.functions.own_responses()
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
    pub(super) bind: SocketAddr,
    /// The number of the listener among those with mode "http", from 1.
    pub(super) number: usize,
    pub(super) errors: &'e ErrorResponses,
    /// What the errors were built from.
    pub(super) errors_table: &'e Errors,
    /// How long the proxy waits for the head of a response.
    pub(super) head: Duration,
    /// Whether clients are asked for certificates.
    pub(super) has_client_ca: bool,
}

impl<'e> Shared<'e> {
    pub(crate) fn new(listener: &'e HttpListener, number: usize, errors: &'e ErrorResponses) -> Self {
        let tls = listener.tls.iter().flat_map(|tls| &tls.get_ref().0);
        Self {
            bind: *listener.bind.get_ref(),
            number,
            errors,
            errors_table: &listener.errors,
            head: *listener.timeouts.head.get_ref(),
            has_client_ca: tls.into_iter().any(|tls| tls.client_ca.is_some()),
        }
    }

    /// Returns a place in the words of all gateways with the same listeners and routes: with the number of the listener in
    /// place of its address.
    pub(super) fn place(&self, place: &str) -> RoutePlace {
        let conditions = place.strip_prefix(&self.bind.to_string()).unwrap_or(place);
        RoutePlace::new(&format!("{}{conditions}", self.number))
    }
}
