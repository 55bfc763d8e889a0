use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;

use crate::{
    body::{BodyWatch, RequestBodyError},
    error::ProxyError,
};

/// What completes the responses that a proxy makes itself.
#[derive(Clone)]
pub(super) struct Complete(Arc<CompleteFn>);

type CompleteFn = dyn Fn(Request<()>, Response<Bytes>) -> Response<Bytes> + Send + Sync;

impl Complete {
    pub(super) fn new(
        complete: impl Fn(Request<()>, Response<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(complete))
    }

    /// Completes the response to a request that the inner service has not got.
    pub(super) fn apply<B>(&self, request: &Request<B>, response: Response<Bytes>) -> Response<Bytes> {
        let mut head = Request::new(());
        head.method_mut().clone_from(request.method());
        head.uri_mut().clone_from(request.uri());
        *head.version_mut() = request.version();
        head.headers_mut().clone_from(request.headers());
        head.extensions_mut().clone_from(request.extensions());
        (self.0)(head, response)
    }
}

impl fmt::Debug for Complete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Complete(..)")
    }
}

/// A request extension: where a proxy leaves its own response for a request that the inner service has got, for example
/// after a timeout. A layer inside takes it instead of the response of its service, so that the layers around that one
/// complete it.
#[derive(Clone, Debug)]
pub struct LateResponse {
    left: Arc<Mutex<Option<Response<Bytes>>>>,
    /// `None` if the request has no body.
    body: Option<Arc<BodyWatch>>,
}

impl LateResponse {
    pub(super) fn new(body: Option<Arc<BodyWatch>>) -> Self {
        Self { left: Arc::default(), body }
    }

    /// Returns the place of a request.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get().cloned()
    }

    /// Takes the response, if it was left.
    pub fn take(&self) -> Option<Response<Bytes>> {
        self.left.lock().take()
    }

    pub(super) fn leave(&self, response: Response<Bytes>) {
        *self.left.lock() = Some(response);
    }

    /// Returns why the body of the request has failed, if it has.
    pub(super) fn body_failure(&self) -> Option<RequestBodyError> {
        self.body.as_ref()?.failure()
    }
}

/// Returns the error of a service, or the failure of the request's body that is its reason.
pub(super) fn reason(late: Option<&LateResponse>, error: ProxyError) -> ProxyError {
    match late.and_then(LateResponse::body_failure) {
        Some(failure) if matches!(error, ProxyError::Service(_)) => ProxyError::RequestBody(failure),
        _ => error,
    }
}
