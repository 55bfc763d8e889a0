use std::{fmt, time::Duration};

use equipoise_core::{InvalidSpec, Pool};
use tower_layer::Layer;

use super::{Balance, Settings};
use crate::{dispatch::Shared, http::Http, point, replay::ReplayBodiesLayer};

/// Puts a balancer over one client that serves all endpoints: each request is [pointed](crate::PointAt) at the endpoint
/// that was picked for it.
///
/// The client is an application's own: hyper-util's, reqwest's, or a stack of layers over one.
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
/// let mut balanced = BalanceLayer::new(pool).layer(client);
/// let response = balanced.call(Request::get("http://orders/today").body(Empty::<Bytes>::new())?).await?;
/// # drop(response);
/// # Ok(())
/// # }
/// ```
pub struct BalanceLayer<T = (), P = Http> {
    pool: Pool<T>,
    settings: Settings<P>,
}

impl<T> BalanceLayer<T> {
    /// With the defaults of [`Balance`].
    ///
    /// From now on the pool refuses endpoints with addresses that no request over HTTP can go to: see
    /// [`check_addresses`](Self::check_addresses), which also looks at the endpoints that are there. Those that are there
    /// with such an address are passed over, and named in the [error](crate::Error::Address) if nobody is left.
    pub fn new(pool: Pool<T>) -> Self {
        // The answer is about those that are there, and for whoever asks.
        let _ = pool.demand_addresses(point::check);
        Self { pool, settings: Settings::new(Http::new()) }
    }
}

impl<T> BalanceLayer<T, Http> {
    /// Makes sure that the addresses of the pool's endpoints are ones of HTTP: `host:port`, or `http://` or `https://` with
    /// a host, perhaps a port, and no path. A host alone is none: its port would depend on each request's scheme.
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
    /// When an endpoint that is there has another address. The pool refuses such addresses from now on, also then.
    pub fn check_addresses(self) -> Result<Self, InvalidSpec> {
        self.pool.demand_addresses(point::check)?;
        Ok(self)
    }
}

impl<T, P> BalanceLayer<T, P> {
    /// For another protocol than HTTP with its defaults: see [`Balance::with_protocol`].
    pub fn with_protocol(pool: Pool<T>, protocol: P) -> Self {
        Self { pool, settings: Settings::new(protocol) }
    }

    /// See [`Balance::max_attempts`].
    #[must_use]
    pub fn max_attempts(mut self, tries: usize) -> Self {
        self.settings.tries = tries.max(1);
        self
    }

    /// See [`Balance::queue_timeout`].
    #[must_use]
    pub fn queue_timeout(mut self, longest: Duration) -> Self {
        self.settings.wait = Some(longest);
        self
    }

    /// See [`Balance::ready_timeout`].
    #[must_use]
    pub fn ready_timeout(mut self, longest: Duration) -> Self {
        self.settings.ready_timeout = longest;
        self
    }

    /// For servers: a layer whose service takes requests with bodies of any type, such as hyper's `Incoming` or axum's
    /// `Body`, and wraps them in [`Replayable`](crate::Replayable), so that failover can send them again.
    ///
    /// The client must take the wrapped body: let the compiler infer the client's body type, or write
    /// `build_http::<Replayable<Incoming>>()`.
    ///
    /// ```no_run
    /// use std::convert::Infallible;
    ///
    /// use equipoise_core::{EndpointSpec, Pool};
    /// use equipoise_tower::{BalanceLayer, Error};
    /// use http::Request;
    /// use hyper::body::Incoming;
    /// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    /// use tower::Layer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = Pool::default();
    /// pool.update(["127.0.0.1:8001", "127.0.0.1:8002"].map(EndpointSpec::new), |_| ())?;
    /// let client = Client::builder(TokioExecutor::new()).build_http();
    /// let balanced = BalanceLayer::new(pool).incoming().layer(client);
    /// let gateway = move |request: Request<Incoming>| {
    ///     let balanced = balanced.clone();
    ///     async move { balanced.oneshot(request).await.map_err(|error: Error| error.status()) }
    /// };
    /// # drop(gateway);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn incoming(self) -> ReplayBodiesLayer<Self> {
        ReplayBodiesLayer::new(self)
    }
}

impl<T, P: Clone, C> Layer<C> for BalanceLayer<T, P> {
    type Service = Balance<T, Shared<C>, P>;

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
