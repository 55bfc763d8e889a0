//! The tower layer and the tower service that apply session affinity to requests.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use equipoise_core::PickError;
use equipoise_tower::Placement;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{affinity::Affinity, mode::Found, store::StoreAnswer};

/// A tower layer that applies session affinity ([`Affinity`]) to a load balancer
/// ([`Balance`](equipoise_tower::Balance)), or to a stack of layers that contains a `Balance`: the requests of a
/// session go to the same endpoint.
///
/// Other layers may be between this layer and the balancer. They must keep the extension
/// [`Placement`](equipoise_tower::Placement) of each request, and the extensions
/// [`ServedBy`](equipoise_tower::ServedBy) and [`BindingOutcome`](equipoise_core::BindingOutcome) of each response.
/// This layer adds the extension [`AffinityOutcome`](crate::AffinityOutcome) to each response from an endpoint.
///
/// ```
/// use bytes::Bytes;
/// use equipoise_affinity::{
///     Affinity, AffinityLayer, Mode, AffinityOutcome, EndpointNaming,
///     cookie::PersistenceCookie,
///     token::{TokenKey, KeyRing},
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
/// let naming = EndpointNaming::tokens(KeyRing::new(TokenKey::generate(1)), &cookie);
/// let affinity = Affinity::new(&pool, Mode::cookie(cookie, naming))?;
/// let service = AffinityLayer::new(affinity).layer(Balance::new(pool));
///
/// let first = service.clone().oneshot(Request::new(Empty::new())).await?;
/// let set = first.headers()[SET_COOKIE].to_str()?.split(';').next().unwrap_or_default().to_owned();
/// let again = service.oneshot(Request::get("/").header(COOKIE, set).body(Empty::new())?).await?;
/// assert_eq!(again.extensions().get(), Some(&AffinityOutcome::Kept));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AffinityLayer {
    affinity: Affinity,
}

impl AffinityLayer {
    /// Creates a layer that applies `affinity` to requests. `affinity` and the balancer below the layer must use the
    /// same pool.
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

/// A service that applies [`Affinity`] to the balancer below it, the inner service. Created by [`AffinityLayer`].
///
/// The service is ready when the inner service is ready. A call first finds out to which endpoint the session of the
/// request is bound. If a session store has to ask a server for this, the call waits for the answer. Then the call
/// passes the request to the inner service.
#[derive(Clone, Debug)]
pub struct WithAffinity<S> {
    affinity: Affinity,
    inner: S,
}

impl<S> WithAffinity<S> {
    /// Returns the [`Affinity`] that this service applies, for example to read its counters with [`Affinity::stats`].
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
        // `self.inner` is ready and handles this request. The clone is not ready, so it handles the next request.
        let next = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, next);
        AffinityFuture::new(self.affinity.clone(), ready, request)
    }
}

pin_project! {
    /// The future that a call of [`WithAffinity`] returns. Its output is the response or the error of the inner
    /// service. If the request is refused because its session is not bound to an endpoint ([`Affinity::missing`]), the
    /// output is the error [`PickError::Unbound`].
    pub struct AffinityFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        affinity: Affinity,
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        LookingUp {
            answer: Pin<Box<dyn Future<Output = StoreAnswer> + Send>>,
            call: Option<(S, Request<B>, Found)>,
        },
        Calling {
            #[pin]
            future: S::Future,
            found: Option<Found>,
        },
        Refused { error: Option<PickError> },
    }
}

impl<S, B> AffinityFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn new(affinity: Affinity, mut service: S, request: Request<B>) -> Self {
        if affinity.is_off() {
            let state = State::Calling { future: service.call(request), found: None };
            return Self { affinity, state };
        }
        let (mut head, body) = request.into_parts();
        let mut found = affinity.find(&mut head);
        let request = Request::from_parts(head, body);
        let state = match found.lookup.take() {
            None => State::call(&affinity, service, request, found),
            Some(lookup) => State::LookingUp {
                answer: Box::pin(lookup.within(affinity.store_timeout())),
                call: Some((service, request, found)),
            },
        };
        Self { affinity, state }
    }
}

impl<S, B> State<S, B>
where
    S: Service<Request<B>>,
{
    fn call(affinity: &Affinity, mut service: S, mut request: Request<B>, found: Found) -> Self {
        let placed = affinity.place(&found);
        affinity.count(&found, &placed);
        let Ok(placement) = placed else { return Self::Refused { error: Some(PickError::Unbound) } };
        if !placement.is_empty() {
            // A layer above, such as a retry layer, may have excluded endpoints.
            let earlier = request.extensions_mut().remove::<Placement>().unwrap_or_default();
            request.extensions_mut().insert(placement.or(earlier));
        }
        Self::Calling { future: service.call(request), found: Some(found) }
    }
}

impl<S, B, R> Future for AffinityFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: From<PickError>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::LookingUp { answer, call } => {
                    let answer = ready!(answer.as_mut().poll(cx));
                    // `call` is always `Some` here: the state changes as soon as it is taken.
                    let Some((service, request, mut found)) = call.take() else { return Poll::Pending };
                    found.set_answer(answer);
                    State::call(this.affinity, service, request, found)
                }
                StateProj::Calling { future, found } => {
                    let mut outcome = ready!(future.poll(cx));
                    match (&mut outcome, found.take()) {
                        (Ok(response), Some(found)) => this.affinity.settle(found, response),
                        (Err(_), Some(_)) => this.affinity.count_error(),
                        (_, None) => {}
                    }
                    return Poll::Ready(outcome);
                }
                StateProj::Refused { error } => match error.take() {
                    Some(error) => return Poll::Ready(Err(error.into())),
                    None => return Poll::Pending,
                },
            };
            this.state.set(next);
        }
    }
}

impl<S, B> fmt::Debug for AffinityFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AffinityFuture").finish_non_exhaustive()
    }
}
