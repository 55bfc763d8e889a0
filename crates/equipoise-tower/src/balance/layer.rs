use std::{fmt, time::Duration};

use equipoise_core::{InvalidSpec, Pool};
use tower_layer::Layer;

use super::{attempt::SharedClient, plan::Settings, service::Balance};
use crate::{
    http::HttpProtocol,
    observe::{Observe, Observer},
    point_at,
};

/// A tower layer that puts a [`Balance`] over one client, which serves all endpoints. Each request is
/// [changed](crate::PointAt), so that the client sends it to the endpoint that was picked.
///
/// The client is any service of HTTP requests: hyper-util's client, `ReqwestService` (feature `reqwest`), or layers
/// over such a client.
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
    /// Creates a layer with the defaults of [`Balance`].
    ///
    /// From this call on, the pool refuses a new endpoint if HTTP cannot use its address. Endpoints with such addresses
    /// that are already in the pool stay, but requests skip them. If a request finds no other endpoint, it fails with
    /// [`Error::Address`](crate::Error::Address).
    ///
    /// `new` does not check the endpoints that are already in the pool, because some of them may not be meant for this
    /// layer. To check them, call [`check_addresses`](Self::check_addresses).
    pub fn new(pool: Pool<T>) -> Self {
        // The result is about endpoints that are already in the pool: see `check_addresses`.
        let _ = pool.demand_addresses(point_at::check);
        Self { pool, settings: Settings::new(HttpProtocol::new()) }
    }
}

impl<T> BalanceLayer<T, HttpProtocol> {
    /// Checks that HTTP can use the addresses of all endpoints in the pool, and returns the layer. A valid address is
    /// `host:port`, or `http://` or `https://` with a host, an optional port, and no path. An address that is only a
    /// host is refused, because its port would depend on the scheme of each request.
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
    /// Returns [`InvalidSpec`] if HTTP cannot use the address of an endpoint in the pool. With or without this error,
    /// the pool refuses a new endpoint from this call on if HTTP cannot use its address.
    pub fn check_addresses(self) -> Result<Self, InvalidSpec> {
        self.pool.demand_addresses(point_at::check)?;
        Ok(self)
    }
}

impl<T, P> BalanceLayer<T, P> {
    /// Creates a layer with the protocol `protocol`: an [`HttpProtocol`] that has settings, a
    /// [`PlainProtocol`](crate::PlainProtocol), or your own [`Protocol`](crate::Protocol).
    ///
    /// In contrast to [`new`](BalanceLayer::new), this call does not make the pool refuse endpoints. If `protocol` is
    /// an [`HttpProtocol`], call [`check_addresses`](Self::check_addresses): the pool then refuses endpoints with
    /// addresses that HTTP cannot use.
    pub fn with_protocol(pool: Pool<T>, protocol: P) -> Self {
        Self { pool, settings: Settings::new(protocol) }
    }

    /// Sets the maximum number of attempts for one request, including the first one. Default: 4. 0 counts as 1. See
    /// [`Balance::max_attempts`].
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: usize) -> Self {
        self.settings.max_attempts = max_attempts.max(1);
        self
    }

    /// Sets how long a request may wait in the pool's queue while no endpoint can take it. Default: requests do not
    /// wait, and fail at once. See [`Balance::queue_timeout`].
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.settings.queue_timeout = Some(timeout);
        self
    }

    /// Sets how long a request waits for the picked endpoint's service to become ready. After this time, the request
    /// goes to another endpoint. Default: 50 ms. See [`Balance::ready_timeout`].
    #[must_use]
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.settings.ready_timeout = timeout;
        self
    }

    /// Sets the maximum time of one attempt, from the pick of an endpoint to the head of the response. Default: no
    /// limit. See [`Balance::attempt_timeout`].
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attempt_timeout = Some(timeout);
        self
    }

    /// Sets the observer that receives the events of requests. Default: no observer. See [`Balance::observe`].
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
