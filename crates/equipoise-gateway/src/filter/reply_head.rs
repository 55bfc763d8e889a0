use equipoise_proxy::{Failed, error::ErrorResponses};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};

use crate::{Denial, ReplyBody};

/// What the response to a denied request depends on.
#[derive(Clone, Debug)]
pub(crate) struct ReplyHead {
    method: Method,
    version: Version,
    accept: Option<HeaderValue>,
    content_type: Option<HeaderValue>,
}

impl ReplyHead {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            version: request.version(),
            accept: request.headers().get(header::ACCEPT).cloned(),
            content_type: request.headers().get(header::CONTENT_TYPE).cloned(),
        }
    }

    pub(crate) fn respond<R>(self, denial: &Denial, errors: &ErrorResponses) -> Response<ReplyBody<R>> {
        let fields = [(header::ACCEPT, self.accept), (header::CONTENT_TYPE, self.content_type)];
        let fields: HeaderMap = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        denial.respond_to(&self.method, &fields, self.version, errors)
    }
}

/// Returns whether the inner service has failed: it has sent a server error, or a layer inside has answered its error.
pub(crate) fn is_failure<R>(response: &Response<R>) -> bool {
    response.status().is_server_error() || response.extensions().get::<Failed>().is_some()
}
