use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use equipoise_affinity::source::PeerAddr;
use equipoise_tower::BoxError;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Version,
    header::{CONNECTION, HOST, PROXY_AUTHENTICATE, RETRY_AFTER},
    uri::{Authority, Scheme},
};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    accounts::{Accounts, Client as ClientKey},
    attempt::{Asked, Attempt},
    authentication::{AuthenticatedUser, BasicAuth, Credentials},
    client::Client,
    connect::Connector,
    destination::Destination,
    error::ForwardError,
    kept::Kept,
    limits::LimitReached,
    rules::Rules,
    settings::ForwardSettings,
    stats::{Counters, ForwardStats},
    stream::ForwardBody,
    tunnels::OpenTunnels,
};
use crate::{
    body::ProxyBody,
    check::{Refusal, RequestChecks},
    error::{ErrorResponses, ProxyError, WantedForm, without_body},
    headers::{ConnectionInfo, Via, remove_where},
    service::{Failed, ReverseProxy, ReverseProxyLayer},
    timing::within,
    tunnel::Tunnels,
};

/// A forward proxy: a service that sends requests where clients ask it to, as far as its rules allow. The
/// [module](super) describes it.
///
/// It never returns an error: the client gets a response for every failure, with the extension
/// [`Failed`](crate::Failed). Responses to clients that have authenticated themselves have the extension
/// [`AuthenticatedUser`]. Clones share everything.
///
/// ```no_run
/// use equipoise_proxy::forward::{ForwardProxy, Rule};
///
/// # #[cfg(feature = "server")]
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let proxy = ForwardProxy::new([Rule::deny().host("*.ads.test")?, Rule::allow()]);
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3128").await?;
/// equipoise_proxy::server::Server::new(proxy).serve(listener).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ForwardProxy {
    shared: Arc<Shared>,
    http: ReverseProxy<Client>,
}

struct Shared {
    authentication: Option<BasicAuth>,
    checks: RequestChecks,
    via: Option<Via>,
    errors: ErrorResponses,
    connector: Arc<Connector>,
    tunnels: OpenTunnels,
}

/// The response of a [`ForwardProxy`].
type Answer = Response<ProxyBody<ForwardBody>>;

impl ForwardProxy {
    /// Creates a proxy with the default settings. Without a rule, it denies everything.
    #[must_use]
    pub fn new(rules: impl Into<Rules>) -> Self {
        Self::with_settings(rules, ForwardSettings::new())
    }

    /// Creates a proxy with other settings.
    #[must_use]
    pub fn with_settings(rules: impl Into<Rules>, settings: ForwardSettings) -> Self {
        let accounts = Accounts::new(settings.limits.clone());
        Self::build(rules.into(), settings, accounts, Arc::default())
    }

    /// Creates a proxy with other rules and settings, which goes on with the counters of this one and with what is counted
    /// of its clients. This one can still be used: tunnels that are open, and requests that have begun, are not touched.
    #[must_use]
    pub fn renewed(&self, rules: impl Into<Rules>, settings: ForwardSettings) -> Self {
        let OpenTunnels { accounts, counters, .. } = &self.shared.tunnels;
        let accounts = accounts.with_limits(settings.limits.clone());
        // Requests that this one has sent on must be recognized when they come back.
        let via = settings.via.or_else(|| self.shared.via.clone());
        Self::build(rules.into(), ForwardSettings { via, ..settings }, accounts, Arc::clone(counters))
    }

    fn build(rules: Rules, settings: ForwardSettings, accounts: Accounts, counters: Arc<Counters>) -> Self {
        // A name of letters and digits is a token.
        let random = || Via::new(&format!("equipoise-{:08x}", rand::random::<u32>())).ok();
        let via = settings.via.or_else(random);
        let connector = Arc::new(Connector {
            rules: ArcSwap::from_pointee(rules),
            resolver: settings.resolver,
            timeout: settings.connect_timeout,
            own: settings.own_addresses,
            upstreams: settings.upstreams.map(|upstreams| upstreams.with_via(via.clone())),
        });
        let kept = Kept::new(settings.max_idle_connections, settings.idle_connection_timeout);
        let mut http = ReverseProxyLayer::new()
            .checks(settings.checks.clone())
            .forwarding(settings.forwarding)
            .timeouts(settings.timeouts)
            // A tunnel needs CONNECT, so that its limits apply.
            .upgrades(false)
            .errors(settings.errors.clone());
        if let Some(max) = settings.max_body_bytes {
            http = http.max_body_bytes(max);
        }
        if let Some(via) = &via {
            http = http.via(via.clone());
        }
        let http = http.layer(Client { connector: Arc::clone(&connector), kept });
        let shared = Shared {
            authentication: settings.authentication,
            checks: settings.checks,
            via,
            errors: settings.errors,
            tunnels: OpenTunnels {
                tunnels: settings.tunnels,
                accounts,
                counters,
                connector: Arc::clone(&connector),
                on_end: settings.on_end,
            },
            connector,
        };
        Self { shared: Arc::new(shared), http }
    }

    /// Replaces the rules of this proxy and its clones. Tunnels and requests that were allowed go on. The new rules decide
    /// about the next ones, also if a connection for them is kept.
    pub fn set_rules(&self, rules: impl Into<Rules>) {
        self.shared.connector.rules.store(Arc::new(rules.into()));
    }

    /// Returns the counters of this proxy.
    pub fn stats(&self) -> ForwardStats {
        let OpenTunnels { counters, accounts, .. } = &self.shared.tunnels;
        counters.stats(accounts.open_tunnels())
    }

    /// Returns the tunnels of this proxy, for closing them at shutdown.
    pub fn tunnels(&self) -> &Tunnels {
        &self.shared.tunnels.tunnels
    }

    async fn respond<B>(self, mut request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let (version, is_head) = (request.version(), *request.method() == Method::HEAD);
        let is_connect = *request.method() == Method::CONNECT;
        let form = WantedForm::of(request.headers(), version);
        let mut user = None;
        match self.handle(&mut request, &mut user).await {
            Ok(attempt) if attempt.is_connect => match self.shared.tunnels.open(request, &attempt).await {
                Ok(()) => self.finish(Response::new(ProxyBody::empty()), user),
                Err(error) => closing(self.fail(error, &form, version, is_head, user), version),
            },
            Ok(attempt) => {
                self.counters().requests.add(1);
                request.extensions_mut().insert(attempt);
                let mut http = self.http.clone();
                let response = http.call(request).await.unwrap_or_else(|never: Infallible| match never {});
                if let Some(Failed(error)) = response.extensions().get() {
                    self.note(error, user.as_ref());
                }
                self.finish(response, user)
            }
            Err(error) if is_connect => closing(self.fail(error, &form, version, is_head, user), version),
            Err(error) => self.fail(error, &form, version, is_head, user),
        }
    }

    /// Decides what happens to a request: reads its destination, authenticates its client, and asks the rules about the
    /// name.
    async fn handle<B>(
        &self,
        request: &mut Request<B>,
        user: &mut Option<AuthenticatedUser>,
    ) -> Result<Attempt, ProxyError> {
        let Shared { authentication, checks, via, connector, tunnels, .. } = &*self.shared;
        let is_connect = *request.method() == Method::CONNECT && !is_extended(request);
        let (destination, authority) = if is_connect {
            checks.inspect_connect(request)?;
            if via.as_ref().is_some_and(|via| via.is_loop(request.headers())) {
                return Err(Refusal::Loop.into());
            }
            destination(request, None)?
        } else {
            absolute(request)?;
            let found = destination(request, Some(80))?;
            replace_host(request, &found.1)?;
            found
        };
        *user = match (request.extensions().get::<AuthenticatedUser>(), authentication) {
            (Some(known), _) => Some(known.clone()),
            (None, Some(authentication)) => {
                let credentials = Credentials::of(request.headers()).ok_or(ForwardError::Unauthenticated)?;
                match within(connector.timeout, authentication.verify(credentials.clone())).await {
                    Some(Ok(true)) => Some(credentials.into_user()),
                    Some(Ok(false)) => return Err(ForwardError::Unauthenticated.into()),
                    Some(Err(error)) => return Err(ForwardError::Unverified(error).into()),
                    None => return Err(ForwardError::Unverified("the verifier did not answer in time".into()).into()),
                }
            }
            (None, None) => None,
        };
        remove_proxy_fields(request.headers_mut());
        let peer = request.extensions().get().map(|PeerAddr(peer)| *peer);
        let client = match (&*user, peer) {
            (Some(AuthenticatedUser(name)), _) => ClientKey::User(Arc::clone(name)),
            (None, Some(peer)) => ClientKey::at(peer.ip()),
            (None, None) => ClientKey::Unknown,
        };
        let info = request.extensions().get::<ConnectionInfo>().cloned().unwrap_or_default();
        let meter = if is_connect { None } else { tunnels.accounts.request(&client).map_err(ForwardError::Limit)? };
        let attempt =
            Attempt::new(Asked { destination, authority, is_connect, user: user.clone(), client, peer, info, meter });
        let decided = connector.rules.load().decide_name(&attempt.access());
        decided.map_err(|by| ForwardError::Denied { destination: attempt.destination.clone(), by })?;
        Ok(attempt)
    }

    /// Returns the response for an error.
    fn fail(
        &self,
        error: ProxyError,
        form: &WantedForm,
        version: Version,
        is_head: bool,
        user: Option<AuthenticatedUser>,
    ) -> Answer {
        self.note(&error, user.as_ref());
        let mut response = self.shared.errors.respond_as(&error, form, version);
        if is_head {
            without_body(&mut response);
        }
        let headers = response.headers_mut();
        match &error {
            ProxyError::Forward(ForwardError::Unauthenticated) => {
                if let Some(authentication) = &self.shared.authentication {
                    headers.insert(PROXY_AUTHENTICATE, authentication.challenge().clone());
                }
            }
            ProxyError::Forward(ForwardError::Limit(LimitReached::ClientBytes { retry_after })) => {
                headers.insert(RETRY_AFTER, retry_after.as_secs().saturating_add(1).into());
            }
            _ => {}
        }
        response.extensions_mut().insert(Failed(Arc::new(error)));
        self.finish(response.map(ProxyBody::from_bytes), user)
    }

    fn finish(&self, mut response: Answer, user: Option<AuthenticatedUser>) -> Answer {
        if let Some(user) = user {
            response.extensions_mut().insert(user);
        }
        response
    }

    fn counters(&self) -> &Counters {
        &self.shared.tunnels.counters
    }

    /// Counts and logs what was refused.
    fn note(&self, error: &ProxyError, user: Option<&AuthenticatedUser>) {
        let ProxyError::Forward(error) = error else { return };
        let counters = self.counters();
        match error {
            ForwardError::Denied { .. } => counters.denied.add(1),
            ForwardError::Unauthenticated => counters.unauthenticated.add(1),
            ForwardError::Limit(_) => counters.limited.add(1),
            _ => {}
        }
        let user = user.map(|AuthenticatedUser(name)| &**name);
        if matches!(error, ForwardError::Denied { .. } | ForwardError::Limit(_)) {
            tracing::info!(user, %error, "a request was refused");
        } else {
            tracing::debug!(user, %error, "a request has failed");
        }
    }
}

/// Closes the HTTP/1 connection after the response to a `CONNECT` that is refused. A client may have sent bytes for the
/// tunnel already, which must not be read as its next request.
fn closing(mut response: Answer, version: Version) -> Answer {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns whether a `CONNECT` request has a full URL, as those for a WebSocket on an HTTP/2 stream have (RFC 8441).
fn is_extended<B>(request: &Request<B>) -> bool {
    request.uri().scheme().is_some()
}

/// Checks that a request has a full URL, as requests to a forward proxy have.
fn absolute<B>(request: &Request<B>) -> Result<(), ProxyError> {
    match request.uri().scheme() {
        None => Err(ForwardError::NotAbsolute.into()),
        Some(scheme) if *scheme == Scheme::HTTP => Ok(()),
        Some(scheme) if *scheme == Scheme::HTTPS => Err(ForwardError::Https.into()),
        Some(_) => Err(Refusal::Scheme.into()),
    }
}

/// Reads the destination from the request target.
fn destination<B>(request: &Request<B>, default_port: Option<u16>) -> Result<(Destination, Authority), ProxyError> {
    let authority = request.uri().authority().cloned().ok_or(Refusal::Target)?;
    let destination = Destination::parse(authority.as_str(), default_port).ok_or(Refusal::HostInvalid)?;
    Ok((destination, authority))
}

/// Replaces `Host` by the host of the target (RFC 9112, section 3.2.2). A field that is missing or repeated is an error
/// nevertheless.
fn replace_host<B>(request: &mut Request<B>, authority: &Authority) -> Result<(), ProxyError> {
    let is_http1 = request.version() == Version::HTTP_11;
    let headers = request.headers_mut();
    match headers.get_all(HOST).iter().count() {
        0 if is_http1 => return Err(Refusal::HostMissing.into()),
        0 | 1 => {}
        _ => return Err(Refusal::HostRepeated.into()),
    }
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::HostInvalid)?;
    headers.insert(HOST, host);
    Ok(())
}

/// Removes the fields that are meant for this proxy.
fn remove_proxy_fields(headers: &mut HeaderMap) {
    remove_where(headers, |name| name.as_str().starts_with("proxy-"));
}

impl<B> Service<Request<B>> for ForwardProxy
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Response = Response<ProxyBody<ForwardBody>>;
    type Error = Infallible;
    type Future = ForwardFuture;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ForwardFuture {
        let proxy = self.clone();
        ForwardFuture(Box::pin(async move { Ok(proxy.respond(request).await) }))
    }
}

/// The response future of a [`ForwardProxy`].
pub struct ForwardFuture(Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>);

impl Future for ForwardFuture {
    type Output = Result<Answer, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ForwardFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardFuture").finish_non_exhaustive()
    }
}

impl fmt::Debug for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardProxy")
            .field("authentication", &self.shared.authentication)
            .field("connector", &self.shared.connector)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
