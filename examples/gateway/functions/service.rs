//! A service with or without functions around it. Without functions, requests cost no allocation more.

use std::{
    error::Error,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{
    TryFutureExt,
    future::{Either, MapErr, MapOk},
};
use http::{Request, Response};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::Body;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The body of a request or response between functions.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// A service between functions.
pub(crate) type AnyService = BoxCloneSyncService<Request<AnyBody>, Response<AnyBody>, BoxError>;

/// A service, or the outermost function around it.
#[derive(Clone)]
pub(crate) enum Functional<S> {
    Plain(S),
    With(AnyService),
}

/// The response body of a [`Functional`].
pub(crate) type FunctionalBody<R> = http_body_util::Either<R, AnyBody>;

type Mapped<F, R, T, E> = MapErr<MapOk<F, fn(Response<R>) -> Response<T>>, fn(E) -> BoxError>;
type Call = <AnyService as Service<Request<AnyBody>>>::Future;

impl<S, B, R> Service<Request<B>> for Functional<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<FunctionalBody<R>>;
    type Error = BoxError;
    type Future = Either<
        Mapped<S::Future, R, FunctionalBody<R>, S::Error>,
        MapOk<Call, fn(Response<AnyBody>) -> Response<FunctionalBody<R>>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Plain(service) => service.poll_ready(cx).map_err(Into::into),
            Self::With(service) => service.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self {
            Self::Plain(service) => {
                let plain: fn(_) -> _ = |response: Response<R>| response.map(FunctionalBody::Left);
                let error: fn(_) -> _ = Into::into;
                Either::Left(service.call(request).map_ok(plain).map_err(error))
            }
            Self::With(service) => {
                let with: fn(_) -> _ = |response: Response<AnyBody>| response.map(FunctionalBody::Right);
                Either::Right(service.call(request.map(any_body)).map_ok(with))
            }
        }
    }
}

fn any_body<B>(body: B) -> AnyBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// Gives a service the type of all services between functions.
pub(crate) fn any_service<S, R>(service: S) -> AnyService
where
    S: Service<Request<AnyBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    BoxCloneSyncService::new(service.map_response(|response: Response<R>| response.map(any_body)).map_err(Into::into))
}

/// A service between functions, behind a function that changes request bodies.
#[derive(Clone)]
pub(crate) struct AnyBodies(pub(super) AnyService);

impl<B> Service<Request<B>> for AnyBodies
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnyBody>;
    type Error = BoxError;
    type Future = Call;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Call {
        self.0.call(request.map(any_body))
    }
}
