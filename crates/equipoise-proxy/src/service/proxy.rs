use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{future::ProxyFuture, settings::Settings};
use crate::{
    body::{ProxyBody, RequestBody},
    tunnel::Tunnels,
};

/// A reverse proxy over a service that sends requests to endpoints, such as a balancer.
///
/// For each request, it
///
/// 1. checks that the request has one meaning ([`check`](crate::check));
/// 2. removes the fields of the client's connection, and adds fields about the client ([`headers`](crate::headers));
/// 3. sends the request to the inner service, as HTTP/1.1 with a path as its target and the host in `Host`;
/// 4. checks the response, removes the fields of the endpoint's connection, and forwards it. Bodies are streamed in
///    both directions, with their trailers as far as the connections allow it (see below);
/// 5. if the endpoint switches protocols, copies bytes in both directions ([`Tunnels`]).
///
/// It never returns an error: the client gets a response for every failure ([`error`](crate::error)), with the
/// extension [`Failed`](super::Failed).
///
/// Trailers pass on all HTTP/2 connections. On HTTP/1.1 connections, hyper sends only those that the field `Trailer` of
/// the message names, and sends them to a client only if its request has `TE: trailers`. The proxy forwards both
/// fields, and adds no `Trailer`, because it does not know the trailers when it forwards the head. So a trailer that
/// `Trailer` does not name is lost between HTTP/2 and HTTP/1.1. [`headers`](crate::headers) names the trailers that are
/// removed.
///
/// With `Expect: 100-continue`, an HTTP/1.1 client gets `100 Continue` when the inner service reads the body. An HTTP/2
/// client never gets it, because hyper's server cannot send it. Such a client sends its body after a time of its own.
///
/// Interim responses of endpoints, such as `103 Early Hints`, do not pass through this service: the inner service gives them
/// to the [`InterimSender`](equipoise_tower::InterimSender) of the request, which the server adds if
/// `ServerLimits::interim_responses` is set. If an attempt fails, those of the next attempt follow. They do not
/// extend any timeout.
///
/// The server adds the extensions [`PeerAddr`](equipoise_affinity::source::PeerAddr) and
/// [`ConnectionInfo`](crate::headers::ConnectionInfo) to requests. Without them, endpoints learn nothing about the
/// client. Timeouts need a tokio runtime with its timer turned on. Without this timer, there are no limits.
///
/// ```no_run
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_proxy::ReverseProxy;
/// use equipoise_tower::BalanceLayer;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::{Layer, Service};
///
/// # fn service() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::default();
/// pool.update(["127.0.0.1:8001", "127.0.0.1:8002"].map(EndpointSpec::new), |_| ())?;
/// let client = Client::builder(TokioExecutor::new()).build_http();
/// let proxy = ReverseProxy::new(BalanceLayer::new(pool).incoming().layer(client));
/// # fn serve<S: Service<http::Request<hyper::body::Incoming>, Error = std::convert::Infallible>>(_: S) {}
/// serve(proxy);
/// # Ok(())
/// # }
/// ```
///
/// It can also be the fallback service of an axum router, for all requests that the router has no handler for:
///
/// ```
/// # use std::convert::Infallible;
/// # use axum::{body::Body, routing::get};
/// # use equipoise_proxy::{RequestBody, ReverseProxy};
/// # use http::{Request, Response};
/// # let balanced = tower::service_fn(async |_: Request<RequestBody<Body>>| {
/// #     Ok::<_, Infallible>(Response::new(Body::empty()))
/// # });
/// let app: axum::Router = axum::Router::new()
///     .route("/health", get(async || "ok"))
///     .fallback_service(ReverseProxy::new(balanced));
/// ```
#[derive(Clone, Debug)]
pub struct ReverseProxy<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> ReverseProxy<S> {
    /// Creates a proxy with the defaults that the methods of [`ReverseProxyLayer`](super::ReverseProxyLayer) name.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self::with(inner, Arc::default())
    }

    pub(super) fn with(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the tunnels of this proxy, for closing them at shutdown.
    pub fn tunnels(&self) -> &Tunnels {
        &self.settings.tunnels
    }
}

impl<S, B, R> Service<Request<B>> for ReverseProxy<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    type Response = Response<ProxyBody<R>>;
    type Error = Infallible;
    type Future = ProxyFuture<S, B>;

    /// Always ready. The inner service is waited for after a request has been checked.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ProxyFuture<S, B> {
        ProxyFuture::new(self.inner.clone(), Arc::clone(&self.settings), request)
    }
}
