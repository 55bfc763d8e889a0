use std::{
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
pub(super) type Answer<R> = Pin<Box<dyn Future<Output = Result<Response<AnyBody<R>>, BoxError>> + Send>>;

/// A service behind a pointer that is cheap to clone. All functions have this type, so the type of the whole does not
/// depend on which functions there are.
pub(super) struct Erased<B, R>(Arc<dyn Answers<B, R>>);

trait Answers<B, R>: Send + Sync {
    fn answer(&self, request: Request<AnyBody<B>>) -> Answer<R>;
}

impl<B, R> Clone for Erased<B, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B, R> fmt::Debug for Erased<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Erased(..)")
    }
}

impl<B, R> Service<Request<AnyBody<B>>> for Erased<B, R> {
    type Response = Response<AnyBody<R>>;
    type Error = BoxError;
    type Future = Answer<R>;

    /// Always ready. The inner service is cloned for each request, and waited for in the future.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<AnyBody<B>>) -> Answer<R> {
        self.0.answer(request)
    }
}

impl<B, R> Erased<B, R>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
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

    /// Puts a function around it, if there is one.
    pub(super) fn wrap<L, C>(self, layer: Option<&L>) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Request<AnyBody<B>>, Response = Response<C>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<AnyBody<B>>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<AnyBody<B>>>>::Future: Send + 'static,
        C: IntoAny<R>,
    {
        match layer {
            Some(layer) => Self(Arc::new(Function(layer.layer(self)))),
            None => self,
        }
    }

    /// Answers the errors of the service, so that the functions around it see a response.
    pub(super) fn answer_errors(self, errors: ErrorResponses) -> Self {
        Self(Arc::new(Answered { service: self, errors: Arc::new(errors) }))
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
        <L::Service as Service<Request<AnyBody<B>>>>::Error: Into<BoxError>,
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

impl<S, B, R> Answers<B, R> for Backend<S>
where
    S: Service<Request<AnyBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: Body + 'static,
{
    fn answer(&self, request: Request<AnyBody<B>>) -> Answer<R> {
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

struct LateResponses<B, R>(Erased<B, R>);

impl<B: 'static, R: 'static> Answers<B, R> for LateResponses<B, R> {
    fn answer(&self, request: Request<AnyBody<B>>) -> Answer<R> {
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

impl<S, B, R, C> Answers<B, R> for Function<S>
where
    S: Service<Request<AnyBody<B>>, Response = Response<C>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: 'static,
    C: IntoAny<R>,
{
    fn answer(&self, request: Request<AnyBody<B>>) -> Answer<R> {
        let response = self.0.clone().oneshot(request);
        Box::pin(async { Ok(response.await.map_err(Into::into)?.map(IntoAny::into_any)) })
    }
}

struct Answered<B, R> {
    service: Erased<B, R>,
    errors: Arc<ErrorResponses>,
}

impl<B: 'static, R: 'static> Answers<B, R> for Answered<B, R> {
    fn answer(&self, request: Request<AnyBody<B>>) -> Answer<R> {
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

impl<B, R, C> Service<Request<C>> for AnyRequest<Erased<B, R>>
where
    C: Body<Data = Bytes> + Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = Response<AnyBody<R>>;
    type Error = BoxError;
    type Future = Answer<R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<C>) -> Answer<R> {
        self.0.call(request.map(AnyBody::changed))
    }
}
