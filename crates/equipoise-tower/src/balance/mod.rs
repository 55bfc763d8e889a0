//! The balancer as a [`Service`].

mod attempt;
mod future;
mod layer;
mod progress;
mod waiting;

use std::{fmt, sync::Arc, time::Duration};

use equipoise_core::Pool;
use tower_service::Service;

use self::progress::Unready;
pub use self::{future::ResponseFuture, layer::BalanceLayer};
use crate::{
    dispatch::{Dispatch, Shared, Targets},
    error::{BoxError, Error},
    http::Http,
    protocol::Protocol,
    replay::ReplayBodies,
};

/// A [`Service`] that sends each request to an endpoint of a pool.
///
/// It is `Clone + Send + Sync` without a buffer or a worker task: clones share the pool, and the pick happens in `call`,
/// where the request is known. It is always ready; an endpoint's service that is not is awaited inside the response
/// future, where the strategy already counts the request, for at most [`ready_timeout`](Self::ready_timeout) if there is
/// another endpoint.
///
/// There are two ways in: endpoints that *are* services ([`new`](Self::new)), and one client for all of them
/// ([`BalanceLayer`]).
///
/// - **The lease** lives until the response body has ended or was dropped.
/// - **Failover**: a request that never reached an endpoint goes to another one, whatever its method, if its body was
///   not touched; so does an idempotent one whose connection died before an answer began. Never to one that has just
///   failed, and at most [`max_attempts`](Self::max_attempts) in all. See [`FailureStage`](crate::FailureStage), [`Replay`](crate::Replay).
/// - **Nobody to pick** is an error at once, or after a [`wait`](Self::queue_timeout). A request that may go elsewhere and finds the
///   others full waits too, and if that is in vain it fails as it did; where there are no others, it fails at once.
///
/// ```
/// use bytes::Bytes;
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_tower::{Balance, ServedBy};
/// use http::{Request, Response};
/// use http_body_util::{Empty, Full};
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::default();
/// pool.update(["a", "b"].map(EndpointSpec::new), |spec| {
///     let body = format!("from {}", spec.id());
///     service_fn(move |_: Request<Empty<Bytes>>| {
///         std::future::ready(Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from(body.clone())))))
///     })
/// })?;
/// let response = Balance::new(pool).oneshot(Request::new(Empty::new())).await?;
/// println!("served by {:?}", response.extensions().get::<ServedBy>());
/// # Ok(())
/// # }
/// ```
pub struct Balance<T, D = Targets, P = Http> {
    dispatch: D,
    core: Arc<Core<T, P>>,
}

/// What all clones and all requests under way share.
struct Core<T, P> {
    pool: Pool<T>,
    settings: Settings<P>,
    unready: Unready,
}

#[derive(Clone, Debug)]
struct Settings<P> {
    protocol: P,
    tries: usize,
    wait: Option<Duration>,
    ready_timeout: Duration,
}

impl<P> Settings<P> {
    fn new(protocol: P) -> Self {
        // HAProxy's default: three retries. Half of a caller's patience of 100 ms is left for the second endpoint.
        Self { protocol, tries: 4, wait: None, ready_timeout: Duration::from_millis(50) }
    }
}

impl<T> Balance<T> {
    /// Over endpoints that are services themselves, for HTTP.
    pub fn new(pool: Pool<T>) -> Self {
        Self::build(pool, Targets, Settings::new(Http::new()))
    }
}

impl<T, P> Balance<T, Targets, P> {
    /// Over endpoints that are services themselves, for another protocol than HTTP with its defaults: an
    /// [`Http`] with settings, a [`Plain`](crate::Plain), or one of your own.
    pub fn with_protocol(pool: Pool<T>, protocol: P) -> Self {
        Self::build(pool, Targets, Settings::new(protocol))
    }
}

impl<T, D, P> Balance<T, D, P> {
    fn build(pool: Pool<T>, dispatch: D, settings: Settings<P>) -> Self {
        Self { dispatch, core: Arc::new(Core { pool, settings, unready: Unready::default() }) }
    }

    fn change(self, change: impl FnOnce(&mut Settings<P>)) -> Self
    where
        P: Clone,
    {
        let mut settings = self.core.settings.clone();
        change(&mut settings);
        Self::build(self.core.pool.clone(), self.dispatch, settings)
    }

    /// The maximum number of endpoints that one request is sent to, the first included. Default: 4, as in HAProxy (three
    /// retries). 1 means no failover; 0 counts as 1.
    ///
    /// A request stops at the first endpoint that answers, and never goes to one endpoint twice. So the number is reached
    /// only if that many endpoints fail it: with `tries(100)` and 100 endpoints that all refuse connections, each request
    /// makes 100 attempts. There is no budget over all requests. Where many endpoints can fail at once, keep the number
    /// small, and take failing endpoints out by health checks or outlier detection.
    ///
    /// **Nested balancers**: where the endpoints of a balancer are balancers, attempts do not multiply. All balancers
    /// below one that retries share the retries of the first balancer below it, for each request. With the default, a
    /// request makes at most 4 + 3 = 7 attempts at servers, however many balancers are nested, and not 4 × 4 or 4 × 4 × 4.
    /// The outer balancer's retries come on top, so that it can still try each of its endpoints. This is carried by the
    /// [`Attempt`](crate::Attempt) extension of the request: services between the balancers must hand it on, and
    /// protocols other than [`Http`] must implement [`Protocol::on_attempt`] and [`Protocol::outer_attempt`]
    /// ([`Plain`](crate::Plain) does not, since its requests have no place for it). A retry layer above the outermost
    /// balancer still multiplies its attempts.
    #[must_use]
    pub fn max_attempts(self, tries: usize) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.tries = tries.max(1))
    }

    /// How long a request may wait for an endpoint when there is none to pick: it goes on as soon as one joins, opens
    /// or gets room. Requests that wait are served [first come, first served](equipoise_core::Pool::acquire). Counts from
    /// the first time that it has to wait. Without this, it fails at once. Needs tokio's timer.
    #[must_use]
    pub fn queue_timeout(self, longest: Duration) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.wait = Some(longest))
    }

    /// How long a request waits for the service of the endpoint that was picked to get ready (`poll_ready`), before it goes
    /// to another endpoint. Default: 50 ms. Needs tokio's timer; without it there is no bound.
    ///
    /// An endpoint that was waited for in vain gets the verdict [`Overloaded`](equipoise_core::Verdict::Overloaded), by
    /// which strategies send it less; outlier detection does not eject it, since a service that is not ready may only be
    /// busy. For a second, other requests that find it not ready go elsewhere at once; then one of them waits again. A
    /// service that is ready at once costs nothing.
    ///
    /// A request that cannot go elsewhere (no other endpoint, no [`max_attempts`](Self::max_attempts) left) waits for as long as it
    /// takes, as a response does: bound it with a time-out above the balancer. If the other endpoints are full and the
    /// request may [`wait`](Self::queue_timeout), it waits for them.
    ///
    /// The default leaves a caller with a patience of 100 ms the time for a second attempt. It is longer than a
    /// connection within a region takes. Targets that connect in `poll_ready` over longer distances, or that queue
    /// requests there on purpose, need more.
    #[must_use]
    pub fn ready_timeout(self, longest: Duration) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.ready_timeout = longest)
    }

    /// Wraps the bodies of incoming requests in [`Replayable`](crate::Replayable), for servers: see
    /// [`BalanceLayer::incoming`].
    #[must_use]
    pub fn incoming(self) -> ReplayBodies<Self> {
        ReplayBodies::new(self)
    }

    /// Sends the request: the same as [`Service::call`], with better compile errors. The bounds of this method tell what
    /// is missing, where those of the trait only tell that there is no such method.
    pub fn call<Req>(&mut self, request: Req) -> ResponseFuture<T, D, P, Req>
    where
        T: Send + Sync + 'static,
        D: Dispatch<T, Req> + Clone,
        <D::Service as Service<Req>>::Error: Into<BoxError>,
        P: Protocol<Req, <D::Service as Service<Req>>::Response>,
    {
        ResponseFuture::new(Arc::clone(&self.core), self.dispatch.clone(), request)
    }

    /// Sends one request: the same as `tower::ServiceExt::oneshot`, with better compile errors. See [`call`](Self::call).
    pub fn oneshot<Req>(self, request: Req) -> ResponseFuture<T, D, P, Req>
    where
        T: Send + Sync + 'static,
        D: Dispatch<T, Req> + Clone,
        <D::Service as Service<Req>>::Error: Into<BoxError>,
        P: Protocol<Req, <D::Service as Service<Req>>::Response>,
    {
        ResponseFuture::new(self.core, self.dispatch, request)
    }

    /// Returns the balancer unchanged, and fails to compile where it is not a service of requests of type `Req`. The
    /// compile error then says why, where frameworks such as axum only say that their handler is none.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use equipoise_core::Pool;
    /// use equipoise_tower::BalanceLayer;
    /// use http::Request;
    /// use http_body_util::Full;
    /// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    /// use tower::Layer;
    ///
    /// let client = Client::builder(TokioExecutor::new()).build_http();
    /// let balanced = BalanceLayer::new(Pool::<()>::default()).layer(client).serving::<Request<Full<Bytes>>>();
    /// # drop(balanced);
    /// ```
    #[must_use]
    pub fn serving<Req>(self) -> Self
    where
        T: Send + Sync + 'static,
        D: Dispatch<T, Req> + Clone,
        <D::Service as Service<Req>>::Error: Into<BoxError>,
        P: Protocol<Req, <D::Service as Service<Req>>::Response>,
    {
        self
    }

    /// The pool.
    pub fn pool(&self) -> &Pool<T> {
        &self.core.pool
    }
}

impl<T, D, P, Req> Service<Req> for Balance<T, D, P>
where
    T: Send + Sync + 'static,
    D: Dispatch<T, Req> + Clone,
    <D::Service as Service<Req>>::Error: Into<BoxError>,
    P: Protocol<Req, <D::Service as Service<Req>>::Response>,
{
    type Response = P::Response;
    type Error = Error;
    type Future = ResponseFuture<T, D, P, Req>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        ResponseFuture::new(Arc::clone(&self.core), self.dispatch.clone(), request)
    }
}

impl<T, D: Clone, P> Clone for Balance<T, D, P> {
    fn clone(&self) -> Self {
        Self { dispatch: self.dispatch.clone(), core: Arc::clone(&self.core) }
    }
}

impl<T, D: fmt::Debug, P: fmt::Debug> fmt::Debug for Balance<T, D, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("dispatch", &self.dispatch)
            .field("pool", &self.core.pool)
            .field("settings", &self.core.settings)
            .finish()
    }
}

impl<T, C, P> Balance<T, Shared<C>, P> {
    fn over(pool: Pool<T>, client: C, settings: Settings<P>) -> Self {
        Self::build(pool, Shared(client), settings)
    }
}
