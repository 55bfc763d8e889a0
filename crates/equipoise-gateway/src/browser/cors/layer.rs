use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response,
    header::{self, ORIGIN, VARY},
};
use pin_project_lite::pin_project;
use tower_http::cors as tower_cors;
use tower_layer::Layer;
use tower_service::Service;

use crate::ReplyBody;

/// A layer that answers preflights, and tells browsers which sites may read responses: see
/// [`CorsPolicy`](super::CorsPolicy).
///
/// A preflight is an `OPTIONS` request with `Origin` and `Access-Control-Request-Method`. It is answered with status
/// 200 and does not reach the inner service, so it needs no credentials: put this layer outside of authentication.
/// Pages can read only the errors of layers inside of this one, so put it outside of filters and maintenance, too.
/// Other `OPTIONS` requests are passed on.
///
/// The `Access-Control-…` fields of the inner service are replaced. If the policy has origins, all responses get `Vary:
/// Origin`, so that caches keep them apart. A request from an origin that is not allowed is passed on, but its response
/// has no such fields: CORS protects responses, and [`CsrfLayer`](crate::browser::CsrfLayer) protects against requests.
///
/// Requests to private networks from public sites (Private Network Access) are never allowed.
#[derive(Clone, Debug)]
pub struct CorsLayer {
    layer: tower_cors::CorsLayer,
    varies: bool,
    preflights: Arc<AtomicU64>,
}

/// What a [`CorsLayer`] has counted since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorsStats {
    /// The number of preflights that were answered, also of origins that are not allowed.
    pub preflights: u64,
}

impl CorsLayer {
    /// `varies` is whether responses depend on the origin.
    pub(super) fn new(layer: tower_cors::CorsLayer, varies: bool) -> Self {
        Self { layer, varies, preflights: Arc::default() }
    }

    /// Returns what this layer and its clones have counted.
    pub fn stats(&self) -> CorsStats {
        CorsStats { preflights: self.preflights.load(Ordering::Relaxed) }
    }
}

/// The service of a [`CorsLayer`].
#[derive(Clone, Debug)]
pub struct Cors<S> {
    cors: tower_cors::Cors<Plain<S>>,
    varies: bool,
    preflights: Arc<AtomicU64>,
}

impl<S> Layer<S> for CorsLayer {
    type Service = Cors<S>;

    fn layer(&self, inner: S) -> Cors<S> {
        Cors { cors: self.layer.layer(Plain { inner }), varies: self.varies, preflights: Arc::clone(&self.preflights) }
    }
}

impl<S, B, R> Service<Request<B>> for Cors<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ReplyBody<R>>;
    type Error = S::Error;
    type Future = CorsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Service::<Request<B>>::poll_ready(&mut self.cors, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let headers = request.headers();
        let is_preflight = headers.contains_key(ORIGIN) && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if *request.method() == Method::OPTIONS && !is_preflight {
            return CorsFuture { varies: self.varies, kind: Kind::Plain { future: self.cors.get_mut().call(request) } };
        }
        if *request.method() == Method::OPTIONS {
            self.preflights.fetch_add(1, Ordering::Relaxed);
        }
        // tower-http adds `Vary` itself.
        CorsFuture { varies: false, kind: Kind::Cors { future: self.cors.call(request) } }
    }
}

/// Removes the CORS fields of a service, and gives its body the type of an answer.
#[derive(Clone, Debug)]
struct Plain<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Plain<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<CorsBody<R>>;
    type Error = S::Error;
    type Future = PlainFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        PlainFuture { inner: self.inner.call(request) }
    }
}

/// A body, or none for the answer to a preflight.
struct CorsBody<R>(ReplyBody<R>);

impl<R> Default for CorsBody<R> {
    fn default() -> Self {
        Self(ReplyBody::own(""))
    }
}

pin_project! {
    struct PlainFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, R, E> Future for PlainFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<CorsBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(self.project().inner.poll(cx))?;
        remove_permissions(response.headers_mut());
        Poll::Ready(Ok(response.map(|body| CorsBody(ReplyBody::inner(body)))))
    }
}

fn remove_permissions(fields: &mut HeaderMap) {
    for name in [
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderName::from_static("access-control-allow-private-network"),
    ] {
        fields.remove(name);
    }
}

pin_project! {
    /// The response future of [`Cors`].
    pub struct CorsFuture<F> {
        varies: bool,
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = KindProject]
    enum Kind<F> {
        Plain { #[pin] future: PlainFuture<F> },
        Cors { #[pin] future: tower_cors::ResponseFuture<PlainFuture<F>> },
    }
}

impl<F, R, E> Future for CorsFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ReplyBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match this.kind.project() {
            KindProject::Plain { future } => ready!(future.poll(cx)),
            KindProject::Cors { future } => ready!(future.poll(cx)),
        };
        let varies = *this.varies;
        Poll::Ready(response.map(|response| {
            let mut response = response.map(|CorsBody(body)| body);
            // tower-http adds the other fields whatever the origin is.
            if !response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
                remove_permissions(response.headers_mut());
            }
            if varies {
                response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
            }
            response
        }))
    }
}

impl<F> fmt::Debug for CorsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorsFuture").finish_non_exhaustive()
    }
}
