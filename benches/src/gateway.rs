//! A call of a layer of a gateway over a service that answers at once, so that only the layer is measured.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{Request, Response, StatusCode};
use tower_service::Service;

/// A service that answers at once.
#[derive(Clone, Copy, Debug)]
pub struct Backend;

impl Service<Request<()>> for Backend {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

/// Sends one request, and checks the status of the response.
///
/// # Panics
/// Panics if the response does not come at once, or has another status.
pub fn send<S, R>(service: &mut S, request: Request<()>, status: StatusCode)
where
    S: Service<Request<()>, Response = Response<R>, Error = Infallible>,
{
    let mut future = pin!(service.call(request));
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => assert_eq!(response.status(), status),
        Poll::Ready(Err(error)) => match error {},
        Poll::Pending => panic!("a decision that is not made at once"),
    }
}
