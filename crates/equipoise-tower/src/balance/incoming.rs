use std::task::{Context, Poll};

use http::Request;
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{attempt::Dispatch, future::ResponseFuture, layer::BalanceLayer, service::Balance};
use crate::{error::BoxError, protocol::Protocol, replay::Replayable};

/// A service for servers: it wraps the body of each request in [`Replayable`], and passes the request to a balancer.
/// Failover can then send the body again, whatever the type of the body is.
/// [`Balance::incoming`](crate::Balance::incoming) and [`BalanceLayer::incoming`](crate::BalanceLayer::incoming) create
/// this service.
#[derive(Clone, Copy, Debug)]
pub struct ReplayBodies<S>(S);

impl<S> ReplayBodies<S> {
    fn new(inner: S) -> Self {
        Self(inner)
    }

    /// Returns a reference to the balancer that this service wraps.
    pub fn get_ref(&self) -> &S {
        &self.0
    }
}

impl<T, D, P> ReplayBodies<Balance<T, D, P>> {
    /// Wraps the request's body in [`Replayable`] and sends the request. This method does the same as
    /// [`Service::call`], but gives clearer compiler errors: if a trait bound is not met, the error names the bound.
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

    /// Wraps the request's body in [`Replayable`] and sends the request. This method does the same as
    /// `tower::ServiceExt::oneshot`, but gives clearer compiler errors: if a trait bound is not met, the error names
    /// the bound.
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

/// A layer that builds a balancer and wraps the balancer in [`ReplayBodies`]. The resulting service accepts requests
/// with bodies of any type. [`BalanceLayer::incoming`](crate::BalanceLayer::incoming) creates this layer.
#[derive(Clone, Debug)]
pub struct ReplayBodiesLayer<L>(L);

impl<L> ReplayBodiesLayer<L> {
    fn new(inner: L) -> Self {
        Self(inner)
    }
}

impl<L: Layer<C>, C> Layer<C> for ReplayBodiesLayer<L> {
    type Service = ReplayBodies<L::Service>;

    fn layer(&self, client: C) -> Self::Service {
        ReplayBodies(self.0.layer(client))
    }
}

impl<T, D, P> Balance<T, D, P> {
    /// Wraps this balancer in a service for use in a server. The new service accepts requests with bodies of any type.
    /// It wraps each body in [`Replayable`], so that failover can send the body again. See [`BalanceLayer::incoming`].
    #[must_use]
    pub fn incoming(self) -> ReplayBodies<Self> {
        ReplayBodies::new(self)
    }
}

impl<T, P> BalanceLayer<T, P> {
    /// Returns a layer for servers. The layer's service accepts requests with bodies of any type, such as hyper's
    /// `Incoming` or axum's `Body`. The service wraps each body in [`Replayable`](crate::Replayable), so that failover
    /// can send the body again.
    ///
    /// The client below the balancer must accept bodies of the type `Replayable<…>`. Let the compiler infer the
    /// client's body type, or write `build_http::<Replayable<Incoming>>()`.
    ///
    /// ```no_run
    /// use std::convert::Infallible;
    ///
    /// use equipoise_core::{EndpointSpec, Pool};
    /// use equipoise_tower::{BalanceLayer, Error};
    /// use http::Request;
    /// use hyper::body::Incoming;
    /// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    /// use tower::Layer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = Pool::default();
    /// pool.update(["127.0.0.1:8001", "127.0.0.1:8002"].map(EndpointSpec::new), |_| ())?;
    /// let client = Client::builder(TokioExecutor::new()).build_http();
    /// let balanced = BalanceLayer::new(pool).check_addresses()?.incoming().layer(client);
    /// let gateway = move |request: Request<Incoming>| {
    ///     let balanced = balanced.clone();
    ///     async move { balanced.oneshot(request).await.map_err(|error: Error| error.status()) }
    /// };
    /// # drop(gateway);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn incoming(self) -> ReplayBodiesLayer<Self> {
        ReplayBodiesLayer::new(self)
    }
}
