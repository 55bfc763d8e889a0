use std::{borrow::Cow, fmt, sync::Arc};

use equipoise_core::{AnyTarget, Lease, Verdict};

use crate::{guard::guarded, protocol::Protocol};

/// Requests and responses of any type: the lease ends when the response is there.
///
/// Without settings every response is a success, nothing has a key, and nothing is sent twice.
///
/// ```
/// use equipoise_core::{EndpointSpec, Failure, Pool, Verdict};
/// use equipoise_tower::{Balance, Plain};
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::default();
/// pool.update(["a", "b"].map(EndpointSpec::new), |spec| {
///     let name = spec.id().to_string();
///     service_fn(move |n: u32| std::future::ready(Ok::<_, std::io::Error>(format!("{n} from {name}"))))
/// })?;
/// let protocol = Plain::new()
///     .classify(|answer: &String| if answer.is_empty() { Verdict::Failure(Failure::Server) } else { Verdict::Success })
///     .repeat(|_: &u32| true);
/// let answer = Balance::with_protocol(pool, protocol).oneshot(7).await?;
/// assert!(answer == "7 from a" || answer == "7 from b");
/// # Ok(())
/// # }
/// ```
pub struct Plain<Req, Res> {
    key: Option<Arc<KeyFn<Req>>>,
    classify: Option<Arc<ClassifyFn<Res>>>,
    repeat: Option<Repeat<Req>>,
}

struct Repeat<Req> {
    copy: fn(&Req) -> Req,
    idempotent: Arc<IdempotentFn<Req>>,
}

type KeyFn<Req> = dyn for<'r> Fn(&'r Req) -> Option<Cow<'r, [u8]>> + Send + Sync;
type ClassifyFn<Res> = dyn Fn(&Res) -> Verdict + Send + Sync;
type IdempotentFn<Req> = dyn Fn(&Req) -> bool + Send + Sync;

impl<Req, Res> Plain<Req, Res> {
    /// No key, every response a success, nothing sent twice.
    pub fn new() -> Self {
        Self { key: None, classify: None, repeat: None }
    }

    /// What strategies that place by key place a request by. A panic in it counts as no key.
    #[must_use]
    pub fn key(mut self, key: impl for<'r> Fn(&'r Req) -> Option<Cow<'r, [u8]>> + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// Which responses count against the endpoint. A panic in it counts as [`Verdict::Neutral`].
    #[must_use]
    pub fn classify(mut self, classify: impl Fn(&Res) -> Verdict + Send + Sync + 'static) -> Self {
        self.classify = Some(Arc::new(classify));
        self
    }

    /// Lets requests fail over, by cloning them: those that never reached an endpoint, and those for which
    /// `idempotent` says that sending them twice does no harm.
    #[must_use]
    pub fn repeat(mut self, idempotent: impl Fn(&Req) -> bool + Send + Sync + 'static) -> Self
    where
        Req: Clone,
    {
        self.repeat = Some(Repeat { copy: Req::clone, idempotent: Arc::new(idempotent) });
        self
    }
}

impl<Req, Res> Protocol<Req, Res> for Plain<Req, Res> {
    type Kept = Req;
    type Response = Res;

    fn key<'r>(&self, request: &'r Req) -> Option<Cow<'r, [u8]>> {
        let key = self.key.as_ref()?;
        guarded(|| key(request)).flatten()
    }

    fn keep(&self, request: Req) -> (Req, Option<Req>) {
        let kept = self.repeat.as_ref().map(|repeat| (repeat.copy)(&request));
        (request, kept)
    }

    fn is_idempotent(&self, kept: &Req) -> bool {
        self.repeat.as_ref().is_some_and(|repeat| guarded(|| (repeat.idempotent)(kept)).unwrap_or(false))
    }

    fn restore(&self, kept: Req) -> Option<Req> {
        Some(kept)
    }

    fn attach(&self, response: Res, lease: Lease<AnyTarget>) -> Res {
        let classify = self.classify.as_ref();
        lease.finish(classify.map_or(Verdict::Success, |f| guarded(|| f(&response)).unwrap_or(Verdict::Neutral)));
        response
    }
}

impl<Req, Res> Default for Plain<Req, Res> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Req> Clone for Repeat<Req> {
    fn clone(&self) -> Self {
        Self { copy: self.copy, idempotent: Arc::clone(&self.idempotent) }
    }
}

impl<Req, Res> Clone for Plain<Req, Res> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), classify: self.classify.clone(), repeat: self.repeat.clone() }
    }
}

impl<Req, Res> fmt::Debug for Plain<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").finish_non_exhaustive()
    }
}
