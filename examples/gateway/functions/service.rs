//! A service with or without functions around it. Without functions, requests cost no allocation more.

use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise::gateway::stack::{AnyBody, FunctionsFuture, FunctionsService};
use futures::{
    TryFutureExt,
    future::{Either, ErrInto, MapOk},
};
use http::{Request, Response};
use hyper::body::Body;
use tower::Service;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A service, or the functions around it.
pub(crate) enum Functional<S, B, R> {
    Plain(S),
    With(FunctionsService<B, R>, Option<RoutePlace>),
}

/// The place of the route of a request, in its extensions, if a function needs it. It is the same in all gateways with the
/// same listeners and routes, whatever their addresses are.
#[derive(Clone)]
pub(crate) struct RoutePlace(Arc<str>);

impl RoutePlace {
    pub(super) fn new(place: &str) -> Self {
        Self(place.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Clone, B, R> Clone for Functional<S, B, R> {
    fn clone(&self) -> Self {
        match self {
            Self::Plain(service) => Self::Plain(service.clone()),
            Self::With(service, place) => Self::With(service.clone(), place.clone()),
        }
    }
}

type Plain<F, R> = MapOk<F, fn(Response<R>) -> Response<AnyBody<R>>>;

impl<S, B, R> Service<Request<B>> for Functional<S, B, R>
where
    S: Service<Request<AnyBody<B>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
{
    type Response = Response<AnyBody<R>>;
    type Error = BoxError;
    type Future = Either<ErrInto<Plain<S::Future, R>, BoxError>, ErrInto<FunctionsFuture<R>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Plain(service) => service.poll_ready(cx).map_err(Into::into),
            Self::With(service, _) => service.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self {
            Self::Plain(service) => {
                let untouched: fn(_) -> _ = |response: Response<R>| response.map(AnyBody::untouched);
                Either::Left(service.call(request.map(AnyBody::untouched)).map_ok(untouched).err_into())
            }
            Self::With(service, place) => {
                if let Some(place) = place {
                    request.extensions_mut().insert(place.clone());
                }
                Either::Right(service.call(request).err_into())
            }
        }
    }
}
