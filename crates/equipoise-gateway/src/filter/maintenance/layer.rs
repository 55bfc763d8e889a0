use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use equipoise_affinity::source::ClientAddress;
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::RequestHead;
use http::{HeaderName, Method, Request, Response};
use subtle::ConstantTimeEq;
use tower_layer::Layer;
use tower_service::Service;

use super::switch::Maintenance;
use crate::{
    ReplyBody, ReplyFuture,
    filter::{address::AddressRanges, exempt::ExemptPaths, pattern::InvalidPattern},
};

/// A layer that answers requests with status 503 while its [`Maintenance`] is active. The code is `maintenance`.
///
/// Some requests can be exempt, for example those of operators that try a new release: by address, by path, or by a
/// secret in a field.
///
/// ```
/// use equipoise_gateway::filter::{Maintenance, MaintenanceLayer};
///
/// let layer = MaintenanceLayer::new(Maintenance::new())
///     .exempt_addresses("192.0.2.0/24".parse()?)
///     .exempt_path("/health")?;
/// # drop(layer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MaintenanceLayer {
    maintenance: Maintenance,
    settings: Arc<Settings>,
    errors: Arc<ErrorResponses>,
    counts: Arc<Counts>,
}

#[derive(Clone, Default)]
struct Settings {
    client: ClientAddress,
    addresses: AddressRanges,
    paths: ExemptPaths,
    secret: Option<(HeaderName, Box<[u8]>)>,
    read_only: bool,
}

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    exempt: AtomicU64,
}

/// What a [`MaintenanceLayer`] has counted since it was created, and its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaintenanceStats {
    /// Whether maintenance is active.
    pub active: bool,
    /// How often maintenance was switched on or off.
    pub changes: u64,
    /// The number of requests that got the page.
    pub answered: u64,
    /// The number of requests that were passed on during maintenance, because they are exempt.
    pub exempt: u64,
}

impl MaintenanceLayer {
    /// Creates a layer from which no request is exempt.
    #[must_use]
    pub fn new(maintenance: Maintenance) -> Self {
        Self { maintenance, settings: Arc::default(), errors: Arc::default(), counts: Arc::default() }
    }

    /// Sets the addresses of clients that are exempt. Default: none.
    #[must_use]
    pub fn exempt_addresses(mut self, addresses: AddressRanges) -> Self {
        Arc::make_mut(&mut self.settings).addresses = addresses;
        self
    }

    /// Adds a [`PathPattern`](crate::filter::PathPattern) of paths that are exempt. Default: none.
    ///
    /// A path that servers read differently is never exempt: one that the default
    /// [`UriPolicy`](crate::filter::UriPolicy) refuses or rewrites (`/health/../admin`, `//health`, `/health;x`,
    /// `/%68ealth`), one with an encoding after decoding (`/health/%252e%252e`), and one with an encoded `?` or `#`.
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`] says what is wrong with the pattern.
    pub fn exempt_path(mut self, pattern: &str) -> Result<Self, InvalidPattern> {
        Arc::make_mut(&mut self.settings).paths.add(pattern)?;
        Ok(self)
    }

    /// Sets a field and its value with which requests are exempt. The value is compared in constant time, and an empty
    /// one exempts none. The field is passed on. Default: none.
    #[must_use]
    pub fn exempt_secret(mut self, name: HeaderName, secret: impl AsRef<[u8]>) -> Self {
        Arc::make_mut(&mut self.settings).secret = Some((name, secret.as_ref().into()));
        self
    }

    /// Sets whether only requests that may change something are answered: `GET`, `HEAD` and `OPTIONS` are passed on.
    /// Default: false.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        Arc::make_mut(&mut self.settings).read_only = read_only;
        self
    }

    /// Sets how the address of the client is determined. Default: the address of the connection's peer.
    #[must_use]
    pub fn client_address(mut self, client: ClientAddress) -> Self {
        Arc::make_mut(&mut self.settings).client = client;
        self
    }

    /// Sets the form of the responses without HTML. Default: [`ErrorResponses::new`].
    #[must_use]
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.errors = Arc::new(errors);
        self
    }

    /// Returns what this layer and its clones have counted.
    pub fn stats(&self) -> MaintenanceStats {
        MaintenanceStats {
            active: self.maintenance.is_active(),
            changes: self.maintenance.changes(),
            answered: self.counts.answered.load(Ordering::Relaxed),
            exempt: self.counts.exempt.load(Ordering::Relaxed),
        }
    }
}

impl Settings {
    fn exempts<B>(&self, request: &Request<B>) -> bool {
        if self.read_only && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return true;
        }
        if self.paths.contains(request.uri().path()) {
            return true;
        }
        if let Some((name, secret)) = &self.secret
            && let Some(value) = request.headers().get(name)
            && !secret.is_empty()
            && bool::from(value.as_bytes().ct_eq(secret))
        {
            return true;
        }
        !self.addresses.is_empty()
            && self.client.of(RequestHead::of(request)).is_some_and(|address| self.addresses.contains(address))
    }
}

impl fmt::Debug for MaintenanceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaintenanceLayer").field("maintenance", &self.maintenance).finish_non_exhaustive()
    }
}

/// The service of a [`MaintenanceLayer`].
#[derive(Clone, Debug)]
pub struct Maintained<S> {
    inner: S,
    layer: MaintenanceLayer,
}

impl<S> Layer<S> for MaintenanceLayer {
    type Service = Maintained<S>;

    fn layer(&self, inner: S) -> Maintained<S> {
        Maintained { inner, layer: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for Maintained<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ReplyBody<R>>;
    type Error = S::Error;
    type Future = ReplyFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let MaintenanceLayer { maintenance, settings, errors, counts } = &self.layer;
        if maintenance.is_active() {
            if !settings.exempts(&request) {
                counts.answered.fetch_add(1, Ordering::Relaxed);
                return ReplyFuture::own(maintenance.page().respond(&request, errors));
            }
            counts.exempt.fetch_add(1, Ordering::Relaxed);
        }
        ReplyFuture::inner(self.inner.call(request))
    }
}
