//! A service with or without functions around it. Without functions, requests cost no allocation more.

use std::{
    error::Error,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise::gateway::stack::{AnyBody, FunctionsFuture, FunctionsService};
use futures::{
    TryFutureExt,
    future::{Either, MapErr, MapOk},
};
use http::{Request, Response};
use hyper::body::Body;
use tower::Service;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A service, or the functions around it.
pub(crate) enum Functional<S, B, R> {
    Plain(S),
    With(FunctionsService<B, R>),
}

impl<S: Clone, B, R> Clone for Functional<S, B, R> {
    fn clone(&self) -> Self {
        match self {
            Self::Plain(service) => Self::Plain(service.clone()),
            Self::With(service) => Self::With(service.clone()),
        }
    }
}

type Plain<F, R, E> = MapErr<MapOk<F, fn(Response<R>) -> Response<AnyBody<R>>>, fn(E) -> BoxError>;

impl<S, B, R> Service<Request<B>> for Functional<S, B, R>
where
    S: Service<Request<AnyBody<B>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
{
    type Response = Response<AnyBody<R>>;
    type Error = BoxError;
    type Future = Either<Plain<S::Future, R, S::Error>, FunctionsFuture<R>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Plain(service) => service.poll_ready(cx).map_err(Into::into),
            Self::With(service) => service.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self {
            Self::Plain(service) => {
                let untouched: fn(_) -> _ = |response: Response<R>| response.map(AnyBody::untouched);
                let error: fn(_) -> _ = Into::into;
                Either::Left(service.call(request.map(AnyBody::untouched)).map_ok(untouched).map_err(error))
            }
            Self::With(service) => Either::Right(service.call(request)),
        }
    }
}
