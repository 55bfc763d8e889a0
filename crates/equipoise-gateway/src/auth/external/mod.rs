mod answer;
mod cache;
mod call;
mod error;
mod request;
mod stats;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use equipoise_affinity::source::ClientAddress;
use equipoise_tower::{BoxError, RequestHead};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::Full;
use tokio::{sync::Semaphore, time::Instant};
use tower_service::Service;

use self::{
    answer::{Reading, is_reusable},
    cache::{Decisions, Key},
    call::{Call, CallError, call},
    error::{copied, written},
    request::Template,
    stats::Counters,
};
pub use self::{cache::DecisionCache, error::InvalidExternal, stats::ExternalStats};
use super::{AuthFailure, AuthFuture, AuthResult, Authenticate, Authenticated, Realm};
use crate::{Denial, Identity, Mechanism, filter::UriPolicy};

/// The attribute of identities that were allowed because the service was not available.
const FAIL_OPEN: &str = "fail_open";

/// External authorisation: a service is asked about each request, as with `auth_request` of nginx, `forwardAuth` of
/// Traefik and `ext_authz` over HTTP of Envoy.
///
/// The service gets a request without body:
///
/// - `GET` of the URI that was given. [`with_method`](Self::with_method) and [`with_path`](Self::with_path) use those
///   of the client's request, as Envoy does.
/// - The fields `Accept`, `Accept-Language`, `Authorization`, `Cookie`, `User-Agent` and `X-Request-Id` of the client's
///   request. [`send_fields`](Self::send_fields) sets others.
/// - `X-Original-Method` and `X-Original-URI` (the path and the query), the same in `X-Forwarded-Method` and
///   `X-Forwarded-Uri`, and `X-Forwarded-Host`, `X-Forwarded-Proto` and `X-Forwarded-For`. What the client has sent in
///   these fields is replaced.
///
/// Its response decides:
///
/// | status | effect |
/// | --- | --- |
/// | 2xx | The request is passed on. |
/// | 401, 403 | The client gets this status, with the fields `WWW-Authenticate` and `Set-Cookie`. |
/// | 301, 302, 303, 307, 308 with `Location` | The client gets this status, with `Location` and `Set-Cookie`. |
/// | 5xx, an error, a timeout | The client gets status 503, unless [`fail_open`](Self::fail_open) is set. |
/// | any other | The client gets status 503. |
///
/// Lists of fields cannot contain those of the connection, of the body's length and coding, and `Host`:
/// [`InvalidExternal::Framing`] refuses them.
///
/// The service also decides about requests without credentials, so that an [optional](super::AuthLayer::optional) layer
/// passes on none that the service denies.
///
/// The body of the response is not passed on. The name of the [`Identity`] is the field `X-Auth-User` of the response,
/// and empty without it. It is text in UTF-8.
///
/// ```
/// use equipoise_core::Pool;
/// use equipoise_gateway::auth::{AuthLayer, External};
/// use equipoise_http::HttpClient;
/// use http::HeaderName;
///
/// let client = HttpClient::new(Pool::default());
/// let external = External::new(client, "/auth")?
///     .attribute_from(HeaderName::from_static("x-auth-groups"), "groups")
///     .forward_fields([HeaderName::from_static("x-auth-token")])?;
/// let layer = AuthLayer::new(external);
/// # drop(layer);
/// # Ok::<(), equipoise_gateway::auth::InvalidExternal>(())
/// ```
#[derive(Clone)]
pub struct External {
    call: Arc<Call>,
    template: Template,
    reading: Arc<Reading>,
    timeout: Duration,
    fail_open: bool,
    ambiguous_paths: bool,
    challenge: Option<HeaderValue>,
    max_requests: usize,
    running: Arc<Semaphore>,
    decisions: Option<Arc<Decisions>>,
    counters: Arc<Counters>,
}

impl External {
    /// Creates the scheme. `service` sends requests to the external service, such as an `HttpClient` of
    /// `equipoise-http`. `uri` is the target of these requests: a path that begins with `/`, or a complete URI.
    ///
    /// # Errors
    ///
    /// [`InvalidExternal::Uri`] if `uri` is neither.
    pub fn new<S, R>(service: S, uri: &str) -> Result<Self, InvalidExternal>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        R: Body + Send + 'static,
        R::Data: Send,
        R::Error: Into<BoxError>,
    {
        let invalid = || InvalidExternal::Uri { uri: uri.to_owned() };
        let target: Uri = uri.parse().map_err(|_| invalid())?;
        let is_http = target.scheme_str().is_none_or(|scheme| scheme == "http" || scheme == "https");
        if !is_http || target.scheme().is_some() != target.authority().is_some() || !target.path().starts_with('/') {
            return Err(invalid());
        }
        let max_requests = 1024;
        Ok(Self {
            call: call(service),
            template: Template::new(target),
            reading: Arc::default(),
            timeout: Duration::from_secs(1),
            fail_open: false,
            ambiguous_paths: false,
            challenge: None,
            max_requests,
            running: Arc::new(Semaphore::new(max_requests)),
            decisions: None,
            counters: Arc::default(),
        })
    }

    /// Sends requests with the method of the client's request. Default: `GET`.
    #[must_use]
    pub fn with_method(mut self) -> Self {
        self.template.with_method = true;
        self
    }

    /// Adds the path and the query of the client's request to the path of the URI: with the URI `/check`, a request for
    /// `/a?b` becomes one for `/check/a?b`. Default: the URI as it is.
    ///
    /// A request whose path [`UriPolicy::new`] refuses, such as one with `..`, is denied with status 400 and the code
    /// `ambiguous_path`, also with [`ambiguous_paths`](Self::ambiguous_paths): the service could take it for another path
    /// than that below the URI.
    #[must_use]
    pub fn with_path(mut self) -> Self {
        self.template.with_path = true;
        self
    }

    /// Sets whether requests are passed on whose path [`UriPolicy::new`] refuses, such as one with `..`. A service that
    /// decides by the path in `X-Original-URI` and `X-Forwarded-Uri` could take it for another path than the backend
    /// does. So set it only if the service does not look at paths, or if a [`UriPolicy`] around this layer refuses them.
    /// Default: false. The request is then denied with status 400 and the code `ambiguous_path`.
    #[must_use]
    pub fn ambiguous_paths(mut self, pass: bool) -> Self {
        self.ambiguous_paths = pass;
        self
    }

    /// Sets which fields of the client's request the service gets. Default: `Accept`, `Accept-Language`,
    /// `Authorization`, `Cookie`, `User-Agent` and `X-Request-Id`.
    ///
    /// The service believes what this scheme says about the request in `X-Forwarded-…` and `X-Original-…`. Name such a
    /// field only if a proxy around this layer writes it, such as a `ReverseProxy`. Then the service gets it as it is.
    ///
    /// # Errors
    ///
    /// [`InvalidExternal::Framing`] for a field that cannot be copied to another message.
    pub fn send_fields(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Result<Self, InvalidExternal> {
        self.template.fields = Some(copied(fields)?);
        Ok(self)
    }

    /// Sends all fields of the client's request to the service, except those of the connection, `Host`, those of the
    /// body and of ranges and conditions, and those that the service sets ([`forward_fields`](Self::forward_fields)).
    #[must_use]
    pub fn send_all_fields(mut self) -> Self {
        self.template.fields = None;
        self
    }

    /// Sets how the address of the client is found, for `X-Forwarded-For`. Default: the address of the connection.
    #[must_use]
    pub fn client_address(mut self, client: ClientAddress) -> Self {
        self.template.client = client;
        self
    }

    /// Sets the field of the service's response that has the name of the identity. Default: `X-Auth-User`.
    #[must_use]
    pub fn name_from(self, field: HeaderName) -> Self {
        self.reading(|reading| reading.name = field)
    }

    /// Adds an attribute of the identity, from a field of the service's response. Several fields become a list: see
    /// [`join_list`](super::join_list).
    #[must_use]
    pub fn attribute_from(self, field: HeaderName, attribute: impl Into<String>) -> Self {
        self.reading(|reading| reading.attributes.push((field, attribute.into())))
    }

    /// Sets which fields of an allowing response the backend gets. The client's fields with these names are removed.
    /// `Authorization` may be one of them: the service then decides what the backend gets instead. Default: none.
    ///
    /// # Errors
    ///
    /// [`InvalidExternal::Framing`] for a field that cannot be copied to another message, and
    /// [`InvalidExternal::Reserved`] for one in which proxies tell about clients, such as `X-Forwarded-For`.
    pub fn forward_fields(self, fields: impl IntoIterator<Item = HeaderName>) -> Result<Self, InvalidExternal> {
        let fields = written(fields)?;
        Ok(self.reading(|reading| reading.backend = fields))
    }

    /// Sets which fields of a denying response the client gets. Default: `WWW-Authenticate`, `Set-Cookie` and
    /// `Location`. Without `Location`, redirections are not passed on.
    ///
    /// # Errors
    ///
    /// [`InvalidExternal::Framing`] for a field that cannot be copied to another message.
    pub fn denial_fields(self, fields: impl IntoIterator<Item = HeaderName>) -> Result<Self, InvalidExternal> {
        let fields = copied(fields)?;
        Ok(self.reading(|reading| reading.denied = fields))
    }

    /// Sets which fields of an allowing response the client gets, beside those of the backend, such as `Set-Cookie`
    /// with a renewed session. Default: none.
    ///
    /// # Errors
    ///
    /// [`InvalidExternal::Framing`] for a field that cannot be copied to another message.
    pub fn response_fields(self, fields: impl IntoIterator<Item = HeaderName>) -> Result<Self, InvalidExternal> {
        let fields = copied(fields)?;
        Ok(self.reading(|reading| reading.allowed = fields))
    }

    /// Sets the maximum time until the head of the service's response. Default: 1 s. The head decides. The body is read
    /// for at most 100 ms more, so that the connection can be used again.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the maximum number of requests that wait for the service at once. Further requests get no decision.
    /// Default: 1024. With 0, it is 1.
    #[must_use]
    pub fn max_requests(mut self, max: usize) -> Self {
        self.max_requests = max.clamp(1, Semaphore::MAX_PERMITS);
        self.running = Arc::new(Semaphore::new(self.max_requests));
        self
    }

    /// Sets whether requests are passed on **without authentication** when the service is not available: an error, a
    /// timeout or a status 5xx. Their identity has an empty name and the attribute `fail_open` with the value `true`.
    /// Default: false.
    ///
    /// Requests are denied nevertheless if another scheme of the layer has found credentials that are not valid, and if
    /// clients could have caused the failure: [too many requests](Self::max_requests) wait, all endpoints of the service
    /// are at their limit, or the response has another status, such as 400 or 429.
    #[must_use]
    pub fn fail_open(mut self, open: bool) -> Self {
        self.fail_open = open;
        self
    }

    /// Sets the challenge of responses with status 401 for which the service has sent none, or which another scheme of
    /// the layer has caused. Default: none.
    #[must_use]
    pub fn challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// Uses decisions again. Default: the service is asked about each request.
    #[must_use]
    pub fn cache(mut self, cache: DecisionCache) -> Self {
        self.decisions = Some(Arc::new(Decisions::new(cache)));
        self
    }

    /// Returns what was done since the scheme was created. Clones share it: keep one when another goes into a layer.
    pub fn stats(&self) -> ExternalStats {
        self.counters.stats(self.max_requests.saturating_sub(self.running.available_permits()))
    }

    fn reading(mut self, set: impl FnOnce(&mut Reading)) -> Self {
        set(Arc::make_mut(&mut self.reading));
        self
    }

    /// Asks the service.
    async fn ask(self, request: Request<Full<Bytes>>, key: Option<Key>) -> AuthResult {
        let counters = &self.counters;
        let Ok(_permit) = self.running.clone().try_acquire_owned() else {
            counters.rejected.fetch_add(1, Relaxed);
            // Never open: a client could cause this state.
            return Err(AuthFailure::unavailable("too many requests wait for the external service"));
        };
        counters.requests.fetch_add(1, Relaxed);
        let response = match (self.call)(request, self.timeout).await {
            Ok(response) => response,
            Err(error) => {
                let counter = match error {
                    CallError::Failed(_) => &counters.failures,
                    CallError::TimedOut => &counters.timeouts,
                };
                counter.fetch_add(1, Relaxed);
                return if error.is_of_clients() { Err(error.into()) } else { self.opened(error.into()) };
            }
        };
        let decision = self.reading.decide(&response);
        match decision {
            Err(failure @ AuthFailure::Unavailable { .. }) => {
                counters.failures.fetch_add(1, Relaxed);
                // Never open for another status: a client could cause it, as with a request that is too large.
                if response.status.is_server_error() { self.opened(failure) } else { Err(failure) }
            }
            decision => {
                if let (Some(decisions), Some(key)) = (&self.decisions, key)
                    && is_reusable(&response)
                {
                    decisions.put(key, &decision, Instant::now());
                }
                decision
            }
        }
    }

    /// Returns what follows if the service is not available.
    fn opened(&self, failure: AuthFailure) -> AuthResult {
        if !self.fail_open {
            return Err(failure);
        }
        if let AuthFailure::Unavailable { reason, .. } = &failure {
            tracing::debug!(%reason, "a request is allowed without authentication");
        }
        self.counters.fail_open.fetch_add(1, Relaxed);
        let identity = Identity::new("", Mechanism::External).attribute(FAIL_OPEN, "true");
        Ok(Authenticated::new(identity).last_resort())
    }
}

impl Authenticate for External {
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        let path = head.uri.path();
        let is_read = self.template.with_path || !self.ambiguous_paths;
        if is_read && path != "*" && UriPolicy::new().apply(path).is_err() {
            let message = "the path of the request has several meanings";
            return AuthFuture::ready(Err(AuthFailure::denied(Denial::new(
                StatusCode::BAD_REQUEST,
                "ambiguous_path",
                message,
            ))));
        }
        let request = self.template.request(head, &self.reading.backend);
        let key = self.decisions.as_ref().and_then(|decisions| decisions.key(&request));
        if let (Some(decisions), Some(key)) = (&self.decisions, &key)
            && let Some(decision) = decisions.get(key, Instant::now())
        {
            self.counters.cache_hits.fetch_add(1, Relaxed);
            return AuthFuture::ready(decision);
        }
        AuthFuture::new(self.clone().ask(request, key))
    }

    fn challenge(&self, _: &Realm) -> Option<HeaderValue> {
        self.challenge.clone()
    }

    fn written_fields(&self) -> Vec<HeaderName> {
        self.reading.backend.clone()
    }

    fn mechanism(&self) -> Mechanism {
        Mechanism::External
    }
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("External")
            .field("uri", &self.template.uri)
            .field("fields", &self.template.fields)
            .field("reading", &self.reading)
            .field("timeout", &self.timeout)
            .field("fail_open", &self.fail_open)
            .field("ambiguous_paths", &self.ambiguous_paths)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
