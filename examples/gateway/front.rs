//! The service of a listener. Its site can be exchanged while it serves.

use std::{
    borrow::Cow,
    convert::Infallible,
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use arc_swap::ArcSwap;
use equipoise::{
    EndpointId,
    gateway::{DenialCode, Identity, browser::RequestId},
    proxy::{Failed, ProxyError, route::RouteNote},
    tower::{RequestHead, ServedBy},
};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery},
};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tower::Service;

use crate::{
    client::Client,
    routes::NO_ROUTE,
    site::{Proxy, Site},
    source::causes,
};

const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

#[derive(Clone)]
pub(crate) struct Front {
    site: Arc<ArcSwap<Site>>,
    requests: Arc<AtomicU64>,
}

impl Front {
    pub(crate) fn new(site: Site) -> Self {
        Self { site: Arc::new(ArcSwap::from_pointee(site)), requests: Arc::default() }
    }

    /// Returns the number of requests that the server has let pass since the listener was opened.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Exchanges the site for all later requests.
    pub(crate) fn replace(&self, site: Site) {
        self.site.store(Arc::new(site));
    }

    /// Returns the site for the next requests.
    pub(crate) fn site(&self) -> Arc<Site> {
        self.site.load_full()
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = <Proxy as Service<Request<Incoming>>>::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        let site = self.site();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let client = site.clients.of(RequestHead::of(&request)).map(Client);
        if let Some(client) = client {
            request.extensions_mut().insert(client);
        }
        let mut access = Access::begin(&request, client, &site);
        request.extensions_mut().insert(access.route.clone());
        Box::pin(async move {
            // Called here, because a future that is moved into this one would be in it twice.
            let mut response = site.proxy.clone().call(request).await?;
            access.answered(&response);
            let served_by = response.extensions().get().map(|ServedBy(id)| HeaderValue::from_str(id.as_str()));
            if let Some(Ok(id)) = served_by.filter(|_| site.served_by_header) {
                response.headers_mut().insert(SERVED_BY, id);
            }
            Ok(response)
        })
    }
}

/// A request that the server has let pass, in the log. Its line of the access log is written when this is dropped: when the
/// head of the response is sent, or when the client has closed its connection before.
struct Access {
    logs: bool,
    secret_parameters: Arc<[String]>,
    /// Whether there is a cache.
    caches: bool,
    began: Instant,
    client: Option<Client>,
    method: Method,
    uri: Uri,
    /// The host that the client asked for, without the port. `None` if it is not logged.
    host: Option<Authority>,
    /// The name of a route is that of its pools.
    route: RouteNote,
    status: Option<StatusCode>,
    endpoint: Option<EndpointId>,
    /// What the functions of the gateway tell of the request. Nothing if it is not logged.
    functions: Told,
}

/// What the functions of the gateway tell of a request, in the extensions of its response.
#[derive(Default)]
struct Told {
    identity: Option<Identity>,
    denial: Option<&'static str>,
    request_id: Option<HeaderValue>,
    /// What the cache says of the request in `Cache-Status`.
    cache: Option<HeaderValue>,
}

impl Told {
    fn of<B>(response: &Response<B>, caches: bool) -> Self {
        let extensions = response.extensions();
        // The cache adds its line after those of the caches behind it.
        let status = response.headers().get_all("cache-status").iter().next_back();
        Self {
            cache: status.filter(|_| caches).cloned(),
            identity: extensions.get().cloned(),
            denial: extensions.get().map(|DenialCode(code)| *code),
            request_id: extensions.get().map(|id: &RequestId| id.header_value().clone()),
        }
    }
}

/// Returns `hit`, or why the cache has forwarded the request, such as `uri-miss`.
fn outcome(status: &HeaderValue) -> Option<&str> {
    let outcome = status.to_str().ok()?.split(';').nth(1)?.trim();
    Some(outcome.strip_prefix("fwd=").unwrap_or(outcome))
}

/// Returns a path and a query, with `***` for the values of secret parameters.
fn masked<'u>(uri: &'u str, secret: &[String]) -> Cow<'u, str> {
    let Some((path, query)) = uri.split_once('?').filter(|_| !secret.is_empty()) else { return uri.into() };
    let is_secret = |name: &str| {
        let spaced = name.replace('+', " ");
        let decoded: Vec<u8> = percent_decode_str(&spaced).collect();
        secret.iter().any(|secret| secret.as_bytes() == decoded)
    };
    let part = |part: &'u str| match part.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=***").into(),
        _ => Cow::from(part),
    };
    format!("{path}?{}", query.split('&').map(part).collect::<Vec<_>>().join("&")).into()
}

impl Access {
    /// Returns the path and the query, which requests of HTTP/1.1 and HTTP/2 have in the same form.
    fn uri(&self) -> Cow<'_, str> {
        let uri = &self.uri;
        let path = uri.path_and_query().map(PathAndQuery::as_str);
        let text = path.or(uri.authority().map(Authority::as_str)).unwrap_or_default();
        masked(text, &self.secret_parameters)
    }

    /// Returns the pools of the route. `None` if there is no route.
    fn pool(&self) -> Option<&str> {
        self.route.name().filter(|name| *name != NO_ROUTE)
    }

    fn begin(request: &Request<Incoming>, client: Option<Client>, site: &Site) -> Self {
        // Parsed, so that a client cannot write anything else into the line.
        let field = || request.headers().get(header::HOST)?.to_str().ok()?.parse().ok();
        let host = if site.logs { request.uri().authority().cloned().or_else(field) } else { None };
        let (began, route) = (Instant::now(), RouteNote::new());
        Self {
            logs: site.logs,
            secret_parameters: site.secret_parameters.clone(),
            caches: site.caches,
            began,
            client,
            method: request.method().clone(),
            uri: request.uri().clone(),
            host,
            route,
            status: None,
            endpoint: None,
            functions: Told::default(),
        }
    }

    /// Keeps what the line tells of the response. A failure has a line of its own, with or without the access log.
    fn answered<B>(&mut self, response: &Response<B>) {
        let extensions = response.extensions();
        self.status = Some(response.status());
        if self.logs {
            self.functions = Told::of(response, self.caches);
        }
        self.endpoint = extensions.get().map(|ServedBy(id)| id.clone());
        if let Some(Failed(error)) = extensions.get() {
            self.endpoint = endpoint_of(error);
            tracing::warn!(
                client = self.client.map(|client| tracing::field::display(client.0)),
                method = %self.method,
                uri = %self.uri(),
                pool = self.pool().map(tracing::field::display),
                error = causes(&**error),
                "a request has failed",
            );
        }
    }
}

/// Returns the endpoint of the last attempt.
fn endpoint_of(error: &ProxyError) -> Option<EndpointId> {
    let mut causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    causes.find_map(|error| error.downcast_ref::<equipoise::tower::Error>()?.endpoint().cloned())
}

impl Drop for Access {
    fn drop(&mut self) {
        if !self.logs {
            return;
        }
        tracing::info!(
            target: "access",
            client = self.client.map(|client| tracing::field::display(client.0)),
            method = %self.method,
            host = self.host.as_ref().map(|host| tracing::field::display(host.host())),
            uri = %self.uri(),
            status = %self.status.as_ref().map_or("cancelled", StatusCode::as_str),
            pool = self.pool().map(tracing::field::display),
            endpoint = self.endpoint.as_ref().map(tracing::field::display),
            identity = self.functions.identity.as_ref().map(Identity::name),
            denial = self.functions.denial,
            cache = self.functions.cache.as_ref().and_then(outcome),
            request_id = self.functions.request_id.as_ref().and_then(|id| id.to_str().ok()),
            micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
        );
    }
}
