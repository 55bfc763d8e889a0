use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_core::{Address, AnyTarget, EndpointId, Failure, Lease, PickError, PickRequest, Pool, Verdict};
use equipoise_http::Resolve;
use equipoise_tower::BoxError;
use http::{
    HeaderValue, Method, Request, StatusCode, Version,
    header::{HOST, PROXY_AUTHORIZATION},
};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{
    attempt::Attempt,
    authentication::Credentials,
    destination::{Destination, Host},
    dial::{Stream, race},
    error::ForwardError,
};
use crate::{attempts::CountAttempts, headers::Via, timing::within};

/// A pool of proxies through which a [`ForwardProxy`](super::ForwardProxy) sends everything (chaining).
///
/// The pool's strategy picks a proxy for each tunnel and each request. The lease lasts as long as the tunnel or the
/// response, so load, limits and drains are exact. If a proxy does not accept a connection, or breaks it before it has
/// opened the tunnel, another one is tried. Nothing of the client's bytes was sent then.
///
/// What health learns: a proxy that does not accept a connection in time, or breaks it, has failed. One that opens a
/// tunnel has succeeded. A proxy that refuses a tunnel, or does not answer `CONNECT` in time, is not judged, because the
/// destination may be the reason, and clients choose it. So a proxy that accepts connections and answers nothing is found
/// by active health checks only. For its tunnels, another proxy is tried.
///
/// # Which names are resolved where
///
/// By default, this proxy resolves names and checks the addresses, and the upstream proxies are asked to `CONNECT` to the
/// addresses that have passed. So all rules hold, whatever the upstream proxies resolve. Requests of HTTP are sent
/// through tunnels too, for which the upstream proxies must allow `CONNECT` to port 80.
///
/// With [`with_names_resolved_upstream`](Self::with_names_resolved_upstream), the upstream proxies get the names, and only
/// they know the addresses. A rule with a network then allows no name, and denies every name that its other conditions
/// match.
///
/// ```
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_proxy::forward::{Credentials, UpstreamKey, Upstreams};
///
/// let pool = Pool::default();
/// pool.update(["10.0.0.1:3128", "10.0.0.2:3128"].map(EndpointSpec::new), |_| ())?;
/// let upstreams = Upstreams::new(pool).key(UpstreamKey::Host).credentials(&Credentials::new("edge", "secret"));
/// # drop(upstreams);
/// # Ok::<(), equipoise_core::UpdateError>(())
/// ```
#[derive(Clone)]
pub struct Upstreams {
    pool: Arc<dyn Pick>,
    key: UpstreamKey,
    credentials: Option<HeaderValue>,
    via: Option<Via>,
    resolves_names: bool,
    max_attempts: usize,
    connect_timeout: Duration,
    answer_timeout: Duration,
}

/// What a strategy that hashes places a tunnel or request by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamKey {
    /// The user, or the address of a client that is not authenticated. So a destination sees a client at the same
    /// address. This is the default.
    #[default]
    Client,
    /// The host of the destination, so that one upstream proxy has all connections to it.
    Host,
}

/// A pool of targets of any type.
trait Pick: CountAttempts + Send + Sync {
    fn pick(&self, request: &PickRequest<'_>) -> Result<Lease<AnyTarget>, PickError>;
}

impl<T: Send + Sync + 'static> Pick for Pool<T> {
    fn pick(&self, request: &PickRequest<'_>) -> Result<Lease<AnyTarget>, PickError> {
        Self::pick(self, request).map(Lease::without_target)
    }
}

impl Upstreams {
    /// Creates the default settings for a pool of proxies. The addresses of its endpoints have the form `host:port` or
    /// `http://host:port`. The targets are not used.
    #[must_use]
    pub fn new<T: Send + Sync + 'static>(pool: Pool<T>) -> Self {
        Self {
            pool: Arc::new(pool),
            key: UpstreamKey::default(),
            credentials: None,
            via: None,
            resolves_names: false,
            max_attempts: 3,
            connect_timeout: Duration::from_secs(3),
            answer_timeout: Duration::from_secs(5),
        }
    }

    /// Sets what a strategy that hashes places tunnels and requests by. Default: [`UpstreamKey::Client`].
    #[must_use]
    pub const fn key(mut self, key: UpstreamKey) -> Self {
        self.key = key;
        self
    }

    /// Sets the credentials with which this proxy authenticates itself to all upstream proxies. Default: none.
    #[must_use]
    pub fn credentials(mut self, credentials: &Credentials) -> Self {
        self.credentials = Some(credentials.to_field());
        self
    }

    /// Sets whether upstream proxies get names and resolve them. Default: false.
    ///
    /// If true, the rules cannot decide about the addresses of names. A rule with a [`network`](super::Rule::network)
    /// allows only hosts that are addresses, and if it denies, it denies all names that its other conditions match. A rule
    /// without a network allows a name even if it leads to an address of the upstream proxies' own network.
    /// Requests of HTTP are then sent in their own form (RFC 9112, section 3.2.2), and not through tunnels.
    #[must_use]
    pub const fn with_names_resolved_upstream(mut self, resolves: bool) -> Self {
        self.resolves_names = resolves;
        self
    }

    /// Sets how many upstream proxies are tried for one tunnel or request, at least 1. Default: 3.
    #[must_use]
    pub const fn max_attempts(mut self, max: usize) -> Self {
        self.max_attempts = if max == 0 { 1 } else { max };
        self
    }

    /// Sets how long one upstream proxy may take to accept a connection. Default: 3 s. The
    /// [timeout of the proxy](super::ForwardSettings::connect_timeout) limits all attempts for a tunnel together.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long one upstream proxy may take to answer `CONNECT`. Then another one is tried. Default: 5 s, which is
    /// half of what the [proxy](super::ForwardSettings::connect_timeout) waits.
    #[must_use]
    pub const fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    pub(super) fn with_via(mut self, via: Option<Via>) -> Self {
        self.via = via;
        self
    }

    pub(super) fn resolves_names(&self) -> bool {
        self.resolves_names
    }

    /// Returns the value of `Proxy-Authorization` for upstream proxies.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.credentials.as_ref()
    }

    /// Returns what is tried for one tunnel or request.
    pub(super) fn tries(&self, attempt: &Attempt) -> Tries<'_> {
        let key = match self.key {
            UpstreamKey::Client => attempt.client.key(),
            UpstreamKey::Host => attempt.destination.host().to_string().into_bytes(),
        };
        Tries { upstreams: self, key, tried: Vec::new(), last: None, failed: None }
    }

    /// Opens a tunnel to one of several addresses, in their order.
    pub(super) async fn tunnel_to(
        &self,
        attempt: &Attempt,
        addresses: &[SocketAddr],
        resolver: &dyn Resolve,
    ) -> Result<(Opened, SocketAddr), ForwardError> {
        // The pool counts one request, whatever the number of addresses.
        let mut tries = self.tries(attempt);
        let mut last = None;
        for address in addresses {
            let target = Destination { host: Host::Address(address.ip()), port: address.port() };
            tries.begin();
            match self.open_with(&mut tries, &target, resolver).await {
                Ok(opened) => return Ok((opened, *address)),
                // Another address may be reachable.
                Err(error @ ForwardError::UpstreamRefused { .. }) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(ForwardError::Resolve { destination: attempt.destination.clone(), source: None }))
    }

    /// Opens a tunnel.
    pub(super) async fn tunnel(
        &self,
        attempt: &Attempt,
        target: &Destination,
        resolver: &dyn Resolve,
    ) -> Result<Opened, ForwardError> {
        self.open_with(&mut self.tries(attempt), target, resolver).await
    }

    async fn open_with(
        &self,
        tries: &mut Tries<'_>,
        target: &Destination,
        resolver: &dyn Resolve,
    ) -> Result<Opened, ForwardError> {
        loop {
            let mut lease = tries.next()?;
            let stream = match tries.dial(lease.endpoint().address(), resolver).await {
                Ok(stream) => stream,
                Err(failed) => {
                    tries.failed(lease, failed);
                    continue;
                }
            };
            let Some(answer) = within(self.answer_timeout, self.ask(stream, target)).await else {
                let source = "it did not answer CONNECT in time".into();
                tries.failed(lease, Failed { verdict: Verdict::Neutral, source });
                continue;
            };
            match answer {
                Ok(Ok(stream)) => {
                    lease.first_byte();
                    lease.record(Verdict::Success);
                    return Ok(Opened { stream, lease });
                }
                // It may be busy, or the destination may not be reachable: programs use the status for both.
                Ok(Err(StatusCode::SERVICE_UNAVAILABLE)) => {
                    let source = "it has answered CONNECT with status 503".into();
                    tries.failed(lease, Failed { verdict: Verdict::Neutral, source });
                }
                Ok(Err(status)) => {
                    let address = lease.endpoint().address().to_owned();
                    lease.finish(Verdict::Neutral);
                    return Err(ForwardError::UpstreamRefused { address, status });
                }
                Err(error) => {
                    tries.failed(lease, Failed { verdict: Verdict::Failure(Failure::Transport), source: error.into() });
                }
            }
        }
    }

    /// Asks for a tunnel. Returns the status of the response if it is not successful.
    async fn ask(&self, stream: TcpStream, target: &Destination) -> hyper::Result<Result<Box<dyn Stream>, StatusCode>> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection.with_upgrades());
        let authority = target.to_string();
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::CONNECT;
        // A host and a port are always a URI.
        *request.uri_mut() = authority.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::try_from(authority) {
            headers.insert(HOST, host);
        }
        if let Some(credentials) = &self.credentials {
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        if let Some(via) = &self.via {
            via.append(Version::HTTP_11, headers);
        }
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Ok(Err(response.status()));
        }
        let upgraded = hyper::upgrade::on(response).await?;
        Ok(Ok(Box::new(TokioIo::new(upgraded))))
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams")
            .field("key", &self.key)
            .field("resolves_names", &self.resolves_names)
            .field("max_attempts", &self.max_attempts)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

/// A tunnel through an upstream proxy.
pub(super) struct Opened {
    pub(super) stream: Box<dyn Stream>,
    pub(super) lease: Lease<AnyTarget>,
}

/// Why an upstream proxy could not be used.
pub(super) struct Failed {
    pub(super) verdict: Verdict,
    pub(super) source: BoxError,
}

/// The upstream proxies that are tried for one tunnel or request.
pub(super) struct Tries<'a> {
    upstreams: &'a Upstreams,
    key: Vec<u8>,
    tried: Vec<EndpointId>,
    /// The proxy of the last attempt.
    last: Option<EndpointId>,
    failed: Option<ForwardError>,
}

impl Tries<'_> {
    /// Begins with another address of the destination. Each proxy may be tried again.
    fn begin(&mut self) {
        self.tried.clear();
        self.failed = None;
    }

    /// Picks the next proxy. Returns the last error if there is none.
    pub(super) fn next(&mut self) -> Result<Lease<AnyTarget>, ForwardError> {
        let pool = &self.upstreams.pool;
        if self.tried.len() < self.upstreams.max_attempts {
            match pool.pick(&PickRequest::new().key(&self.key).exclude(&self.tried)) {
                Ok(lease) => {
                    let id = lease.endpoint().id();
                    if let Some(last) = self.last.replace(id.clone()) {
                        pool.count_retry();
                        if last != *id {
                            pool.count_failover();
                        }
                    }
                    return Ok(lease);
                }
                Err(error) => {
                    if self.last.is_none() {
                        pool.count_unserved(Some(&error));
                    }
                    return Err(self.failed.take().unwrap_or(ForwardError::NoUpstream(error)));
                }
            }
        }
        Err(self.failed.take().unwrap_or(ForwardError::NoUpstream(PickError::Excluded)))
    }

    /// Notes that a proxy could not be used.
    pub(super) fn failed(&mut self, lease: Lease<AnyTarget>, failed: Failed) {
        let address = lease.endpoint().address().to_owned();
        tracing::debug!(address, error = %failed.source, "an upstream proxy cannot be used");
        self.tried.push(lease.endpoint().id().clone());
        lease.finish(failed.verdict);
        self.failed = Some(ForwardError::Upstream { address, source: failed.source });
    }

    /// Connects to a proxy.
    pub(super) async fn dial(&self, address: &str, resolver: &dyn Resolve) -> Result<TcpStream, Failed> {
        let failed = |failure, source: BoxError| Failed { verdict: Verdict::Failure(failure), source };
        let connect = async {
            let addresses = addresses(address, resolver).await?;
            let connected = race(&addresses).await.ok_or("its name has no address")?;
            Ok::<_, BoxError>(connected?.0)
        };
        match within(self.upstreams.connect_timeout, connect).await {
            Some(connected) => connected.map_err(|error| failed(Failure::Connect, error)),
            None => Err(failed(Failure::Timeout, io::Error::from(io::ErrorKind::TimedOut).into())),
        }
    }
}

/// Resolves the address of an upstream proxy.
async fn addresses(address: &str, resolver: &dyn Resolve) -> Result<Vec<SocketAddr>, BoxError> {
    let parsed = Address::parse(address)?;
    if parsed.scheme().is_some() && !parsed.has_scheme("http") {
        return Err("the scheme of an upstream proxy must be http".into());
    }
    let port = parsed.known_port().ok_or("the address of an upstream proxy has no port")?;
    match parsed.host().parse() {
        Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
        Err(_) => Ok(resolver.resolve(parsed.host(), port).await?),
    }
}
