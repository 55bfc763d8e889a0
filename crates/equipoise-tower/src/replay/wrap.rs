use std::task::{Context, Poll};

use http::Request;
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::Replayable;
use crate::{
    balance::{Balance, ResponseFuture},
    dispatch::Dispatch,
    error::BoxError,
    protocol::Protocol,
};

/// A service that wraps the bodies of incoming requests in [`Replayable`], of any type, before the balancer within gets
/// them. Made by [`Balance::incoming`](crate::Balance::incoming) and
/// [`BalanceLayer::incoming`](crate::BalanceLayer::incoming).
#[derive(Clone, Copy, Debug)]
pub struct ReplayBodies<S>(S);

impl<S> ReplayBodies<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self(inner)
    }

    /// The balancer within.
    pub fn get_ref(&self) -> &S {
        &self.0
    }
}

impl<T, D, P> ReplayBodies<Balance<T, D, P>> {
    /// Sends the request: the same as [`Service::call`], with better compile errors. See [`Balance::call`].
    pub fn call<B>(&mut self, request: Request<B>) -> ResponseFuture<T, D, P, Request<Replayable<B>>>
    where
        B: Body + Unpin,
        T: Send + Sync + 'static,
        D: Dispatch<T, Request<Replayable<B>>> + Clone,
        <D::Service as Service<Request<Replayable<B>>>>::Error: Into<BoxError>,
        P: Protocol<Request<Replayable<B>>, <D::Service as Service<Request<Replayable<B>>>>::Response>,
    {
        self.0.call(request.map(Replayable::new))
    }

    /// Sends one request: the same as `tower::ServiceExt::oneshot`, with better compile errors. See [`Balance::call`].
    pub fn oneshot<B>(self, request: Request<B>) -> ResponseFuture<T, D, P, Request<Replayable<B>>>
    where
        B: Body + Unpin,
        T: Send + Sync + 'static,
        D: Dispatch<T, Request<Replayable<B>>> + Clone,
        <D::Service as Service<Request<Replayable<B>>>>::Error: Into<BoxError>,
        P: Protocol<Request<Replayable<B>>, <D::Service as Service<Request<Replayable<B>>>>::Response>,
    {
        self.0.oneshot(request.map(Replayable::new))
    }
}

impl<S, B> Service<Request<B>> for ReplayBodies<S>
where
    S: Service<Request<Replayable<B>>>,
    B: Body + Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.0.call(request.map(Replayable::new))
    }
}

/// The layer of [`ReplayBodies`] over the balancer of a [`BalanceLayer`](crate::BalanceLayer).
#[derive(Clone, Debug)]
pub struct ReplayBodiesLayer<L>(L);

impl<L> ReplayBodiesLayer<L> {
    pub(crate) fn new(inner: L) -> Self {
        Self(inner)
    }
}

impl<L: Layer<C>, C> Layer<C> for ReplayBodiesLayer<L> {
    type Service = ReplayBodies<L::Service>;

    fn layer(&self, client: C) -> Self::Service {
        ReplayBodies(self.0.layer(client))
    }
}
