//! The end of requests that no route matches. The functions of the listener are around it.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use equipoise::{
    proxy::{
        ProxyError,
        route::{Missed, Routes},
    },
    tower::RequestHead,
};
use http::{Request, Response};
use tower::Service;

use crate::backend::RoutedBody;

/// A service that fails as a router without a route for the request does.
#[derive(Clone)]
pub(crate) struct Unmatched {
    /// The conditions of the other routes.
    routes: Arc<Routes<()>>,
}

impl Unmatched {
    pub(crate) fn new(routes: Routes<()>) -> Self {
        Self { routes: Arc::new(routes) }
    }
}

impl<B> Service<Request<B>> for Unmatched {
    type Response = Response<RoutedBody>;
    type Error = ProxyError;
    type Future = Ready<Result<Response<RoutedBody>, ProxyError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Err(match self.routes.find(RequestHead::of(&request)) {
            Err(Missed::Host) => ProxyError::NoHost,
            _ => ProxyError::NoRoute,
        }))
    }
}
