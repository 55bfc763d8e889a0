use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use equipoise_core::EndpointId;

/// An extension of requests and responses: the number of the balancer's attempt, and its endpoint.
///
/// [`HttpProtocol`](crate::HttpProtocol) sets it on the request that an endpoint's service receives, and on the response
/// that the balancer returns. For failed requests see [`Error::attempts`](crate::Error::attempts) and
/// [`Error::endpoint`](crate::Error::endpoint).
///
/// If a balancer is the endpoint of another balancer, the inner one replaces the request's extension by its own, and the
/// outer one replaces the response's. The request's extension also tells the inner balancer that the outer one retries,
/// so that their attempts do not multiply: see [`Balance::max_attempts`](crate::Balance::max_attempts).
///
/// ```
/// use equipoise_tower::Attempt;
///
/// fn log<B>(response: &http::Response<B>) {
///     if let Some(Attempt { number, endpoint, .. }) = response.extensions().get() {
///         println!("{} from {endpoint} at attempt {number}", response.status());
///     }
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// The attempt's number: 1 for the first attempt of the request, 2 for its first retry, and so on.
    pub number: usize,
    /// The endpoint that the attempt goes to.
    pub endpoint: EndpointId,
    pub(crate) retries: Option<NestedRetries>,
}

impl Attempt {
    /// The same attempt as an extension of the response, without the retries of balancers below.
    pub(crate) fn of_response(self) -> Self {
        Self { retries: None, ..self }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("number", &self.number)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The retries that all balancers below the outermost retrying balancer share for one request.
///
/// The outermost balancer creates it empty, and the first balancer below fills it with its own number of retries.
#[derive(Clone, Debug, Default)]
pub(crate) struct NestedRetries(Arc<OnceLock<AtomicUsize>>);

impl NestedRetries {
    fn cell(&self, max_attempts: usize) -> &AtomicUsize {
        self.0.get_or_init(|| AtomicUsize::new(max_attempts.saturating_sub(1)))
    }

    /// Whether a balancer that makes at most `max_attempts` attempts may retry.
    pub(crate) fn any_left(&self, max_attempts: usize) -> bool {
        self.cell(max_attempts).load(Ordering::Relaxed) > 0
    }

    /// Takes one retry; false if none is left.
    pub(crate) fn take(&self, max_attempts: usize) -> bool {
        self.cell(max_attempts).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}
