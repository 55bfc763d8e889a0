use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use tower_service::Service;

use super::{body::MetricsBody, exporter::Exporter, format::Format};

/// Answers with the metrics. The path and the body of the request are ignored.
impl<B> Service<Request<B>> for Exporter {
    type Response = Response<MetricsBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.respond(request.method(), request.headers())))
    }
}

impl Exporter {
    fn respond(&self, method: &Method, headers: &HeaderMap) -> Response<MetricsBody> {
        let format = Format::accepted(headers);
        match *method {
            Method::GET => match self.pieces(format) {
                Ok(pieces) => response(StatusCode::OK, format.content_type(), MetricsBody::pieces(pieces)),
                Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "a metric of the application cannot be encoded\n"),
            },
            Method::HEAD => response(StatusCode::OK, format.content_type(), MetricsBody::empty()),
            _ => {
                let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are possible\n");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
        }
    }

    /// Returns an axum router that answers with the metrics at `/metrics`.
    ///
    /// ```
    /// use equipoise_monitor::{Monitor, prometheus::Exporter};
    ///
    /// let monitor = Monitor::new();
    /// let app: axum::Router = axum::Router::new().merge(Exporter::new(&monitor).router());
    /// ```
    #[cfg(feature = "axum")]
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        axum::Router::new().route_service("/metrics", self.clone())
    }
}

fn error(status: StatusCode, message: &str) -> Response<MetricsBody> {
    response(status, "text/plain; charset=utf-8", MetricsBody::text(message))
}

fn response(status: StatusCode, content_type: &'static str, body: MetricsBody) -> Response<MetricsBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}
