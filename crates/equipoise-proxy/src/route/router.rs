use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use equipoise_tower::{BoxError, RequestHead};
use http::{Request, Response, header::LOCATION};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::RouteBody,
    mirror::forward,
    path::ASTERISK,
    rewrite::{set_path, with_prefix},
    rule::{Action, Route},
    table::{Missed, Routes},
};
use crate::{body::ProxyBody, check::Refusal, error::ProxyError, headers::OriginalHost};

/// A tower service that passes each request to the service of its route. Put a [`ReverseProxy`](crate::ReverseProxy)
/// around it.
///
/// All services have one type. Services of different types can be boxed, for example with tower's
/// `BoxCloneSyncService`.
///
/// [`replace`](Self::replace) exchanges the table in one step: each request uses either the old table or the new one.
/// Clones share the table.
///
/// The error of the route's service is in [`ProxyError::Service`].
///
/// ```no_run
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_proxy::{ReverseProxy, route::{Route, Router, Routes}};
/// use equipoise_tower::BalanceLayer;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::{Layer, Service};
///
/// # fn serve<S: Service<http::Request<hyper::body::Incoming>>>(_: S) {}
/// # fn service() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder(TokioExecutor::new()).build_http();
/// let balanced = |pool: Pool<()>| BalanceLayer::new(pool).incoming().layer(client.clone());
/// let (web, api) = (Pool::default(), Pool::default());
/// let router = Router::new(Routes::new([
///     Route::to("web", balanced(web)),
///     Route::to("api", balanced(api)).path_prefix("/api"),
/// ])?);
/// serve(ReverseProxy::new(router));
/// # Ok(())
/// # }
/// ```
pub struct Router<S> {
    routes: Arc<ArcSwap<Routes<S>>>,
}

impl<S> Router<S> {
    /// Creates a router with a table of routes.
    #[must_use]
    pub fn new(routes: Routes<S>) -> Self {
        Self { routes: Arc::new(ArcSwap::from_pointee(routes)) }
    }

    /// Exchanges the table of routes. Requests that have found their route are not affected.
    pub fn replace(&self, routes: Routes<S>) {
        self.routes.store(Arc::new(routes));
    }

    /// Returns the current table.
    pub fn routes(&self) -> Arc<Routes<S>> {
        self.routes.load_full()
    }
}

impl<S> Clone for Router<S> {
    fn clone(&self) -> Self {
        Self { routes: Arc::clone(&self.routes) }
    }
}

impl<S: fmt::Debug> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("routes", &self.routes.load()).finish()
    }
}

/// A response extension: the name of the route that the request took. The response of a
/// [`ReverseProxy`](crate::ReverseProxy) for an error has it only if the request had a [`RouteNote`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedRoute(pub Arc<str>);

/// A request extension in which a [`Router`] notes the route of the request. Add it to requests if the route of failed
/// requests matters, for example for an access log: a response for a timeout knows nothing else of the router. Clones
/// share the note.
///
/// ```
/// use equipoise_proxy::route::RouteNote;
///
/// let note = RouteNote::new();
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(note.clone());
/// // After the request has been sent through a router:
/// println!("{}", note.name().unwrap_or("no route"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct RouteNote(Arc<OnceLock<Arc<str>>>);

impl RouteNote {
    /// Creates an empty note.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the name of the route. `None` if no route gets the request, or if no router has got it yet.
    pub fn name(&self) -> Option<&str> {
        self.0.get().map(|name| &**name)
    }

    pub(crate) fn matched(&self) -> Option<MatchedRoute> {
        self.0.get().cloned().map(MatchedRoute)
    }
}

impl<S, B, R> Service<Request<B>> for Router<S>
where
    S: Service<Request<RouteBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send,
    R::Error: Into<BoxError>,
{
    type Response = Response<ProxyBody<R>>;
    type Error = ProxyError;
    type Future = RouterFuture<S, B>;

    /// Always ready. The service of the route is waited for when the route is known.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> RouterFuture<S, B> {
        let routes = self.routes.load();
        match routes.find(RequestHead::of(&request)) {
            Ok(found) => follow(found.route, request),
            Err(Missed::Host) => RouterFuture::fail(ProxyError::NoHost),
            Err(Missed::Route) => RouterFuture::fail(ProxyError::NoRoute),
            Err(Missed::AmbiguousPath) => RouterFuture::fail(Refusal::AmbiguousPath.into()),
        }
    }
}

/// Does what a route says.
fn follow<S, B, R>(route: &Route<S>, mut request: Request<B>) -> RouterFuture<S, B>
where
    S: Service<Request<RouteBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send,
    R::Error: Into<BoxError>,
{
    if let Some(RouteNote(note)) = request.extensions().get() {
        // Of several routers, the outermost one decides.
        note.get_or_init(|| Arc::clone(&route.name));
    }
    let segments = route.path.segments.len();
    let split = match &route.action {
        Action::Service(split) => split,
        Action::Redirect(redirect) => {
            let Some(location) = redirect.location(&request, segments) else {
                return RouterFuture::fail(Refusal::HostMissing.into());
            };
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = redirect.status_code();
            response.headers_mut().insert(LOCATION, location);
            return RouterFuture::new(route, State::Respond { response: Some(response) });
        }
    };
    // Chosen before the request is changed, because the key may be part of the path.
    let Some(service) = split.choose(RequestHead::of(&request)).cloned() else {
        return RouterFuture::fail(ProxyError::NoRoute);
    };
    if let Some(prefix) = route.new_prefix.as_ref().filter(|_| request.uri().path() != ASTERISK) {
        let path = with_prefix(request.uri().path(), segments, prefix).into_owned();
        if !set_path(&mut request, &path) {
            return RouterFuture::fail(Refusal::Target.into());
        }
    }
    if let Some(host) = &route.new_host {
        if let Err(refusal) = host.apply(&mut request) {
            return RouterFuture::fail(refusal.into());
        }
        // A router behind this one finds its routes by the new host.
        request.extensions_mut().remove::<OriginalHost>();
    }
    let request = forward(route.mirror.as_ref(), request);
    RouterFuture::new(route, State::Ready { service, request: Some(request) })
}

pin_project! {
    /// The response future of a [`Router`].
    pub struct RouterFuture<S, B>
    where
        S: Service<Request<RouteBody<B>>>,
    {
        name: Option<Arc<str>>,
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<S, B, F> {
        Respond { response: Option<Response<Bytes>> },
        Fail { error: Option<ProxyError> },
        Ready { service: S, request: Option<Request<RouteBody<B>>> },
        Call { #[pin] future: F },
    }
}

impl<S: Service<Request<RouteBody<B>>>, B> RouterFuture<S, B> {
    fn new(route: &Route<S>, state: State<S, B, S::Future>) -> Self {
        Self { name: Some(Arc::clone(&route.name)), state }
    }

    fn fail(error: ProxyError) -> Self {
        Self { name: None, state: State::Fail { error: Some(error) } }
    }
}

impl<S, B, R> Future for RouterFuture<S, B>
where
    S: Service<Request<RouteBody<B>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<ProxyBody<R>>, ProxyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut response = loop {
            match this.state.as_mut().project() {
                StateProject::Respond { response } => match response.take() {
                    Some(response) => break response.map(ProxyBody::from_bytes),
                    None => return Poll::Pending,
                },
                StateProject::Fail { error } => {
                    return match error.take() {
                        Some(error) => Poll::Ready(Err(error)),
                        None => Poll::Pending,
                    };
                }
                StateProject::Ready { service, request } => {
                    ready!(service.poll_ready(cx)).map_err(|error| ProxyError::of_service(error.into()))?;
                    let Some(request) = request.take() else { return Poll::Pending };
                    let future = service.call(request);
                    this.state.set(State::Call { future });
                }
                StateProject::Call { future } => {
                    let response = ready!(future.poll(cx)).map_err(|error| ProxyError::of_service(error.into()))?;
                    break response.map(ProxyBody::unlimited);
                }
            }
        };
        if let Some(name) = this.name.take() {
            response.extensions_mut().insert(MatchedRoute(name));
        }
        Poll::Ready(Ok(response))
    }
}

impl<S: Service<Request<RouteBody<B>>>, B> fmt::Debug for RouterFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterFuture").field("route", &self.name).finish_non_exhaustive()
    }
}
