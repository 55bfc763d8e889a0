use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{
    Method, Request, Response,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE},
};
use http_body::Body;
use tower::Service;

use super::{
    CacheBody, CacheError, CacheHandle, CacheStats,
    engine::{Engine, Plan},
    fetch, forward,
    rules::conditional,
    status::Forwarded,
    store::Key,
};

/// A service with a shared HTTP cache in front of it. See the [module](super) for what it does.
///
/// It is always ready: a hit does not wait for the inner service. The inner service is cloned for each request that is
/// forwarded.
///
/// The type of the bodies of requests has a default, the empty body: if an endpoint answers a validation with a 304 about
/// another response, the cache asks again without a condition. Bodies of axum, `http-body-util` and the reverse proxy
/// have one. `Incoming` of hyper has none, so put the cache inside of a
/// [`ReverseProxy`](equipoise_proxy::ReverseProxy), or box the body.
#[derive(Clone)]
pub struct Cache<S> {
    inner: S,
    engine: Arc<Engine>,
}

impl<S> Cache<S> {
    pub(super) fn new(inner: S, engine: Arc<Engine>) -> Self {
        Self { inner, engine }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a handle for purges and counters.
    pub fn handle(&self) -> CacheHandle {
        CacheHandle::new(Arc::clone(&self.engine))
    }

    /// Returns the counters.
    pub fn stats(&self) -> CacheStats {
        self.engine.stats()
    }
}

impl<S: fmt::Debug> fmt::Debug for Cache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// The response future of a [`Cache`]. A hit in a store in memory is ready at once and allocates no future.
pub struct CacheFuture<R>(Inner<R>);

type BoxedResponse<R> = Pin<Box<dyn Future<Output = Result<Response<CacheBody<R>>, CacheError>> + Send>>;

enum Inner<R> {
    Ready(Option<Box<Response<CacheBody<R>>>>),
    Boxed(BoxedResponse<R>),
}

// A response is moved out by the first poll, so it is never pinned.
impl<R> Unpin for CacheFuture<R> {}

impl<R> Future for CacheFuture<R> {
    type Output = Result<Response<CacheBody<R>>, CacheError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Inner::Ready(response) => Poll::Ready(response.take().map(|response| *response).ok_or(CacheError::Lost)),
            Inner::Boxed(future) => future.as_mut().poll(cx),
        }
    }
}

impl<R> fmt::Debug for CacheFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheFuture").finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Cache<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Default + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<CacheBody<R>>;
    type Error = CacheError;
    type Future = CacheFuture<R>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CacheError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> CacheFuture<R> {
        let engine = &self.engine;
        let key = match route(engine, &request) {
            Route::Look(key) => key,
            Route::Pass(why) => {
                engine.counters.bypassed.add();
                return boxed(forward::pass(Arc::clone(engine), self.inner.clone(), request, why));
            }
            Route::Invalidate => {
                engine.counters.invalidating.add();
                return boxed(forward::invalidate(Arc::clone(engine), self.inner.clone(), request));
            }
        };
        let control = engine.control(request.headers());
        let now = engine.now();
        let lookup = engine.store.get(&key, now).into_ready().ok();
        if let Some(found) = &lookup
            && let Plan::Serve { entry, handling } = engine.plan(&request, &control, &key, found, now)
        {
            engine.count(&handling);
            let response = engine.serve(request.method(), request.headers(), &key, &entry, &handling, now);
            return CacheFuture(Inner::Ready(Some(Box::new(response))));
        }
        boxed(fetch::run(Arc::clone(engine), self.inner.clone(), request, key, control, lookup))
    }
}

fn boxed<R>(
    future: impl Future<Output = Result<Response<CacheBody<R>>, CacheError>> + Send + 'static,
) -> CacheFuture<R> {
    CacheFuture(Inner::Boxed(Box::pin(future)))
}

/// What a request is to the cache, before the store is asked.
enum Route {
    /// It may be answered by a stored response.
    Look(Key),
    /// It is forwarded, and its response is not stored.
    Pass(Forwarded),
    /// It changes something, so stored responses are removed after it.
    Invalidate,
}

fn route<B: Body>(engine: &Engine, request: &Request<B>) -> Route {
    let headers = request.headers();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        // The safe methods of the registry, and CONNECT, change nothing.
        let is_safe = matches!(
            request.method().as_str(),
            "OPTIONS" | "TRACE" | "CONNECT" | "PROPFIND" | "REPORT" | "SEARCH" | "QUERY"
        );
        return if is_safe { Route::Pass(Forwarded::Method) } else { Route::Invalidate };
    }
    // A body may change the response, so it is neither ignored nor part of the key.
    let has_body = !request.body().is_end_stream()
        || headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    if has_body || headers.contains_key(UPGRADE) || conditional::is_for_backend(headers) {
        return Route::Pass(Forwarded::Bypass);
    }
    engine.settings.key.of(request).map_or(Route::Pass(Forwarded::Bypass), Route::Look)
}
