//! A call of `Balance` over a service that answers at once, so that only the balancer is measured.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use equipoise_core::{EndpointSpec, Pool};
use equipoise_tower::{Balance, PlainProtocol, Targets};
use http::{Request, Response};
use http_body_util::Full;
use tower_service::Service;

use crate::Kind;

/// An HTTP request with an empty body.
pub type Req = Request<Full<Bytes>>;
/// An HTTP response with a body.
pub type Res = Response<Full<Bytes>>;

/// A service that answers at once.
#[derive(Clone, Copy, Debug)]
pub struct Immediate;

impl Service<u64> for Immediate {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

impl Service<Req> for Immediate {
    type Response = Res;
    type Error = Infallible;
    type Future = Ready<Result<Res, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        drop(black_box(request));
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"answer")))))
    }
}

/// Creates a pool of `n` immediate services.
///
/// # Panics
///
/// Never: the endpoints are valid.
pub fn immediate(kind: Kind, n: usize) -> Pool<Immediate> {
    let pool = Pool::new(kind.strategy());
    pool.update((0..n).map(|at| EndpointSpec::new(format!("10.0.0.{at}:80"))), |_| Immediate).expect("valid endpoints");
    pool
}

/// A balancer for any request type: pick, lease, call, verdict.
pub fn bare<R>(
    pool: Pool<Immediate>,
) -> Balance<Immediate, Targets, PlainProtocol<R, <Immediate as Service<R>>::Response>>
where
    Immediate: Service<R>,
{
    Balance::with_protocol(pool, PlainProtocol::new())
}

/// A GET with three headers, as small as real requests.
pub fn get() -> Req {
    let mut request = Request::new(Full::default());
    let headers = request.headers_mut();
    headers.insert(http::header::HOST, http::HeaderValue::from_static("orders"));
    headers.insert(http::header::ACCEPT, http::HeaderValue::from_static("*/*"));
    headers.insert(http::header::USER_AGENT, http::HeaderValue::from_static("bench"));
    request
}

/// Makes one call and polls its future to the end.
///
/// # Panics
///
/// The service is not immediate, or fails.
#[inline]
pub fn answer<S, R>(service: &mut S, request: R) -> S::Response
where
    S: Service<R>,
{
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(service.call(request)).poll(&mut cx) {
        Poll::Ready(Ok(response)) => response,
        _ => panic!("an immediate service answers at once"),
    }
}

/// Makes one call and drops the response.
///
/// # Panics
///
/// The service is not immediate, or fails.
#[inline]
pub fn call<S, R>(service: &mut S, request: R)
where
    S: Service<R>,
{
    drop(black_box(answer(service, request)));
}
