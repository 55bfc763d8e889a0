use equipoise_core::{Endpoint, Lease};
use tower_service::Service;

use crate::{error::PointError, point::PointAt};

/// How a request reaches a picked endpoint: through the pool's target ([`Targets`]) or through one client for all endpoints
/// ([`SharedClient`]). Implemented by these two types only.
#[diagnostic::on_unimplemented(
    message = "the services of this balancer do not take requests of type `{Req}`",
    label = "no `Service<{Req}>` below this balancer",
    note = "the client below the balancer, or the pool's targets (`{T}`), must be services of exactly this request type, with the same body type",
    note = "a client that is built for another body, such as `Client<_, Incoming>`, must be built for the wrapped one: `build_http::<equipoise::tower::Replayable<Incoming>>()`"
)]
pub trait Dispatch<T, Req>: sealed::Sealed {
    /// The service through which the request is sent.
    type Service: Service<Req>;

    /// Whether [`point`](Self::point) leaves requests unchanged. Then a request that was not sent can go to another endpoint
    /// without a copy.
    const LEAVES_REQUESTS: bool;

    /// Returns the service for this lease.
    fn service(&self, lease: &Lease<T>) -> Self::Service;

    /// Changes the request so that it goes to this endpoint.
    ///
    /// # Errors
    ///
    /// If the request cannot be sent to this endpoint, or to any endpoint: see [`PointError`].
    fn point(&self, request: &mut Req, endpoint: &Endpoint) -> Result<(), PointError>;
}

/// Sends requests through the pool's targets, which are services: each request goes through a clone of the picked
/// endpoint's target.
#[derive(Clone, Copy, Debug, Default)]
pub struct Targets;

#[diagnostic::do_not_recommend]
impl<T, Req> Dispatch<T, Req> for Targets
where
    T: Service<Req> + Clone + Send + Sync + 'static,
{
    type Service = T;

    const LEAVES_REQUESTS: bool = true;

    fn service(&self, lease: &Lease<T>) -> T {
        lease.target().clone()
    }

    fn point(&self, _: &mut Req, _: &Endpoint) -> Result<(), PointError> {
        Ok(())
    }
}

/// Sends all requests through one client: each request is [pointed](PointAt) at the picked endpoint and goes through a clone
/// of the client.
#[derive(Clone, Copy, Debug)]
pub struct SharedClient<C>(pub(crate) C);

// So that the compile error is this trait's, with its advice, and not that of `Service`.
#[diagnostic::do_not_recommend]
impl<T, C, Req> Dispatch<T, Req> for SharedClient<C>
where
    C: Service<Req> + Clone,
    Req: PointAt,
{
    type Service = C;

    const LEAVES_REQUESTS: bool = false;

    fn service(&self, _: &Lease<T>) -> C {
        self.0.clone()
    }

    fn point(&self, request: &mut Req, endpoint: &Endpoint) -> Result<(), PointError> {
        request.point_at(endpoint)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Targets {}
    impl<C> Sealed for super::SharedClient<C> {}
}
