use std::{fmt, time::Duration};

use equipoise_core::{InvalidSpec, Pool};
use tower_layer::Layer;

use super::{service::Balance, shared::Settings};
use crate::{
    dispatch::{self, SharedClient},
    http::HttpProtocol,
    observe::{Observe, Observer},
};

/// A layer that puts a [`Balance`] over one client for all endpoints: each request is [pointed](crate::PointAt) at the
/// endpoint that was picked for it.
///
/// The client is any service of HTTP requests: hyper-util's client, reqwest's, or layers over one.
///
/// ```no_run
/// use bytes::Bytes;
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_tower::BalanceLayer;
/// use http::Request;
/// use http_body_util::Empty;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::{Layer, Service};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::default();
/// pool.update(["127.0.0.1:8001", "127.0.0.1:8002"].map(EndpointSpec::new), |_| ())?;
/// let client = Client::builder(TokioExecutor::new()).build_http();
/// let mut balanced = BalanceLayer::new(pool).check_addresses()?.layer(client);
/// let response = balanced.call(Request::get("http://orders/today").body(Empty::<Bytes>::new())?).await?;
/// # drop(response);
/// # Ok(())
/// # }
/// ```
pub struct BalanceLayer<T = (), P = HttpProtocol> {
    pool: Pool<T>,
    settings: Settings<P>,
}

impl<T> BalanceLayer<T> {
    /// A layer with the defaults of [`Balance`].
    ///
    /// From now on the pool refuses new endpoints whose addresses cannot be used for HTTP. Endpoints with such addresses that
    /// are already in the pool are skipped; a request for which no other endpoint is left fails with
    /// [`Error::Address`](crate::Error::Address). Call [`check_addresses`](Self::check_addresses) to have them refused when the
    /// layer is built. It is not part of `new`, because a layer may also be built over a pool whose endpoints are not all for
    /// it.
    pub fn new(pool: Pool<T>) -> Self {
        // The result is about endpoints that are already in the pool: see `check_addresses`.
        let _ = pool.demand_addresses(dispatch::check);
        Self { pool, settings: Settings::new(HttpProtocol::new()) }
    }
}

impl<T> BalanceLayer<T, HttpProtocol> {
    /// Checks that the addresses of the pool's endpoints can be used for HTTP: `host:port`, or `http://` or `https://` with a
    /// host, an optional port, and no path. A host alone is refused: its port would depend on each request's scheme.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    /// use equipoise_tower::BalanceLayer;
    ///
    /// let pool = Pool::default();
    /// pool.add(EndpointSpec::new("orders"), ())?;
    /// let refused = BalanceLayer::new(pool.clone()).check_addresses().unwrap_err();
    /// assert_eq!(refused.to_string(), r#"endpoint "orders" cannot be reached"#);
    /// // Endpoints that join are checked when they are added.
    /// assert!(pool.add(EndpointSpec::new("invoices"), ()).is_err());
    /// assert!(pool.add(EndpointSpec::new("invoices:80"), ()).is_ok());
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If an endpoint in the pool has another address. Also then, the pool refuses new endpoints with such addresses.
    pub fn check_addresses(self) -> Result<Self, InvalidSpec> {
        self.pool.demand_addresses(dispatch::check)?;
        Ok(self)
    }
}

impl<T, P> BalanceLayer<T, P> {
    /// A layer for another protocol, or for [`HttpProtocol`] with settings: see [`Balance::with_protocol`].
    pub fn with_protocol(pool: Pool<T>, protocol: P) -> Self {
        Self { pool, settings: Settings::new(protocol) }
    }

    /// See [`Balance::max_attempts`].
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: usize) -> Self {
        self.settings.max_attempts = max_attempts.max(1);
        self
    }

    /// See [`Balance::queue_timeout`].
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.settings.queue_timeout = Some(timeout);
        self
    }

    /// See [`Balance::ready_timeout`].
    #[must_use]
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.settings.ready_timeout = timeout;
        self
    }

    /// See [`Balance::attempt_timeout`].
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attempt_timeout = Some(timeout);
        self
    }

    /// See [`Balance::observe`].
    #[must_use]
    pub fn observe(mut self, observe: impl Observe) -> Self {
        self.settings.observer = Observer::new(observe);
        self
    }
}

impl<T, P: Clone, C> Layer<C> for BalanceLayer<T, P> {
    type Service = Balance<T, SharedClient<C>, P>;

    fn layer(&self, client: C) -> Self::Service {
        Balance::over(self.pool.clone(), client, self.settings.clone())
    }
}

impl<T, P: Clone> Clone for BalanceLayer<T, P> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), settings: self.settings.clone() }
    }
}

impl<T, P: fmt::Debug> fmt::Debug for BalanceLayer<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalanceLayer").field("pool", &self.pool).field("settings", &self.settings).finish()
    }
}
