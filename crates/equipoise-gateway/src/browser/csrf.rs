use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use equipoise_proxy::error::ErrorResponses;
use http::{HeaderName, Method, Request, Response, StatusCode, header};
use tower_http::csrf as tower_csrf;
use tower_layer::Layer;
use tower_service::Service;

use super::origin::{InvalidOrigin, OriginPattern};
use crate::{
    Denial, ReplyBody, ReplyFuture,
    filter::{ExemptPaths, InvalidPattern},
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");

/// A layer that denies requests that other sites make browsers send (CSRF), with status 403 and the code
/// `cross_site_request`.
///
/// The check is that of tower-http and of Go's `CrossOriginProtection`. It needs no tokens. A request is passed on if
/// one of these is true:
///
/// 1. Its method is `GET`, `HEAD` or `OPTIONS`, and it does not open a WebSocket.
/// 2. `Sec-Fetch-Site` is `same-origin` or `none`, which the browser writes and pages cannot change.
/// 3. `Origin` is a [trusted origin](Self::trusted_origin), or its host is the `Host` of the request.
/// 4. It has neither `Sec-Fetch-Site` nor `Origin`: it does not come from a browser.
/// 5. Its path is [exempt](Self::exempt_path).
///
/// A handshake of a WebSocket is a `GET` request, but it opens a channel in which pages of other sites could act with
/// the visitor's cookies. So it is checked like a `POST` request.
///
/// If a proxy in front of this layer changes `Host`, requests of old browsers without `Sec-Fetch-Site` are denied;
/// trust the public origin then.
///
/// ```
/// use equipoise_gateway::browser::CsrfLayer;
///
/// let csrf = CsrfLayer::new().trusted_origin("https://login.test")?.exempt_path("/webhooks/**")?;
/// # drop(csrf);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CsrfLayer {
    check: tower_csrf::CsrfLayer,
    exempt: Arc<ExemptPaths>,
    errors: Arc<ErrorResponses>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    denied: AtomicU64,
}

/// What a [`CsrfLayer`] has counted since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CsrfStats {
    /// The number of requests that were passed on.
    pub allowed: u64,
    /// The number of requests that were denied.
    pub denied: u64,
}

impl CsrfLayer {
    /// Creates a layer that trusts no other site.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an origin whose requests are passed on, as browsers send it: `https://login.test`. Default: none.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`] if browsers never send this origin.
    pub fn trusted_origin(mut self, origin: &str) -> Result<Self, InvalidOrigin> {
        let refused = |valid| InvalidOrigin { origin: origin.to_owned(), valid };
        match OriginPattern::parse(origin)? {
            OriginPattern::Exact(_) => {}
            OriginPattern::Below { .. } => return Err(refused("write each trusted origin, without a wildcard")),
        }
        self.check =
            self.check.add_trusted_origin(origin).map_err(|_| refused("write an origin such as https://a.test"))?;
        Ok(self)
    }

    /// Adds a [`PathPattern`](crate::filter::PathPattern) of paths whose requests are passed on, such as those of webhooks.
    /// They need a protection of their own. Default: none.
    ///
    /// A path that servers read differently is never exempt: one that the default
    /// [`UriPolicy`](crate::filter::UriPolicy) refuses or rewrites (`/hook/../admin`, `//hook`, `/hook;x`, `/%68ook`), one
    /// with an encoding after decoding (`/hook/%252e%252e`), and one with an encoded `?` or `#`.
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`] says what is wrong with the pattern.
    pub fn exempt_path(mut self, pattern: &str) -> Result<Self, InvalidPattern> {
        Arc::make_mut(&mut self.exempt).add(pattern)?;
        Ok(self)
    }

    /// Sets the form of the responses to denied requests. Default: [`ErrorResponses::new`].
    #[must_use]
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.errors = Arc::new(errors);
        self
    }

    /// Returns what this layer and its clones have counted.
    pub fn stats(&self) -> CsrfStats {
        CsrfStats {
            allowed: self.counts.allowed.load(Ordering::Relaxed),
            denied: self.counts.denied.load(Ordering::Relaxed),
        }
    }

    /// Returns whether a request may come from another site.
    fn is_cross_site<B>(&self, request: &Request<B>) -> bool {
        let opens_websocket = request.headers().contains_key(SEC_WEBSOCKET_KEY);
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && !opens_websocket {
            return false;
        }
        if self.exempt.contains(request.uri().path()) {
            return false;
        }
        // tower-http decides about a request with the fields that it reads. It passes on all with a safe method.
        let mut asked = Request::new(());
        *asked.method_mut() = Method::POST;
        *asked.uri_mut() = request.uri().clone();
        for name in [header::ORIGIN, SEC_FETCH_SITE, header::HOST] {
            for value in request.headers().get_all(&name) {
                asked.headers_mut().append(name.clone(), value.clone());
            }
        }
        let decision = pin!(self.check.layer(Allow).call(asked));
        let mut cx = Context::from_waker(Waker::noop());
        !matches!(decision.poll(&mut cx), Poll::Ready(Ok(response)) if response.status() == StatusCode::OK)
    }
}

/// The service that tower-http calls for requests that it lets through.
#[derive(Clone, Copy, Debug)]
struct Allow;

impl Service<Request<()>> for Allow {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        std::future::ready(Ok(Response::new(())))
    }
}

/// The service of a [`CsrfLayer`].
#[derive(Clone, Debug)]
pub struct Csrf<S> {
    inner: S,
    layer: CsrfLayer,
}

impl<S> Layer<S> for CsrfLayer {
    type Service = Csrf<S>;

    fn layer(&self, inner: S) -> Csrf<S> {
        Csrf { inner, layer: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for Csrf<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ReplyBody<R>>;
    type Error = S::Error;
    type Future = ReplyFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.layer.is_cross_site(&request) {
            self.layer.counts.denied.fetch_add(1, Ordering::Relaxed);
            let denial =
                Denial::new(StatusCode::FORBIDDEN, "cross_site_request", "requests from other sites are not allowed");
            return ReplyFuture::own(denial.respond(&request, &self.layer.errors));
        }
        self.layer.counts.allowed.fetch_add(1, Ordering::Relaxed);
        ReplyFuture::inner(self.inner.call(request))
    }
}
