use std::{fmt, sync::Arc, time::Duration};

use equipoise_core::Pool;
use tower_service::Service;

use super::{
    future::ResponseFuture,
    shared::{Core, Settings, Unready},
};
use crate::{
    dispatch::{Dispatch, SharedClient, Targets},
    error::{BoxError, Error},
    http::HttpProtocol,
    observe::{Observe, Observer},
    protocol::Protocol,
};

/// A [`Service`] that sends each request to an endpoint of a pool.
///
/// Make it with [`new`](Self::new) if the pool's targets are services, and with [`BalanceLayer`](crate::BalanceLayer) if one
/// client serves all endpoints.
///
/// It is `Clone + Send + Sync`, without a buffer or a worker task. Clones share the pool. The endpoint is picked in `call`,
/// where the request is known, so the balancer itself is always ready. The response future waits until the endpoint's
/// service is ready; if there is another endpoint, for at most [`ready_timeout`](Self::ready_timeout).
///
/// - **Lease**: a request counts as in flight at its endpoint until the response body has ended or was dropped.
/// - **Failover**: a request that did not reach an endpoint goes to another one, whatever its method, if its body can be
///   [sent again](crate::Replay). So does an idempotent request whose connection broke before a response began. A request
///   never goes to the same endpoint twice, and to at most [`max_attempts`](Self::max_attempts) endpoints. See
///   [`FailureStage`](crate::FailureStage) and [`ErrorClass`](crate::ErrorClass).
/// - **Layers below**: they must send each request once. Redirects (tower-http's `FollowRedirect`) and retries
///   (`tower::retry`, or a client's own) belong above the balancer. Below it, the error of their last request would be taken
///   for that of the first one, which the endpoint may have processed.
/// - **Queue**: if no endpoint can be picked, the request fails at once, or waits for up to
///   [`queue_timeout`](Self::queue_timeout). A request that has failed at one endpoint and finds the others full waits too;
///   if none gets free in time, it fails with its first error.
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
pub struct Balance<T, D = Targets, P = HttpProtocol> {
    dispatch: D,
    core: Arc<Core<T, P>>,
}

impl<T> Balance<T> {
    /// A balancer for HTTP over a pool whose targets are services.
    pub fn new(pool: Pool<T>) -> Self {
        Self::build(pool, Targets, Settings::new(HttpProtocol::new()))
    }
}

impl<T, P> Balance<T, Targets, P> {
    /// A balancer over a pool whose targets are services, with an [`HttpProtocol`] that has settings, a
    /// [`PlainProtocol`](crate::PlainProtocol), or a [`Protocol`] of your own.
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
    /// A request ends with the first response, and never goes to the same endpoint twice. So the maximum is reached only if
    /// that many endpoints fail the request: with `max_attempts(100)` and 100 endpoints that all refuse connections, each request
    /// makes 100 attempts. There is no retry budget over all requests. If many endpoints can fail at once, keep the number
    /// small, and take failing endpoints out by health checks or outlier detection.
    ///
    /// An endpoint that the request leaves because its service did not get ready is not counted: the endpoint never got the
    /// request. See [`ready_timeout`](Self::ready_timeout).
    ///
    /// **Nested balancers**: if the endpoints of a balancer are balancers, attempts do not multiply. For each request, all
    /// balancers below one that retries share the retries of the first balancer below it. With the default, a
    /// request makes at most 4 + 3 = 7 attempts at servers, however many balancers are nested, and not 4 × 4 or 4 × 4 × 4.
    /// The outer balancer's retries come on top, so that it can still try each of its endpoints. This is carried by the
    /// [`Attempt`](crate::Attempt) extension of the request: services between the balancers must hand it on, and
    /// protocols other than [`HttpProtocol`] must implement [`Protocol::on_attempt`] and [`Protocol::outer_attempt`]
    /// ([`PlainProtocol`](crate::PlainProtocol) does not, since its requests have no place for it). A retry layer above the outermost
    /// balancer still multiplies its attempts.
    #[must_use]
    pub fn max_attempts(self, max_attempts: usize) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.max_attempts = max_attempts.max(1))
    }

    /// How long a request may wait in the pool's queue if no endpoint can be picked. It goes on as soon as an endpoint joins,
    /// comes up or has capacity. The time of all waits of a request counts together, from the first one. Default: requests do
    /// not wait and fail at once. Needs tokio's timer.
    #[must_use]
    pub fn queue_timeout(self, timeout: Duration) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.queue_timeout = Some(timeout))
    }

    /// How long a request waits until the service of the picked endpoint is ready (`poll_ready`), before it goes to another
    /// endpoint. Default: 50 ms. Needs tokio's timer; without it there is no bound.
    ///
    /// If the service does not get ready in time, its endpoint gets the verdict
    /// [`Overloaded`](equipoise_core::Verdict::Overloaded). Strategies then send it fewer requests. Outlier detection does not
    /// eject it, since a service that is not ready may only be busy. During the next second, other requests that find it not
    /// ready go elsewhere at once; then one of them waits again. There is no cost for services that are ready at once.
    ///
    /// Going elsewhere is no retry, so it does not count against [`max_attempts`](Self::max_attempts), except after 16
    /// endpoints. [`Attempt::number`](crate::Attempt::number) and [`Error::attempts`] include the endpoints that were waited for.
    ///
    /// A request that cannot go elsewhere waits without a limit: use [`attempt_timeout`](Self::attempt_timeout) or a time-out
    /// above the balancer. There are three such cases:
    ///
    /// - The pool has no other endpoint that the request can go to. If the others are full and there is a
    ///   [`queue_timeout`](Self::queue_timeout), the request waits for them in the queue instead.
    /// - The request has left 16 endpoints that were not ready, and has no retry left.
    /// - One client serves all endpoints ([`BalanceLayer`](crate::BalanceLayer)), and the request has no retry left, such as with
    ///   `max_attempts(1)`. Going elsewhere would not help: such a client does not know the request's endpoint before it is
    ///   ready.
    ///
    /// The default leaves time for a second attempt to callers with a time-out of 100 ms. It is longer than it takes to
    /// connect within a region. Services that connect in `poll_ready` over longer distances, or that queue requests there on
    /// purpose, need a longer time.
    #[must_use]
    pub fn ready_timeout(self, timeout: Duration) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.ready_timeout = timeout)
    }

    /// How long an attempt may take from the pick to the head of the response. Default: no limit. Needs tokio's timer;
    /// without it there is no limit.
    ///
    /// An attempt that takes longer is given up: its future is dropped, the endpoint gets the verdict
    /// [`Failure::Timeout`](equipoise_core::Failure::Timeout), and the request goes to another endpoint if it is
    /// idempotent or was not sent yet, and [`max_attempts`](Self::max_attempts) allows. The time includes the wait for the service to get ready
    /// ([`ready_timeout`](Self::ready_timeout)), but not the wait in the queue and not the body. The error is an
    /// [`AttemptTimedOut`](crate::AttemptTimedOut). For a limit on the whole request, use a time-out above the balancer.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bytes::Bytes;
    /// use equipoise_core::{EndpointSpec, Pool, RoundRobin};
    /// use equipoise_tower::{Balance, ServedBy};
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use tower::service_fn;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = Pool::new(RoundRobin::new());
    /// pool.update(["slow", "fast"].map(EndpointSpec::new), |spec| {
    ///     let delay = Duration::from_secs(if spec.id().as_str() == "slow" { 3600 } else { 0 });
    ///     service_fn(move |_: Request<Full<Bytes>>| async move {
    ///         tokio::time::sleep(delay).await;
    ///         Ok::<_, std::io::Error>(Response::new(String::new()))
    ///     })
    /// })?;
    /// let balance = Balance::new(pool).attempt_timeout(Duration::from_millis(10));
    /// for _ in 0..2 {
    ///     let response = balance.clone().oneshot(Request::new(Full::default())).await?;
    ///     assert_eq!(response.extensions().get(), Some(&ServedBy("fast".into())));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn attempt_timeout(self, timeout: Duration) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.attempt_timeout = Some(timeout))
    }

    /// Reports what happens to requests: see [`Observe`]. Default: no observer. A second call replaces the first.
    #[must_use]
    pub fn observe(self, observe: impl Observe) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.observer = Observer::new(observe))
    }

    /// Sends the request: the same as [`Service::call`], with better compile errors. If a trait bound is not met, the compiler
    /// names it here; for the trait's method, it only says that the method does not exist.
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

    /// Returns the balancer unchanged. Fails to compile if the balancer is not a service of requests of type `Req`, with an
    /// error that says why. Below axum's `HandleError`, the compiler would only report that `HandleError<…>` is not a
    /// service.
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

    /// Returns the pool.
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

impl<T, C, P> Balance<T, SharedClient<C>, P> {
    pub(super) fn over(pool: Pool<T>, client: C, settings: Settings<P>) -> Self {
        Self::build(pool, SharedClient(client), settings)
    }
}
