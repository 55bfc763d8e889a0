use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use equipoise_proxy::{Failed, error::ErrorResponses};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use pin_project_lite::pin_project;

use crate::{Denial, ReplyBody};

pin_project! {
    /// The response future of a layer that answers some requests itself, and passes on the others.
    pub struct ReplyFuture<F, R> {
        #[pin]
        kind: Kind<F, R>,
    }
}

pin_project! {
    #[project = KindProject]
    enum Kind<F, R> {
        Inner { #[pin] future: F, late: Option<Box<LateDenial>> },
        Own { response: Option<Response<ReplyBody<R>>> },
    }
}

/// What is kept of a request that may be denied after it was passed on, because of its body.
#[derive(Clone, Debug)]
pub(crate) struct LateDenial {
    /// Set before the body fails.
    denial: Arc<OnceLock<Denial>>,
    errors: Arc<ErrorResponses>,
    method: Method,
    version: Version,
    accept: Option<HeaderValue>,
    content_type: Option<HeaderValue>,
}

impl LateDenial {
    /// Keeps what the response depends on. `denial` is set before the body of the request fails.
    pub(crate) fn new<B>(request: &Request<B>, denial: Arc<OnceLock<Denial>>, errors: Arc<ErrorResponses>) -> Self {
        Self {
            denial,
            errors,
            method: request.method().clone(),
            version: request.version(),
            accept: request.headers().get(header::ACCEPT).cloned(),
            content_type: request.headers().get(header::CONTENT_TYPE).cloned(),
        }
    }

    /// Returns the response for a denial.
    pub(crate) fn respond<R>(&self, denial: &Denial) -> Response<ReplyBody<R>> {
        let fields = [(header::ACCEPT, &self.accept), (header::CONTENT_TYPE, &self.content_type)];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        denial.respond_to(&self.method, &HeaderMap::from_iter(fields), self.version, &self.errors)
    }
}

impl<F, R> ReplyFuture<F, R> {
    /// Waits for the response of the inner service.
    pub(crate) fn inner(future: F) -> Self {
        Self { kind: Kind::Inner { future, late: None } }
    }

    /// Waits for the response of the inner service. If the request is denied meanwhile and the inner service fails, the
    /// response is that of the denial.
    pub(crate) fn inner_or_denied(future: F, late: LateDenial) -> Self {
        Self { kind: Kind::Inner { future, late: Some(Box::new(late)) } }
    }

    /// Is ready with a response.
    pub(crate) fn own(response: Response<ReplyBody<R>>) -> Self {
        Self { kind: Kind::Own { response: Some(response) } }
    }
}

impl<F, R, E> Future for ReplyFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ReplyBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProject::Inner { future, late } => {
                let result = ready!(future.poll(cx));
                // The inner service failed because its request did, so its own response would mislead. Any other
                // response was made before.
                let failed = match &result {
                    Ok(response) => {
                        response.status().is_server_error() || response.extensions().get::<Failed>().is_some()
                    }
                    Err(_) => true,
                };
                let denied = late.take().filter(|_| failed);
                let denied = denied.and_then(|late| late.denial.get().map(|denial| late.respond(denial)));
                Poll::Ready(match denied {
                    Some(denied) => Ok(denied),
                    None => result.map(|response| response.map(ReplyBody::inner)),
                })
            }
            KindProject::Own { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // Polled again after it has returned its response.
                None => Poll::Pending,
            },
        }
    }
}

impl<F, R> fmt::Debug for ReplyFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_own = matches!(self.kind, Kind::Own { .. });
        f.debug_struct("ReplyFuture").field("is_own", &is_own).finish_non_exhaustive()
    }
}
