use std::time::Duration;

use bytes::Bytes;
use equipoise_core::{Binding, PickRequest};

/// A request extension: where this request is to go, decided before it reached the balancer. Session affinity
/// (`equipoise-affinity`) is such a layer; so may any of yours be.
///
/// [`Http`](crate::Http) heeds it; what became of the binding is in the response's extensions, as a
/// [`Preference`](equipoise_core::Preference).
///
/// ```
/// use bytes::Bytes;
/// use equipoise_core::{Binding, EndpointSpec, Pool, Preference};
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
/// assert_eq!(response.extensions().get(), Some(&Preference::Kept));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Placement {
    pub(crate) binding: Option<Binding>,
    pub(crate) key: Option<Bytes>,
    pub(crate) wait: Option<Duration>,
}

impl Placement {
    /// Nothing is decided.
    pub fn new() -> Self {
        Self::default()
    }

    /// The endpoint that it belongs to.
    #[must_use]
    pub fn binding(mut self, binding: Binding) -> Self {
        self.binding = Some(binding);
        self
    }

    /// What strategies place it by, instead of the protocol's [key](crate::Protocol::key).
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// How long it may wait for an endpoint, instead of what the balancer [allows](crate::Balance::wait).
    #[must_use]
    pub fn wait(mut self, longest: Duration) -> Self {
        self.wait = Some(longest);
        self
    }

    /// Whether nothing is decided.
    pub fn is_empty(&self) -> bool {
        self.binding.is_none() && self.key.is_none() && self.wait.is_none()
    }

    /// A pick's request as this placement makes it: to [explain](equipoise_core::Pool::explain) where it would go.
    pub fn request(&self) -> PickRequest<'_> {
        self.of(PickRequest::new())
    }

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
