use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    AnyBody, Functions,
    erase::{Answer, Erased},
};

/// A service with the functions of [`Functions`] around it. It is always ready and cheap to clone.
///
/// `B` is the body of the requests that it gets, `R` is that of the responses of the innermost service. An error is that of
/// the innermost service, unless a function has made one of its own.
pub struct FunctionsService<B, R>(Erased<B, R>);

impl<B, R> FunctionsService<B, R> {
    pub(super) fn new(service: Erased<B, R>) -> Self {
        Self(service)
    }
}

impl<B, R> Service<Request<B>> for FunctionsService<B, R> {
    type Response = Response<AnyBody<R>>;
    type Error = BoxError;
    type Future = FunctionsFuture<R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> FunctionsFuture<R> {
        FunctionsFuture(self.0.call(request.map(AnyBody::untouched)))
    }
}

impl<B, R> Clone for FunctionsService<B, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B, R> fmt::Debug for FunctionsService<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FunctionsService(..)")
    }
}

/// The response future of a [`FunctionsService`].
pub struct FunctionsFuture<R>(Answer<R>);

impl<R> Future for FunctionsFuture<R> {
    type Output = Result<Response<AnyBody<R>>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<R> fmt::Debug for FunctionsFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FunctionsFuture(..)")
    }
}

/// [`Functions`] as a tower layer, for services of one type of bodies.
pub struct FunctionsLayer<B, R> {
    functions: Functions,
    bodies: PhantomData<fn(B) -> R>,
}

impl<B, R> FunctionsLayer<B, R> {
    pub(super) fn new(functions: Functions) -> Self {
        Self { functions, bodies: PhantomData }
    }
}

impl<S, B, R> Layer<S> for FunctionsLayer<B, R>
where
    S: Service<Request<AnyBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Service = FunctionsService<B, R>;

    fn layer(&self, inner: S) -> FunctionsService<B, R> {
        self.functions.wrap(inner)
    }
}

impl<B, R> Clone for FunctionsLayer<B, R> {
    fn clone(&self) -> Self {
        Self::new(self.functions.clone())
    }
}

impl<B, R> fmt::Debug for FunctionsLayer<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FunctionsLayer").field(&self.functions).finish()
    }
}
