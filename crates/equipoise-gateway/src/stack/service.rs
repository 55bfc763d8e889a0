use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{
    AnyBody,
    erase::{Answer, Erased},
};

/// A service with the functions of [`Functions`](super::Functions) around it. It is always ready and cheap to clone.
///
/// `B` is the body of the requests that it gets, `R` is that of the responses of the innermost service. It never fails:
/// an error of the innermost service or of the cache becomes a response (see
/// [`Functions::errors`](super::Functions::errors)) with the extension [`Failed`](equipoise_proxy::Failed).
pub struct FunctionsService<B, R>(Erased<B, R, Infallible>);

impl<B, R> FunctionsService<B, R> {
    pub(super) fn new(service: Erased<B, R, Infallible>) -> Self {
        Self(service)
    }
}

impl<B, R> Service<Request<B>> for FunctionsService<B, R> {
    type Response = Response<AnyBody<R>>;
    type Error = Infallible;
    type Future = FunctionsFuture<R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
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
pub struct FunctionsFuture<R>(Answer<R, Infallible>);

impl<R> Future for FunctionsFuture<R> {
    type Output = Result<Response<AnyBody<R>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<R> fmt::Debug for FunctionsFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FunctionsFuture(..)")
    }
}
