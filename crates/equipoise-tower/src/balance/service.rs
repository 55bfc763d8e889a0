use std::{fmt, sync::Arc, time::Duration};

use equipoise_core::Pool;
use tower_service::Service;

use super::{
    attempt::{Dispatch, SharedClient, Targets},
    future::ResponseFuture,
    plan::{Core, Settings},
};
use crate::{
    error::{BoxError, Error},
    http::HttpProtocol,
    observe::{Observe, Observer},
    protocol::Protocol,
};

/// A [`Service`] that sends each request to an endpoint of a pool.
///
/// Use [`new`](Self::new) if the pool's targets (the values that are stored with the endpoints) are services. Use
/// [`BalanceLayer`](crate::BalanceLayer) if one client serves all endpoints.
///
/// A balancer is `Clone + Send + Sync`, and has no buffer and no worker task. Clones share the pool. The endpoint is
/// picked in `call`, when the request is known, so the balancer itself is always ready. The response future waits until
/// the picked endpoint's service is ready. After [`ready_timeout`](Self::ready_timeout), the request goes to another
/// endpoint, if another one can take it.
///
/// - **Lease**: a request counts as in flight at its endpoint until the response body has ended or was dropped.
/// - **Failover**: a request that did not reach its endpoint goes to another endpoint, whatever the request's method
///   is. Its body must be one that can be [sent again](crate::Replay). If the connection broke before a response began,
///   only an idempotent request goes to another endpoint. A request is sent at most
///   [`max_attempts`](Self::max_attempts) times, and never to the same endpoint twice. See
///   [`FailureStage`](crate::FailureStage) and [`ErrorClass`](crate::ErrorClass).
/// - **Layers below** the balancer must send each request once. Put redirects (tower-http's `FollowRedirect`) and
///   retries (`tower::retry`) above the balancer, and turn off the retries of the client. A layer below that sends
///   several requests returns only the error of the final one. An endpoint may have processed an earlier one, and the
///   balancer would send that request again.
/// - **Queue**: if no endpoint can be picked, the request waits for up to [`queue_timeout`](Self::queue_timeout).
///   Without this setting, the request fails at once. A request that has failed at one endpoint also waits if the other
///   endpoints are full. If none of them takes the request in time, the request fails with the error of its previous
///   attempt.
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
    /// Creates a balancer for HTTP over a pool whose targets are services. (A target is the value that is stored with
    /// an endpoint, here the service that sends requests to it.)
    pub fn new(pool: Pool<T>) -> Self {
        Self::build(pool, Targets, Settings::new(HttpProtocol::new()))
    }
}

impl<T, P> Balance<T, Targets, P> {
    /// Creates a balancer with the protocol `protocol`, over a pool whose targets are services. The protocol is an
    /// [`HttpProtocol`] that has settings, a [`PlainProtocol`](crate::PlainProtocol), or your own [`Protocol`]. (A
    /// target is the value that is stored with an endpoint, here the service that sends requests to it.)
    pub fn with_protocol(pool: Pool<T>, protocol: P) -> Self {
        Self::build(pool, Targets, Settings::new(protocol))
    }
}

impl<T, D, P> Balance<T, D, P> {
    fn build(pool: Pool<T>, dispatch: D, settings: Settings<P>) -> Self {
        Self { dispatch, core: Arc::new(Core::new(pool, settings)) }
    }

    fn change(self, change: impl FnOnce(&mut Settings<P>)) -> Self
    where
        P: Clone,
    {
        let mut settings = self.core.settings.clone();
        change(&mut settings);
        Self::build(self.core.pool.clone(), self.dispatch, settings)
    }

    /// Sets the maximum number of attempts for one request, including the first one. Each attempt goes to another
    /// endpoint. Default: 4, as in HAProxy (three retries). 1 means that a failed request is not retried. 0 counts as
    /// 1.
    ///
    /// A request ends with its first response. So a request makes many attempts only if many endpoints fail: with
    /// `max_attempts(100)` and 100 endpoints that all refuse connections, each request makes 100 attempts. There is no
    /// retry budget over all requests. If many endpoints can fail at once, keep the number small, and use health checks
    /// or outlier detection, so that failing endpoints get no requests.
    ///
    /// If the service of an endpoint is not ready and the request goes to another endpoint, this attempt does not count
    /// against the maximum: see [`ready_timeout`](Self::ready_timeout).
    ///
    /// **Nested balancers**: if the endpoints of a balancer are balancers, attempts add up and do not multiply. The
    /// balancer below may use all its retries (`max_attempts` − 1) in the first attempt of the balancer above. The
    /// later attempts of the balancer above share what is left of these retries. Example: with the default of 4
    /// attempts, a balancer has 3 retries. A request then makes at most 1 + 3 + 3 = 7 attempts at servers with two
    /// levels of balancers, and at most 10 with three levels.
    ///
    /// Two things carry the numbers, and services between the balancers must keep both. The error of the balancer below
    /// ([`Error::attempts`]) tells how many retries it has made; it may be the cause of another error. The
    /// [`Attempt`](crate::Attempt) extension of a retried request tells how many are left. If the error is lost, for
    /// example in a timeout between the balancers, the balancers below may make their retries twice: once in the first
    /// attempt, and once in all later attempts. Protocols other than [`HttpProtocol`] must implement
    /// [`Protocol::on_attempt`] and [`Protocol::outer_attempt`]. [`PlainProtocol`](crate::PlainProtocol) does not
    /// implement them, because its requests have no extensions. A retry layer above the outermost balancer still
    /// multiplies attempts.
    #[must_use]
    pub fn max_attempts(self, max_attempts: usize) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.max_attempts = max_attempts.max(1))
    }

    /// Sets how long a request may wait in the pool's queue while no endpoint can be picked. The request is sent as
    /// soon as an endpoint that can take it joins the pool, becomes available or has free capacity. Default: requests
    /// do not wait and fail at once. With 0, a request waits for at most about 1 ms, the resolution of tokio's timer.
    ///
    /// A request can wait again after a failed attempt. The timeout then includes all its waits and attempts since the
    /// start of its first wait.
    ///
    /// This setting needs a tokio runtime with its timer turned on. Without this timer, requests do not wait.
    #[must_use]
    pub fn queue_timeout(self, timeout: Duration) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.queue_timeout = Some(timeout))
    }

    /// Sets how long a request waits for the picked endpoint's service to become ready (`poll_ready`). After this time,
    /// the request goes to another endpoint. Default: 50 ms. With 0, the request goes to another endpoint almost at
    /// once. This setting needs a tokio runtime with its timer turned on. Without this timer, there is no limit.
    ///
    /// If the service is not ready in time, its endpoint gets the verdict
    /// [`Overloaded`](equipoise_core::Verdict::Overloaded). Strategies then send this endpoint fewer requests. Outlier
    /// detection does not eject it, because a service that is not ready may only be busy. During the next second, other
    /// requests that find the service not ready go to another endpoint at once. After this second, one request waits
    /// for the service again.
    ///
    /// If a request leaves an endpoint because the service is not ready, the attempt does not count against
    /// [`max_attempts`](Self::max_attempts). This applies to the first 16 endpoints that the request leaves.
    /// [`Attempt::number`](crate::Attempt::number) and [`Error::attempts`] do count an endpoint if the request has
    /// waited for its service.
    ///
    /// In these cases, the request cannot go to another endpoint and waits without a limit:
    ///
    /// - The pool has no other endpoint that can take the request. If the other endpoints are only full and there is a
    ///   [`queue_timeout`](Self::queue_timeout), the request waits for them in the queue instead.
    /// - The request has left 16 endpoints that were not ready, and has no retry left.
    /// - One client serves all endpoints ([`BalanceLayer`](crate::BalanceLayer)), and the request has no retry left,
    ///   for example with `max_attempts(1)`. The wait would be the same for another endpoint, because the client must
    ///   become ready before it learns which endpoint the request goes to.
    /// - One client serves all endpoints, and the protocol keeps no requests (a [`PlainProtocol`](crate::PlainProtocol)
    ///   without [`failover`](crate::PlainProtocol::failover)).
    ///
    /// To limit the time in these cases, use [`attempt_timeout`](Self::attempt_timeout) or a timeout above the
    /// balancer.
    ///
    /// Reasons for the default of 50 ms: a caller with a timeout of 100 ms has time for a second attempt, and a service
    /// has time to connect within a region. Set a longer time for services that connect in `poll_ready` over longer
    /// distances, or that queue requests in `poll_ready` on purpose.
    #[must_use]
    pub fn ready_timeout(self, timeout: Duration) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.ready_timeout = timeout)
    }

    /// Sets the maximum time of one attempt, from the pick of an endpoint to the head of the response. The time
    /// includes the wait until the service is ready ([`ready_timeout`](Self::ready_timeout)). It includes neither the
    /// wait in the queue nor the response body. Default: no limit. With 0, an attempt fails unless it gets its response
    /// almost at once. This setting needs a tokio runtime with its timer turned on. Without this timer, there is no
    /// limit.
    ///
    /// When the time is over, the future of the attempt is dropped. The result depends on whether the request was sent:
    ///
    /// | the service was | error | stage | verdict |
    /// | --- | --- | --- | --- |
    /// | ready, so the request was sent | [`AttemptTimedOut`](crate::AttemptTimedOut) | [`TimedOut`](crate::FailureStage::TimedOut) | [`Failure::Timeout`](equipoise_core::Failure::Timeout) |
    /// | not ready, so the request was not sent | [`NotSent`](crate::NotSent), with an `AttemptTimedOut` as its source | [`NotSent`](crate::FailureStage::NotSent) | [`Verdict::Overloaded`](equipoise_core::Verdict::Overloaded) |
    ///
    /// If the request was sent, the protocol can [change](crate::Protocol::classify_error) the stage and the verdict.
    /// The request goes to another endpoint if both of these conditions are met:
    ///
    /// - The request is idempotent, or it was not sent.
    /// - [`max_attempts`](Self::max_attempts) allows another attempt.
    ///
    /// To limit the time of the whole request, use a timeout above the balancer.
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

    /// Sets the observer, which receives an event for each step of a request: see [`Observe`]. A balancer has one
    /// observer: a later call replaces the observer of an earlier call. For several observers, pass a pair or a `Vec` of
    /// them. Default: no observer.
    #[must_use]
    pub fn observe(self, observe: impl Observe) -> Self
    where
        P: Clone,
    {
        self.change(|settings| settings.observer = Observer::new(observe))
    }

    /// Sends the request. This method does the same as [`Service::call`], but gives clearer compiler errors: if a trait
    /// bound is not met, the error names the bound.
    pub fn call<Req>(&mut self, request: Req) -> ResponseFuture<T, D, P, Req>
    where
        T: Send + Sync + 'static,
        D: Dispatch<T, Req> + Clone,
        <D::Service as Service<Req>>::Error: Into<BoxError>,
        P: Protocol<Req, <D::Service as Service<Req>>::Response>,
    {
        ResponseFuture::new(Arc::clone(&self.core), self.dispatch.clone(), request)
    }

    /// Sends the request. This method does the same as `tower::ServiceExt::oneshot`, but gives clearer compiler errors:
    /// if a trait bound is not met, the error names the bound.
    pub fn oneshot<Req>(self, request: Req) -> ResponseFuture<T, D, P, Req>
    where
        T: Send + Sync + 'static,
        D: Dispatch<T, Req> + Clone,
        <D::Service as Service<Req>>::Error: Into<BoxError>,
        P: Protocol<Req, <D::Service as Service<Req>>::Response>,
    {
        ResponseFuture::new(self.core, self.dispatch, request)
    }

    /// Returns the balancer unchanged. Call this method to get a clear compiler error if the balancer is not a service
    /// of requests of type `Req`. Example: below axum's `HandleError`, the compiler would only report that
    /// `HandleError<…>` is not a service. With this call, the compiler reports which trait bound the balancer does not
    /// meet.
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

    /// Returns the pool that the balancer picks endpoints from.
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
