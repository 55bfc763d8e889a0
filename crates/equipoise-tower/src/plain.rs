use std::{borrow::Cow, error::Error, fmt, sync::Arc};

use equipoise_core::{AnyTarget, Lease, Verdict};

use crate::{
    error_class::{ErrorClass, ErrorClassifier},
    guard::guarded,
    protocol::Protocol,
};

/// The [`Protocol`] of requests and responses of any type. The lease of a request ends when its response arrives.
///
/// By default, each response counts as a success, requests have no key, and each request is sent at most once.
///
/// ```
/// use equipoise_core::{EndpointSpec, Failure, Pool, Verdict};
/// use equipoise_tower::{Balance, PlainProtocol};
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::default();
/// pool.update(["a", "b"].map(EndpointSpec::new), |spec| {
///     let name = spec.id().to_string();
///     service_fn(move |n: u32| std::future::ready(Ok::<_, std::io::Error>(format!("{n} from {name}"))))
/// })?;
/// let protocol = PlainProtocol::new()
///     .classify(|answer: &String| if answer.is_empty() { Verdict::Failure(Failure::Server) } else { Verdict::Success })
///     .failover(|_: &u32| true);
/// let answer = Balance::with_protocol(pool, protocol).oneshot(7).await?;
/// assert!(answer == "7 from a" || answer == "7 from b");
/// # Ok(())
/// # }
/// ```
pub struct PlainProtocol<Req, Res> {
    key: Option<Arc<KeyFn<Req>>>,
    classify: Option<Arc<ClassifyFn<Res>>>,
    classify_error: Option<ErrorClassifier>,
    failover: Option<Failover<Req>>,
}

struct Failover<Req> {
    copy: fn(&Req) -> Req,
    idempotent: Arc<IdempotentFn<Req>>,
}

type KeyFn<Req> = dyn for<'r> Fn(&'r Req) -> Option<Cow<'r, [u8]>> + Send + Sync;
type ClassifyFn<Res> = dyn Fn(&Res) -> Verdict + Send + Sync;
type IdempotentFn<Req> = dyn Fn(&Req) -> bool + Send + Sync;

impl<Req, Res> PlainProtocol<Req, Res> {
    /// Creates the protocol with its defaults: requests have no key, each response is a success, and each request is
    /// sent at most once.
    pub fn new() -> Self {
        Self { key: None, classify: None, classify_error: None, failover: None }
    }

    /// Sets a closure that returns the key of a request, or `None` if the request has no key. Hashing strategies send
    /// requests with the same key to the same endpoint. The closure is called once per request. If it panics, the
    /// request has no key. Default: no request has a key.
    #[must_use]
    pub fn key(mut self, key: impl for<'r> Fn(&'r Req) -> Option<Cow<'r, [u8]>> + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// Sets a closure that returns the verdict for a response. If the closure panics, the verdict is
    /// [`Verdict::Neutral`]. Default: each response is a [`Verdict::Success`].
    #[must_use]
    pub fn classify(mut self, classify: impl Fn(&Res) -> Verdict + Send + Sync + 'static) -> Self {
        self.classify = Some(Arc::new(classify));
        self
    }

    /// Sets a closure that returns what the error of an attempt means: the verdict for the endpoint, and whether the
    /// request may be sent to another endpoint. If the closure panics, [`ErrorClass::of`] is used instead. Default:
    /// [`ErrorClass::of`].
    #[must_use]
    pub fn classify_error(
        mut self,
        classify: impl Fn(&(dyn Error + 'static)) -> ErrorClass + Send + Sync + 'static,
    ) -> Self {
        self.classify_error = Some(ErrorClassifier::new(classify));
        self
    }

    /// Turns failover on. Each request is then cloned, so that it can be sent to another endpoint. Default: off.
    ///
    /// - A request that did not reach its endpoint goes to another endpoint.
    /// - A request that may have reached its endpoint goes to another endpoint only if `idempotent` returns true for
    ///   it. If `idempotent` panics, the request counts as not idempotent.
    #[must_use]
    pub fn failover(mut self, idempotent: impl Fn(&Req) -> bool + Send + Sync + 'static) -> Self
    where
        Req: Clone,
    {
        self.failover = Some(Failover { copy: Req::clone, idempotent: Arc::new(idempotent) });
        self
    }
}

impl<Req, Res> Protocol<Req, Res> for PlainProtocol<Req, Res> {
    type Kept = Req;
    type Response = Res;

    fn key<'r>(&self, request: &'r Req) -> Option<Cow<'r, [u8]>> {
        let key = self.key.as_ref()?;
        guarded(|| key(request)).flatten()
    }

    fn keep(&self, request: Req) -> (Req, Option<Req>) {
        let kept = self.failover.as_ref().map(|failover| (failover.copy)(&request));
        (request, kept)
    }

    fn is_idempotent(&self, kept: &Req) -> bool {
        self.failover.as_ref().is_some_and(|failover| guarded(|| (failover.idempotent)(kept)).unwrap_or(false))
    }

    fn restore(&self, kept: Req) -> Option<Req> {
        Some(kept)
    }

    fn classify_error(&self, error: &(dyn Error + 'static)) -> ErrorClass {
        self.classify_error.as_ref().map_or_else(|| ErrorClass::of(error), |classifier| classifier.class(error))
    }

    fn verdict(&self, response: &Res) -> Option<Verdict> {
        let classify = self.classify.as_ref();
        Some(classify.map_or(Verdict::Success, |f| guarded(|| f(response)).unwrap_or(Verdict::Neutral)))
    }

    fn attach(&self, response: Res, lease: Lease<AnyTarget>, verdict: Option<Verdict>) -> Res {
        lease.finish(verdict.unwrap_or(Verdict::Success));
        response
    }
}

impl<Req, Res> Default for PlainProtocol<Req, Res> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Req> Clone for Failover<Req> {
    fn clone(&self) -> Self {
        Self { copy: self.copy, idempotent: Arc::clone(&self.idempotent) }
    }
}

impl<Req, Res> Clone for PlainProtocol<Req, Res> {
    fn clone(&self) -> Self {
        let (key, failover) = (self.key.clone(), self.failover.clone());
        Self { key, classify: self.classify.clone(), classify_error: self.classify_error.clone(), failover }
    }
}

impl<Req, Res> fmt::Debug for PlainProtocol<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainProtocol").finish_non_exhaustive()
    }
}
