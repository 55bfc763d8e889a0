use std::sync::Arc;

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Method, Request, Response, Version};

use super::own_response::{LateResponse, reason};
use crate::{
    error::{ErrorResponses, ProxyError, WantedForm, without_body},
    route::RouteNote,
};

/// A response extension: why the proxy sent this response instead of that of an endpoint.
///
/// ```
/// use equipoise_proxy::Failed;
///
/// fn log<B>(response: &http::Response<B>) {
///     if let Some(Failed(error)) = response.extensions().get() {
///         println!("{} {}: {error}", response.status(), error.as_str());
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Failed(pub Arc<ProxyError>);

/// What is kept of a request to respond to it if it fails.
#[derive(Debug)]
pub struct Unanswered {
    version: Version,
    /// Whether the response has no body, whatever its `Content-Length` says.
    is_head: bool,
    /// The form of the response for an error.
    form: WantedForm,
    /// Where a router notes the route, if the request has such a note.
    route: Option<RouteNote>,
    /// Where the proxy around tells why the body has failed.
    late: Option<LateResponse>,
}

/// A request extension: the request is a gRPC call. Behind a proxy, the version of the request does not tell this.
#[derive(Clone, Copy, Debug)]
struct GrpcCall;

impl Unanswered {
    /// Keeps what is needed of a request.
    pub fn of<B>(request: &Request<B>) -> Self {
        let version = client_version(request);
        let form = WantedForm::of(request.headers(), version);
        let is_head = *request.method() == Method::HEAD;
        Self { version, is_head, form, route: request.extensions().get().cloned(), late: LateResponse::of(request) }
    }

    /// Returns the response for the error of a service, with the extension [`Failed`].
    pub fn respond(&self, error: BoxError, errors: &ErrorResponses) -> Response<Bytes> {
        self.respond_to(reason(self.late.as_ref(), ProxyError::of_service(error)), errors)
    }

    pub(super) fn respond_to(&self, error: ProxyError, errors: &ErrorResponses) -> Response<Bytes> {
        let mut response = errors.respond_as(&error, &self.form, self.version);
        if self.is_head {
            without_body(&mut response);
        }
        response.extensions_mut().insert(Failed(Arc::new(error)));
        if let Some(route) = self.route.as_ref().and_then(RouteNote::matched) {
            response.extensions_mut().insert(route);
        }
        response
    }

    /// Notes in a request what its version will not tell any more.
    pub(super) fn note<B>(&self, request: &mut Request<B>) {
        if self.form.is_grpc() {
            request.extensions_mut().insert(GrpcCall);
        }
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }
}

/// Returns the version that decides the form of errors. Behind a proxy, a request has another version than the client
/// used.
fn client_version<B>(request: &Request<B>) -> Version {
    match request.extensions().get::<GrpcCall>() {
        Some(GrpcCall) => Version::HTTP_2,
        None => request.version(),
    }
}
