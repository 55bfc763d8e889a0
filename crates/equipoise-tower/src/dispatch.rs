use equipoise_core::{Endpoint, Lease};
use tower_service::Service;

use crate::{error::PointError, point::PointAt};

/// Where the service for a picked endpoint comes from: [`Targets`] or [`Shared`].
#[diagnostic::on_unimplemented(
    message = "the services of this balancer do not take requests of type `{Req}`",
    label = "no `Service<{Req}>` below this balancer",
    note = "the client below the balancer, or the pool's targets (`{T}`), must be services of exactly this request type, with the same body type",
    note = "a client that is built for another body, such as `Client<_, Incoming>`, must be built for the wrapped one: `build_http::<equipoise::tower::Replayable<Incoming>>()`"
)]
pub trait Dispatch<T, Req>: sealed::Sealed {
    /// The service that the request is sent through.
    type Service: Service<Req>;

    /// Whether [`point`](Self::point) leaves requests as they are, so that one that was not sent may go to another
    /// endpoint.
    const LEAVES_REQUESTS: bool;

    /// The service for this lease.
    fn service(&self, lease: &Lease<T>) -> Self::Service;

    /// Makes the request one to this endpoint.
    ///
    /// # Errors
    ///
    /// When the request cannot go to the endpoint, or not to any: see [`PointError`].
    fn point(&self, request: &mut Req, endpoint: &Endpoint) -> Result<(), PointError>;
}

/// The pool's targets are the services: each request goes through a clone of the picked endpoint's.
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

/// One client serves all endpoints: each request is [pointed](PointAt) at the picked one and goes through a clone.
#[derive(Clone, Copy, Debug)]
pub struct Shared<C>(pub(crate) C);

// So that the compile error is this trait's, with its advice, and not that of `Service`.
#[diagnostic::do_not_recommend]
impl<T, C, Req> Dispatch<T, Req> for Shared<C>
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
    impl<C> Sealed for super::Shared<C> {}
}
