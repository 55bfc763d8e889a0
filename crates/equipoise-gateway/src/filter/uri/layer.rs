use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use equipoise_proxy::{__private::set_path, error::ErrorResponses};
use http::{Request, Response, StatusCode, uri::PathAndQuery};
use tower_layer::Layer;
use tower_service::Service;

use super::{fault::PathFault, policy::UriPolicy};
use crate::{Denial, ReplyBody, ReplyFuture};

/// A layer that refuses or rewrites paths that servers read differently: see [`UriPolicy`].
///
/// Put it outside of all layers that look at the path. Refused requests get status 400 with the code `ambiguous_path`.
/// A request whose path was rewritten has the extension [`OriginalPath`].
///
/// ```
/// use equipoise_gateway::filter::{UriLayer, UriPolicy};
///
/// let strict = UriLayer::default();
/// let merging = UriLayer::new(UriPolicy::normalizing());
/// # drop((strict, merging));
/// ```
#[derive(Clone, Debug, Default)]
pub struct UriLayer {
    policy: UriPolicy,
    errors: Arc<ErrorResponses>,
    counts: Arc<Counts>,
}

/// The service of a [`UriLayer`].
#[derive(Clone, Debug)]
pub struct Uris<S> {
    inner: S,
    layer: UriLayer,
}

/// A request extension: the path and the query that the client sent, if a [`UriLayer`] has changed the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalPath(pub PathAndQuery);

/// What a [`UriLayer`] has counted since it was created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UriStats {
    /// The number of requests whose path was rewritten.
    pub rewritten: u64,
    /// The number of requests that were refused, by reason. All reasons are listed, in the order of
    /// [`PathFault::ALL`].
    pub refused: Vec<(PathFault, u64)>,
}

#[derive(Debug, Default)]
struct Counts {
    rewritten: AtomicU64,
    refused: [AtomicU64; PathFault::ALL.len()],
}

impl UriLayer {
    /// Creates a layer with a policy.
    #[must_use]
    pub fn new(policy: UriPolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Sets the form of the responses to refused requests. Default: [`ErrorResponses::new`].
    #[must_use]
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.errors = Arc::new(errors);
        self
    }

    /// Returns what this layer and its clones have counted.
    pub fn stats(&self) -> UriStats {
        let refused = PathFault::ALL.into_iter().zip(&self.counts.refused);
        UriStats {
            rewritten: self.counts.rewritten.load(Ordering::Relaxed),
            refused: refused.map(|(fault, count)| (fault, count.load(Ordering::Relaxed))).collect(),
        }
    }

    /// Rewrites the path of a request, or returns why it is refused.
    fn apply<B>(&self, request: &mut Request<B>) -> Result<(), PathFault> {
        let path = request.uri().path();
        // `*`, and the authority of CONNECT.
        if !path.starts_with('/') {
            return Ok(());
        }
        let new = match self.policy.apply(path)? {
            std::borrow::Cow::Borrowed(_) => return Ok(()),
            std::borrow::Cow::Owned(new) => new,
        };
        let original = request.uri().path_and_query().cloned();
        if !set_path(request, &new) {
            return Err(PathFault::InvalidEncoding);
        }
        self.counts.rewritten.fetch_add(1, Ordering::Relaxed);
        if let Some(original) = original {
            request.extensions_mut().insert(OriginalPath(original));
        }
        Ok(())
    }
}

impl<S> Layer<S> for UriLayer {
    type Service = Uris<S>;

    fn layer(&self, inner: S) -> Uris<S> {
        Uris { inner, layer: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for Uris<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ReplyBody<R>>;
    type Error = S::Error;
    type Future = ReplyFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.layer.apply(&mut request) {
            Ok(()) => ReplyFuture::inner(self.inner.call(request)),
            Err(fault) => {
                let at = PathFault::ALL.iter().position(|each| *each == fault);
                if let Some(count) = at.and_then(|at| self.layer.counts.refused.get(at)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                let denial =
                    Denial::new(StatusCode::BAD_REQUEST, "ambiguous_path", "servers read this path differently");
                ReplyFuture::own(denial.respond(&request, &self.layer.errors))
            }
        }
    }
}
