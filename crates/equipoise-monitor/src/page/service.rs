use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    accept::preferred,
    assets,
    body::PageBody,
    control::{Control, Operator, Refused},
    explain::explain,
    host::Hosts,
    reply::{self, Problem},
    route::{Mount, Route},
    stream::{Closed, Feed, Streams},
};
use crate::monitor::Monitor;

/// How many streams of updates there are at most, unless [`StatusPage::max_streams`] says otherwise.
const MAX_STREAMS: usize = 64;

/// The status page of a monitor, as a tower service for requests of HTTP. The [module](super) describes it.
///
/// Clones share the limit of streams, the messages to clients, whether the page is [closed](Self::close), and the token against forged requests. The methods that
/// change a setting do not affect other clones.
#[derive(Clone)]
#[must_use]
pub struct StatusPage {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    monitor: Monitor,
    feed: Arc<Feed>,
    streams: Streams,
    max_streams: usize,
    closed: Closed,
    mount: Mount,
    hosts: Hosts,
    control: Option<Control>,
}

impl StatusPage {
    /// Creates a page that shows what the monitor knows, and permits no changes. Starts the task of
    /// [`Monitor::spawn`], which ends when all clones of the page are dropped, and all of its streams have ended.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime, and in a runtime without timers.
    pub fn new(monitor: &Monitor) -> Self {
        let feed = Arc::new(Feed::new(monitor.clone(), Arc::new(monitor.spawn())));
        let closed = Closed::default();
        let inner = Inner {
            monitor: monitor.clone(),
            streams: Streams::new(Arc::clone(&feed), MAX_STREAMS, closed.clone()),
            feed,
            max_streams: MAX_STREAMS,
            closed,
            mount: Mount::default(),
            hosts: Hosts::default(),
            control: None,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Sets the path below which the page is served, such as `/status/`. A request for the path without the slash at its
    /// end is redirected. Default: `/`.
    ///
    /// Do not set it below a router that takes the beginning of the path away, such as `nest_service` of axum.
    pub fn at(mut self, path: &str) -> Self {
        self.inner_mut().mount = Mount::new(path);
        self
    }

    /// Permits requests for a host name, such as `status.example.com`. Requests for an address or for `localhost` are
    /// always permitted. Others get the status `421 Misdirected Request`.
    ///
    /// The check keeps a web page of another site from reading the state through the browser of an operator, under a
    /// name of that site that leads to the address of this server (DNS rebinding).
    pub fn allow_host(mut self, name: &str) -> Self {
        self.inner_mut().hosts.allow(name);
        self
    }

    /// Permits requests for any host name. Use it only if a service in front of the page checks the name, or asks for
    /// credentials.
    pub fn allow_any_host(mut self) -> Self {
        self.inner_mut().hosts.allow_any();
        self
    }

    /// Sets how many streams of updates there are at most: one for each window in which the page is open. Further ones
    /// get the status `503 Service Unavailable`, unless a stream has had a stuck reader for 30 s, which then ends.
    /// Default: 64.
    pub fn max_streams(mut self, streams: usize) -> Self {
        let inner = self.inner_mut();
        inner.streams = Streams::new(Arc::clone(&inner.feed), streams, inner.closed.clone());
        inner.max_streams = streams;
        self
    }

    /// Permits changes: operators can set endpoints to ready, drain or maintenance, in pools whose
    /// [health](crate::WatchedPool::health) is watched. Default: the page permits no changes.
    ///
    /// `authorise` gets the head of each request for a change, and returns who sends it, or why it is refused. It is
    /// called before the body of the request is read. A request from a page of another site is refused before that, and
    /// one without the token of this page after that.
    ///
    /// [`Refused::unauthenticated`] makes browsers ask for a name and a password.
    ///
    /// ```
    /// use equipoise_monitor::{Monitor, page::{Operator, Refused, StatusPage}};
    /// use http::{header, request::Parts};
    ///
    /// /// Returns the user whose name and password are in the header `Authorization`.
    /// fn user(head: &Parts) -> Option<String> {
    ///     let credentials = head.headers.get(header::AUTHORIZATION)?;
    ///     // Decode the header, and compare a hash of the password in constant time.
    /// #   let _ = credentials;
    /// #   None
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let authorise = |head: &Parts| match user(head) {
    ///     Some(user) => Ok(Operator::new(user)),
    ///     None => Err(Refused::unauthenticated("status page")),
    /// };
    /// let page = StatusPage::new(&Monitor::new()).allow_changes(authorise);
    /// # drop(page);
    /// # }
    /// ```
    pub fn allow_changes(
        mut self,
        authorise: impl Fn(&Parts) -> Result<Operator, Refused> + Send + Sync + 'static,
    ) -> Self {
        let inner = self.inner_mut();
        let control = Control::new(authorise);
        inner.feed = Arc::new(inner.feed.with_csrf_token(control.token.as_str()));
        inner.streams = Streams::new(Arc::clone(&inner.feed), inner.max_streams, inner.closed.clone());
        inner.control = Some(control);
        self
    }

    /// Returns an axum router with the paths of the page, for [`Router::merge`](axum::Router::merge). The paths begin
    /// with that of [`at`](Self::at). If a segment of it begins with `:` or `*`, the other router needs
    /// [`without_v07_checks`](axum::Router::without_v07_checks).
    ///
    /// ```
    /// use equipoise_monitor::{Monitor, page::StatusPage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let page = StatusPage::new(&Monitor::new()).at("/status/");
    /// let app: axum::Router = axum::Router::new().merge(page.router());
    /// # drop(app);
    /// # }
    /// ```
    #[cfg(feature = "axum")]
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn router<S: Clone + Send + Sync + 'static>(self) -> axum::Router<S> {
        // Braces have a meaning in routes of axum, and colons and asterisks had one in earlier versions.
        let mount = self.inner.mount.path().replace('{', "{{").replace('}', "}}");
        let mut router = axum::Router::new().without_v07_checks();
        for path in super::route::PATHS {
            router = router.route_service(&format!("{mount}{path}"), self.clone());
        }
        if mount != "/" {
            router = router.route_service(mount.trim_end_matches('/'), self.clone());
        }
        router.route_service(&format!("{mount}assets/{{file}}"), self)
    }

    /// Ends all streams of updates, and refuses new ones with the status `503 Service Unavailable`, also in all clones of
    /// the page. All other requests are answered as before. A closed page cannot be opened again.
    ///
    /// A stream does not end by itself. A server that waits for its connections when it shuts down, such as that of axum
    /// with `with_graceful_shutdown`, would therefore wait for each open window. Close the page when the shutdown begins:
    ///
    /// ```
    /// use equipoise_monitor::{Monitor, page::StatusPage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let page = StatusPage::new(&Monitor::new());
    /// let closing = page.clone();
    /// let signal = async move {
    ///     // Wait for the signal to end, then:
    ///     closing.close();
    /// };
    /// // With axum: `axum::serve(listener, page.router()).with_graceful_shutdown(signal)`.
    /// # signal.await;
    /// # }
    /// ```
    pub fn close(&self) {
        self.inner.closed.close();
    }

    fn inner_mut(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.inner)
    }
}

impl fmt::Debug for StatusPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { mount, hosts, control, .. } = &*self.inner;
        f.debug_struct("StatusPage")
            .field("at", &mount.path())
            .field("hosts", hosts)
            .field("allows_changes", &control.is_some())
            .finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for StatusPage
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<PageBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<PageBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let mut response = inner.answer(&head, body).await.unwrap_or_else(Problem::into_response);
            reply::secure(&mut response);
            if head.method == Method::HEAD {
                response = without_body(response);
            }
            Ok(response)
        })
    }
}

impl Inner {
    async fn answer<B>(&self, head: &Parts, body: B) -> Result<Response<PageBody>, Problem>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.hosts.check(head)?;
        let route = self.mount.find(head.uri.path(), original_path(head)).ok_or_else(|| {
            let mount = self.mount.path();
            let text = format!("the status page is at {mount}, its data at {mount}status.json and {mount}updates");
            Problem::new(StatusCode::NOT_FOUND, text)
        })?;
        check_method(&route, &head.method)?;
        match route {
            Route::Redirect(location) => Ok(redirect(&location, head.uri.query())),
            Route::Page => {
                let types = ["text/html", "application/json"];
                let chosen = preferred(&head.headers, &types).ok_or_else(|| {
                    Problem::new(StatusCode::NOT_ACCEPTABLE, "the page is text/html or application/json")
                })?;
                let mut response = if chosen == 0 { assets::PAGE.respond(&head.headers) } else { self.state().await? };
                response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
                Ok(response)
            }
            Route::Status => self.state().await,
            Route::Updates => self.updates(&head.method),
            Route::Asset(asset) => Ok(asset.respond(&head.headers)),
            Route::Explain => {
                let query = head.uri.query().unwrap_or_default();
                let mut response = explain(&self.monitor, query, &head.headers).await?;
                response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
                Ok(response)
            }
            Route::Endpoints => match &self.control {
                Some(control) => control.change(&self.monitor, head, body).await,
                None => Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    "the page permits no changes: the program can permit them with StatusPage::allow_changes",
                )),
            },
        }
    }

    async fn state(&self) -> Result<Response<PageBody>, Problem> {
        let json =
            self.feed.json().await.ok_or_else(|| {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the state could not be written as JSON")
            })?;
        Ok(reply::data("application/json", PageBody::from(json)))
    }

    fn updates(&self, method: &Method) -> Result<Response<PageBody>, Problem> {
        if self.closed.is_closed() {
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the program shuts down"));
        }
        let body = if method == Method::HEAD {
            PageBody::unknown()
        } else {
            let updates = self.streams.start().ok_or_else(|| {
                let text = "there are too many streams of updates: close other windows with this page";
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, text);
                problem.with(header::RETRY_AFTER, HeaderValue::from_static("5"))
            })?;
            PageBody::updates(updates)
        };
        let mut response = reply::data("text/event-stream", body);
        // nginx would collect the messages otherwise.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(response)
    }
}

/// Returns the path that the client has sent, if an axum router has taken away its beginning.
#[cfg_attr(not(feature = "axum"), expect(clippy::missing_const_for_fn, unused_variables))]
fn original_path(head: &Parts) -> Option<&str> {
    #[cfg(feature = "axum")]
    return head.extensions.get::<axum::extract::OriginalUri>().map(|uri| uri.0.path());
    #[cfg(not(feature = "axum"))]
    None
}

fn check_method(route: &Route, method: &Method) -> Result<(), Problem> {
    let (is_allowed, allowed) = match route {
        Route::Endpoints => (method == Method::POST, "POST"),
        _ => (method == Method::GET || method == Method::HEAD, "GET, HEAD"),
    };
    if is_allowed {
        return Ok(());
    }
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}"));
    Err(problem.with(header::ALLOW, HeaderValue::from_static(allowed)))
}

fn redirect(location: &str, query: Option<&str>) -> Response<PageBody> {
    let location = query.map_or_else(|| location.to_owned(), |query| format!("{location}?{query}"));
    let mut response = reply::text(format!("the page is at {location}\n"));
    // Not a permanent one: browsers would keep it after another version of the program serves something else here.
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Returns the response to HEAD: the head of that to GET.
fn without_body(response: Response<PageBody>) -> Response<PageBody> {
    let (mut head, body) = response.into_parts();
    let Some(length) = body.size_hint().exact() else { return Response::from_parts(head, body) };
    if head.status != StatusCode::NOT_MODIFIED {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, PageBody::default())
}
