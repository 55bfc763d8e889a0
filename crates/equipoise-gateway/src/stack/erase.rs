use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_proxy::{
    __private::{LateResponse, Unanswered, refuse_invalid},
    error::ErrorResponses,
};
use equipoise_tower::BoxError;
use http::{Method, Request, Response};
use http_body::Body;
use tower::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{AnyBody, IntoAny};

/// The future of an [`Erased`] service.
pub(super) type Answer<R, E> = Pin<Box<dyn Future<Output = Result<Response<AnyBody<R>>, E>> + Send>>;

/// A service behind a pointer that is cheap to clone. All functions have this type, so the type of the whole does not
/// depend on which functions there are. Its errors are of type `E`: none outside of [`answer_errors`](Self::answer_errors).
pub(super) struct Erased<B, R, E>(Arc<dyn Answers<B, R, E>>);

trait Answers<B, R, E>: Send + Sync {
    fn answer(&self, request: Request<AnyBody<B>>) -> Answer<R, E>;
}

impl<B, R, E> Clone for Erased<B, R, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B, R, E> fmt::Debug for Erased<B, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Erased(..)")
    }
}

impl<B, R, E> Service<Request<AnyBody<B>>> for Erased<B, R, E> {
    type Response = Response<AnyBody<R>>;
    type Error = E;
    type Future = Answer<R, E>;

    /// Always ready. The inner service is cloned for each request, and waited for in the future.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<AnyBody<B>>) -> Answer<R, E> {
        self.0.answer(request)
    }
}

impl<B, R> Erased<B, R, BoxError>
where
    B: Send + 'static,
    R: Body + 'static,
{
    /// Erases the innermost service.
    pub(super) fn backend<S>(service: S) -> Self
    where
        S: Service<Request<AnyBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self(Arc::new(Backend(service)))
    }

    /// Answers the errors of the service, so that the functions around it see a response.
    pub(super) fn answer_errors(self, errors: ErrorResponses) -> Erased<B, R, Infallible> {
        Erased(Arc::new(Answered { service: self, errors: Arc::new(errors) }))
    }
}

impl<B, R, E> Erased<B, R, E>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: 'static,
{
    /// Puts a function around it, if there is one.
    pub(super) fn wrap<L, C>(self, layer: Option<&L>) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Request<AnyBody<B>>, Response = Response<C>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<AnyBody<B>>>>::Error: Into<E>,
        <L::Service as Service<Request<AnyBody<B>>>>::Future: Send + 'static,
        C: IntoAny<R>,
    {
        match layer {
            Some(layer) => Self(Arc::new(Function(layer.layer(self)))),
            None => self,
        }
    }

    /// Takes the responses that a proxy around leaves for requests for which this service is too late.
    pub(super) fn take_late_responses(self) -> Self {
        Self(Arc::new(LateResponses(self)))
    }

    /// Puts a function around it that passes on requests with another body.
    pub(super) fn wrap_body<L, C>(self, layer: Option<&L>) -> Self
    where
        L: Layer<AnyRequest<Self>>,
        L::Service: Service<Request<AnyBody<B>>, Response = Response<C>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<AnyBody<B>>>>::Error: Into<E>,
        <L::Service as Service<Request<AnyBody<B>>>>::Future: Send + 'static,
        C: IntoAny<R>,
    {
        match layer {
            Some(layer) => Self(Arc::new(Function(layer.layer(AnyRequest(self))))),
            None => self,
        }
    }
}

struct Backend<S>(S);

impl<S, B, R> Answers<B, R, BoxError> for Backend<S>
where
    S: Service<Request<AnyBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: Body + 'static,
{
    fn answer(&self, request: Request<AnyBody<B>>) -> Answer<R, BoxError> {
        // A proxy around would refuse an invalid response without the fields of the functions.
        let is_head = LateResponse::of(&request).map(|_| *request.method() == Method::HEAD);
        let response = self.0.clone().oneshot(request);
        Box::pin(async move {
            let response = response.await.map_err(Into::into)?;
            let response = match is_head {
                Some(is_head) => refuse_invalid(response, is_head)?,
                None => response,
            };
            Ok(response.map(AnyBody::untouched))
        })
    }
}

struct LateResponses<B, R, E>(Erased<B, R, E>);

impl<B: 'static, R: 'static, E: 'static> Answers<B, R, E> for LateResponses<B, R, E> {
    fn answer(&self, request: Request<AnyBody<B>>) -> Answer<R, E> {
        let late = LateResponse::of(&request);
        let answer = self.0.0.answer(request);
        let Some(late) = late else { return answer };
        let mut waiting = Some(answer);
        Box::pin(poll_fn(move |cx| {
            if let Some(answer) = &mut waiting
                // First, because functions of a route inside may take the response.
                && let Poll::Ready(response) = answer.as_mut().poll(cx)
            {
                return Poll::Ready(response);
            }
            match late.take() {
                Some(response) => {
                    // Now, while the proxy has noted why.
                    waiting = None;
                    Poll::Ready(Ok(response.map(AnyBody::own)))
                }
                None => Poll::Pending,
            }
        }))
    }
}

struct Function<S>(S);

impl<S, B, R, C, E> Answers<B, R, E> for Function<S>
where
    S: Service<Request<AnyBody<B>>, Response = Response<C>> + Clone + Send + Sync + 'static,
    S::Error: Into<E>,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: 'static,
    C: IntoAny<R>,
    E: 'static,
{
    fn answer(&self, request: Request<AnyBody<B>>) -> Answer<R, E> {
        let response = self.0.clone().oneshot(request);
        Box::pin(async { Ok(response.await.map_err(Into::into)?.map(IntoAny::into_any)) })
    }
}

struct Answered<B, R> {
    service: Erased<B, R, BoxError>,
    errors: Arc<ErrorResponses>,
}

impl<B: 'static, R: 'static> Answers<B, R, Infallible> for Answered<B, R> {
    fn answer(&self, request: Request<AnyBody<B>>) -> Answer<R, Infallible> {
        let (asked, errors) = (Unanswered::of(&request), Arc::clone(&self.errors));
        let response = self.service.0.answer(request);
        Box::pin(async move {
            let response = response.await;
            Ok(response.unwrap_or_else(|error| asked.respond(error, &errors).map(AnyBody::own)))
        })
    }
}

/// Gives requests the body that all functions take.
#[derive(Clone, Debug)]
pub(super) struct AnyRequest<S>(S);

impl<B, R, E, C> Service<Request<C>> for AnyRequest<Erased<B, R, E>>
where
    C: Body<Data = Bytes> + Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = Response<AnyBody<R>>;
    type Error = E;
    type Future = Answer<R, E>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<C>) -> Answer<R, E> {
        self.0.call(request.map(AnyBody::changed))
    }
}
