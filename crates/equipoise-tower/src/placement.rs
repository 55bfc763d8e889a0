use std::time::Duration;

use bytes::Bytes;
use equipoise_core::{Binding, EndpointId, PickRequest};

/// A request extension that tells the balancer where a request may go. It can contain a binding (the endpoint that
/// should serve the request), a key, a queue timeout and excluded endpoints. A layer above the balancer inserts the
/// extension. Session affinity (`equipoise-affinity`) does this, and your own layers can do it.
///
/// [`HttpProtocol`](crate::HttpProtocol) removes the placement from each request. If the placement has a binding, the
/// response has a [`BindingOutcome`](equipoise_core::BindingOutcome) extension, which says whether the endpoint of the
/// binding served the request.
///
/// ```
/// use bytes::Bytes;
/// use equipoise_core::{Binding, EndpointSpec, Pool, BindingOutcome};
/// use equipoise_tower::{Balance, Placement};
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::default();
/// pool.update(["a", "b"].map(EndpointSpec::new), |_| {
///     service_fn(|_: Request<Empty<Bytes>>| std::future::ready(Ok::<_, std::io::Error>(Response::new(String::new()))))
/// })?;
/// let mut request = Request::new(Empty::new());
/// request.extensions_mut().insert(Placement::new().binding(Binding::to("b")));
/// let response = Balance::new(pool).oneshot(request).await?;
/// assert_eq!(response.extensions().get(), Some(&BindingOutcome::Kept));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Placement {
    pub(crate) binding: Option<Binding>,
    pub(crate) key: Option<Bytes>,
    pub(crate) queue_timeout: Option<Duration>,
    pub(crate) exclude: Vec<EndpointId>,
}

impl Placement {
    /// Creates an empty placement: no binding, no key, no queue timeout, and no excluded endpoints.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the binding of the request: the endpoint that should serve it, as in a sticky session. The [`Binding`] also
    /// decides what happens if this endpoint cannot take the request. Default: no binding.
    #[must_use]
    pub fn binding(mut self, binding: Binding) -> Self {
        self.binding = Some(binding);
        self
    }

    /// Sets the key of the request. Hashing strategies send requests with the same key to the same endpoint. Default:
    /// the [key](crate::Protocol::key) that the protocol reads from the request.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets how long the request may wait in the pool's queue for an endpoint. With 0, the request waits for at most
    /// about 1 ms, the resolution of tokio's timer. Default: the [`queue_timeout`](crate::Balance::queue_timeout) of
    /// the balancer.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = Some(timeout);
        self
    }

    /// Adds endpoints that the request must not be sent to. Endpoints from earlier calls stay excluded. If all
    /// endpoints are excluded, the request fails with [`PickError::Excluded`](equipoise_core::PickError::Excluded).
    /// Default: no endpoint is excluded.
    ///
    /// If a retry layer above the balancer sends a request again, it should exclude the endpoint that has just failed.
    /// Otherwise, a request with a key or a binding would go to this endpoint again.
    ///
    /// ```
    /// use std::future::{Ready, ready};
    ///
    /// use bytes::Bytes;
    /// use equipoise_core::{EndpointSpec, Pool, RoundRobin};
    /// use equipoise_tower::{Balance, Error, Placement, ServedBy};
    /// use http::{Request, Response, StatusCode};
    /// use http_body_util::Full;
    /// use tower::{Layer, ServiceExt, retry::{Policy, RetryLayer}, service_fn};
    ///
    /// /// Retries responses with status 503 at another endpoint, twice at most.
    /// #[derive(Clone)]
    /// struct Elsewhere {
    ///     retries: usize,
    /// }
    ///
    /// impl<B> Policy<Request<Full<Bytes>>, Response<B>, Error> for Elsewhere {
    ///     type Future = Ready<()>;
    ///
    ///     fn retry(
    ///         &mut self,
    ///         request: &mut Request<Full<Bytes>>,
    ///         result: &mut Result<Response<B>, Error>,
    ///     ) -> Option<Ready<()>> {
    ///         let response = result.as_ref().ok().filter(|response| response.status() == StatusCode::SERVICE_UNAVAILABLE)?;
    ///         let ServedBy(endpoint) = response.extensions().get()?;
    ///         self.retries = self.retries.checked_sub(1)?;
    ///         let placement = request.extensions_mut().remove::<Placement>().unwrap_or_default();
    ///         request.extensions_mut().insert(placement.exclude([endpoint.clone()]));
    ///         Some(ready(()))
    ///     }
    ///
    ///     fn clone_request(&mut self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
    ///         Some(request.clone())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = Pool::new(RoundRobin::new());
    /// pool.update(["a", "b", "c"].map(EndpointSpec::new), |spec| {
    ///     let status = if spec.id().as_str() == "c" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    ///     service_fn(move |_: Request<Full<Bytes>>| {
    ///         let mut response = Response::new(String::new());
    ///         *response.status_mut() = status;
    ///         ready(Ok::<_, std::io::Error>(response))
    ///     })
    /// })?;
    /// let service = RetryLayer::new(Elsewhere { retries: 2 }).layer(Balance::new(pool));
    /// let response = service.oneshot(Request::new(Full::default())).await?;
    /// assert_eq!(response.status(), StatusCode::OK);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn exclude<I>(mut self, ids: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<EndpointId>,
    {
        self.exclude.extend(ids.into_iter().map(Into::into));
        self
    }

    /// Merges this placement with `earlier`: a placement that a layer further above has set on the same request. Call
    /// this method in a layer that sets a placement, so that the settings of `earlier` are not lost.
    ///
    /// - The binding, the key and the queue timeout are those of this placement. If one of them is missing in this
    ///   placement, it is taken from `earlier`.
    /// - The excluded endpoints of both placements are excluded.
    #[must_use]
    pub fn or(mut self, earlier: Self) -> Self {
        self.exclude.extend(earlier.exclude);
        Self {
            binding: self.binding.or(earlier.binding),
            key: self.key.or(earlier.key),
            queue_timeout: self.queue_timeout.or(earlier.queue_timeout),
            exclude: self.exclude,
        }
    }

    /// Returns whether the placement has no binding, no key, no queue timeout, and no excluded endpoints.
    pub fn is_empty(&self) -> bool {
        self.binding.is_none() && self.key.is_none() && self.queue_timeout.is_none() && self.exclude.is_empty()
    }

    /// Creates a [`PickRequest`] with the binding, the key and the excluded endpoints of this placement. Pass the
    /// `PickRequest` to [`Pool::explain`](equipoise_core::Pool::explain) to see which endpoint a request with this
    /// placement would get.
    pub fn request(&self) -> PickRequest<'_> {
        self.of(PickRequest::new().exclude(&self.exclude))
    }

    /// Adds the binding and the key to `request`. Exclusions are not added, because the balancer keeps them in one list
    /// with the endpoints that have failed.
    pub(crate) fn of<'r>(&'r self, request: PickRequest<'r>) -> PickRequest<'r> {
        let bound = match &self.binding {
            Some(binding) => request.bound(binding),
            None => request,
        };
        match &self.key {
            Some(key) => bound.key(key),
            None => bound,
        }
    }
}
