use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use tower_layer::Layer;

use super::{own_response::Complete, proxy::ReverseProxy, settings::Settings};
use crate::{
    body::Timeouts,
    check::RequestChecks,
    error::ErrorResponses,
    headers::{ForwardingFields, HostRule, Via},
    tunnel::Tunnels,
};

/// Builds a [`ReverseProxy`] with other settings than the defaults. It is also a tower [`Layer`].
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use bytes::Bytes;
/// use equipoise_proxy::{ReverseProxyLayer, Timeouts, headers::ForwardingFields, headers::Via};
/// use http::{Request, Response};
/// use tower::{Layer, service_fn};
///
/// let client = service_fn(async |_: Request<equipoise_proxy::RequestBody<http_body_util::Empty<Bytes>>>| {
///     Ok::<_, Infallible>(Response::new(http_body_util::Full::<Bytes>::from("the endpoint's")))
/// });
/// let proxy = ReverseProxyLayer::new()
///     .timeouts(Timeouts::new().head(Duration::from_secs(10)))
///     .forwarding(ForwardingFields::behind("10.0.0.0/8".parse()?))
///     .max_body_bytes(10 << 20)
///     .via(Via::new("edge-1")?)
///     .layer(client);
/// # drop(proxy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReverseProxyLayer {
    settings: Settings,
}

impl ReverseProxyLayer {
    /// Creates a layer with the defaults of [`ReverseProxy::new`].
    #[must_use]
    pub fn new() -> Self {
        Self { settings: Settings::default() }
    }

    /// Sets which requests are refused. Default: [`RequestChecks::new`].
    #[must_use]
    pub fn checks(mut self, checks: RequestChecks) -> Self {
        self.settings.checks = checks;
        self
    }

    /// Sets the maximum length of a request's body, in bytes. The client of a longer one gets status 413. If the length
    /// is not known in advance, a part of the body may have been forwarded by then. Default: no maximum.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_body_bytes = Some(bytes);
        self
    }

    /// Sets which `Host` endpoints get. Default: [`HostRule::keep`].
    #[must_use]
    pub fn host(mut self, host: HostRule) -> Self {
        self.settings.host = host;
        self
    }

    /// Sets what endpoints learn about the client. Default: [`ForwardingFields::new`], which trusts no proxy.
    #[must_use]
    pub fn forwarding(mut self, fields: ForwardingFields) -> Self {
        self.settings.forwarding = fields;
        self
    }

    /// Adds `Via` to requests and responses, and refuses requests that have come back. Default: neither.
    #[must_use]
    pub fn via(mut self, via: Via) -> Self {
        self.settings.via = Some(via);
        self
    }

    /// Sets the timeouts. Default: [`Timeouts::new`].
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = timeouts;
        self
    }

    /// Sets whether `Upgrade` is forwarded, for example that of WebSocket. Without it, endpoints get requests without
    /// the field. `h2c`, other versions of HTTP and `TLS` are never forwarded. Default: true.
    #[must_use]
    pub fn upgrades(mut self, upgrades: bool) -> Self {
        self.settings.upgrades = upgrades;
        self
    }

    /// Sets how tunnels end. Keep a clone to close them at shutdown. Default: [`Tunnels::new`].
    #[must_use]
    pub fn tunnels(mut self, tunnels: Tunnels) -> Self {
        self.settings.tunnels = tunnels;
        self
    }

    /// Sets how error responses look. Default: [`ErrorResponses::new`].
    #[must_use]
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.settings.errors = errors;
        self
    }

    /// Sets what completes the responses that the proxy makes itself before the inner service gets a request, for example
    /// with the fields that a layer inside adds to all other responses. The closure gets the head of the request, and must
    /// not wait for anything. Default: these responses have the fields of [`ErrorResponses`] only.
    ///
    /// The proxy then also lets the functions of `equipoise-gateway` inside complete the responses that it makes later, for
    /// example after a timeout. `Functions::own_responses` in that crate returns the closure.
    ///
    /// ```
    /// use equipoise_proxy::ReverseProxyLayer;
    /// use http::HeaderValue;
    ///
    /// let layer = ReverseProxyLayer::new().own_responses(|_, mut response| {
    ///     response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    ///     response
    /// });
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn own_responses(
        mut self,
        complete: impl Fn(Request<()>, Response<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.settings.complete = Some(Complete::new(complete));
        self
    }
}

impl Default for ReverseProxyLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ReverseProxyLayer {
    type Service = ReverseProxy<S>;

    fn layer(&self, inner: S) -> ReverseProxy<S> {
        ReverseProxy::with(inner, Arc::new(self.settings.clone()))
    }
}
