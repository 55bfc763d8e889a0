//! Affinity as a layer over a balancer.

mod future;

use std::task::{Context, Poll};

use equipoise_core::PickError;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

pub use self::future::AffinityFuture;
pub(crate) use self::future::look_up;
use crate::affinity::Affinity;

/// Puts [`Affinity`] over a [`Balance`](equipoise_tower::Balance), or over a stack of layers that has one within.
///
/// What lies between must hand on the extensions of requests and responses, through which the two talk:
/// [`Placement`](equipoise_tower::Placement) down, [`ServedBy`](equipoise_tower::ServedBy) and
/// [`BindingOutcome`](equipoise_core::BindingOutcome) up. Responses get an [`Outcome`](crate::Outcome).
///
/// ```
/// use bytes::Bytes;
/// use equipoise_affinity::{
///     Affinity, AffinityLayer, Mode, Outcome, Values,
///     cookie::PersistenceCookie,
///     token::{Key, KeyRing},
/// };
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_tower::Balance;
/// use http::{Request, Response, header::{COOKIE, SET_COOKIE}};
/// use http_body_util::{Empty, Full};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::default();
/// pool.update(["a", "b"].map(EndpointSpec::new), |_| {
///     service_fn(|_: Request<Empty<Bytes>>| {
///         std::future::ready(Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::default())))
///     })
/// })?;
/// let cookie = PersistenceCookie::insert("lb").indirect().httponly().build()?;
/// let values = Values::tokens(KeyRing::new(Key::generate(1)), &cookie);
/// let affinity = Affinity::new(&pool, Mode::cookie(cookie, values))?;
/// let service = AffinityLayer::new(affinity).layer(Balance::new(pool));
///
/// let first = service.clone().oneshot(Request::new(Empty::new())).await?;
/// let set = first.headers()[SET_COOKIE].to_str()?.split(';').next().unwrap_or_default().to_owned();
/// let again = service.oneshot(Request::get("/").header(COOKIE, set).body(Empty::new())?).await?;
/// assert_eq!(again.extensions().get(), Some(&Outcome::Kept));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AffinityLayer {
    affinity: Affinity,
}

impl AffinityLayer {
    /// Of this affinity.
    pub fn new(affinity: Affinity) -> Self {
        Self { affinity }
    }
}

impl<S> Layer<S> for AffinityLayer {
    type Service = WithAffinity<S>;

    fn layer(&self, inner: S) -> WithAffinity<S> {
        WithAffinity { affinity: self.affinity.clone(), inner }
    }
}

/// A balancer under [`AffinityLayer`].
///
/// Ready when the balancer is. In the future of a call nothing is awaited before the balancer but the session store,
/// where there is one that has to be asked.
#[derive(Clone, Debug)]
pub struct WithAffinity<S> {
    affinity: Affinity,
    inner: S,
}

impl<S> WithAffinity<S> {
    /// The affinity: its counters, its explanations.
    pub fn affinity(&self) -> &Affinity {
        &self.affinity
    }
}

impl<S, B, R> Service<Request<B>> for WithAffinity<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: From<PickError>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = AffinityFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> AffinityFuture<S, B> {
        // The one that is ready serves this request; the next one is made ready anew.
        let next = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, next);
        AffinityFuture::new(self.affinity.clone(), ready, request)
    }
}
