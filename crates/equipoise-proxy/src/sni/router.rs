use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    acceptor::{SniAcceptor, SniStats},
    listener::Sni,
    route::{InvalidSniRoute, Routes},
};
use crate::{
    counter::Counter,
    listen::{Admission, Connections, Established, Listener, Prefixed, Serve},
};

/// The default maximum number of connections.
const MAX_CONNECTIONS: usize = 16_384;

/// Where a [`SniRouter`] sends connections.
///
/// Implemented for [`TcpProxy`](crate::tcp::TcpProxy), for [`Server`](crate::server::Server), and for closures that take a connection and return a future. The
/// future ends when the connection is closed.
pub trait SniTarget<Io>: Send + Sync + 'static {
    /// Serves a connection until it is closed. Its first bytes are the ClientHello, which was read already.
    fn serve(&self, connection: Established<Prefixed<Io>>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl<Io, F, R> SniTarget<Io> for F
where
    F: Fn(Established<Prefixed<Io>>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn serve(&self, connection: Established<Prefixed<Io>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self(connection))
    }
}

#[cfg(feature = "tcp")]
impl<Io> SniTarget<Io> for crate::tcp::TcpProxy
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn serve(&self, connection: Established<Prefixed<Io>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.serve_connection(connection.into()))
    }
}

#[cfg(feature = "server")]
impl<Io, S, B> SniTarget<Io> for crate::server::Server<S>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: tower_service::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>,
    S: Clone + Send + Sync + 'static,
    S::Error: Into<equipoise_tower::BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data: Send, Error: Into<equipoise_tower::BoxError>> + Send + 'static,
{
    fn serve(&self, connection: Established<Prefixed<Io>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.serve_connection(connection.into()))
    }
}

/// Routes connections by the server name (SNI) and the protocols (ALPN) of their ClientHello. The [module](super) has an
/// example.
///
/// The target of a connection is the first one that there is:
///
/// 1. that of a protocol for all hosts ([`alpn`](Self::alpn)), in the client's order of protocols;
/// 2. that of the host: an exact name, then wildcards, the longest first. For each name, that of a protocol
///    ([`host_alpn`](Self::host_alpn)) comes before that of all protocols ([`host`](Self::host));
/// 3. without a server name, [`unnamed`](Self::unnamed);
/// 4. [`otherwise`](Self::otherwise).
///
/// Without TLS, the target is [`not_tls`](Self::not_tls). A connection without a target is closed.
///
/// Clones share the routes, the limit, the counters and the shutdown. So one router can have several listeners: call
/// [`serve`](Self::serve) on a clone for each. While it serves, [`replace_routes`](Self::replace_routes) changes the routes.
pub struct SniRouter<Io> {
    acceptor: SniAcceptor,
    shared: Arc<Shared<Io>>,
}

type Targets<Io> = Routes<Arc<dyn SniTarget<Io>>>;

struct Shared<Io> {
    routes: ArcSwap<Targets<Io>>,
    connections: Arc<Connections>,
    unrouted: Counter,
}

impl<Io: AsyncRead + AsyncWrite + Unpin + Send + 'static> SniRouter<Io> {
    /// Creates a router without targets.
    #[must_use]
    pub fn new() -> Self {
        let shared = Shared {
            routes: ArcSwap::from_pointee(Routes::new()),
            connections: Arc::new(Connections::new(MAX_CONNECTIONS)),
            unrouted: Counter::default(),
        };
        Self { acceptor: SniAcceptor::new().pass_other(true), shared: Arc::new(shared) }
    }

    /// Sets the target of a host: a name such as `shop.example`, or `*.shop.example` for all names below it, with any
    /// number of labels. `*` stands for every name. Upper and lower case are the same.
    ///
    /// # Errors
    ///
    /// [`InvalidSniRoute`] if it is not the name of a host, or the host has a target already.
    pub fn host(self, host: &str, target: impl SniTarget<Io>) -> Result<Self, InvalidSniRoute> {
        self.change(|routes| routes.host(host, None, Arc::new(target)))?;
        Ok(self)
    }

    /// Sets the target of a host for clients that offer a protocol (ALPN), such as `h2`.
    ///
    /// # Errors
    ///
    /// [`InvalidSniRoute`] if one of them is not valid, or both together have a target already.
    pub fn host_alpn(self, host: &str, protocol: &str, target: impl SniTarget<Io>) -> Result<Self, InvalidSniRoute> {
        self.change(|routes| routes.host(host, Some(protocol), Arc::new(target)))?;
        Ok(self)
    }

    /// Sets the target of all connections whose client offers a protocol (ALPN), whatever the host is. For protocols that
    /// are served apart from all others, such as `acme-tls/1`.
    ///
    /// # Errors
    ///
    /// [`InvalidSniRoute`] if the protocol is not valid, or has a target already.
    pub fn alpn(self, protocol: &str, target: impl SniTarget<Io>) -> Result<Self, InvalidSniRoute> {
        self.change(|routes| routes.alpn(protocol, Arc::new(target)))?;
        Ok(self)
    }

    /// Sets the target of clients that send no server name. Default: that of [`otherwise`](Self::otherwise).
    #[must_use]
    pub fn unnamed(self, target: impl SniTarget<Io>) -> Self {
        self.change(|routes| routes.unnamed = Some(Arc::new(target)));
        self
    }

    /// Sets the target of all other connections with TLS. Default: none, so they are closed.
    #[must_use]
    pub fn otherwise(self, target: impl SniTarget<Io>) -> Self {
        self.change(|routes| routes.otherwise = Some(Arc::new(target)));
        self
    }

    /// Sets the target of connections that do not begin with TLS. Default: none, so they are closed. The client must send
    /// the first bytes: a connection on which it waits for the server is closed after the
    /// [`hello_timeout`](Self::hello_timeout).
    #[must_use]
    pub fn not_tls(self, target: impl SniTarget<Io>) -> Self {
        self.change(|routes| routes.other = Some(Arc::new(target)));
        self
    }

    /// Sets the maximum time from the begin of a connection until its ClientHello is complete. Default: 5 s.
    #[must_use]
    pub fn hello_timeout(mut self, timeout: Duration) -> Self {
        self.acceptor = self.acceptor.hello_timeout(timeout);
        self
    }

    /// Sets the maximum number of open connections, of all targets together. At the limit, further ones wait to be
    /// accepted. 0 counts as 1. Default: 16 384. If it is lowered below the number of open connections, it must be called
    /// inside a tokio runtime.
    #[must_use]
    pub fn max_connections(self, max: usize) -> Self {
        self.shared.connections.set_max(max.max(1));
        self
    }

    /// Replaces all routes by those of another router, for example after a change of the configuration. Connections that
    /// have a target already keep it. The limits and the counters stay.
    pub fn replace_routes(&self, other: &Self) {
        self.shared.routes.store(other.shared.routes.load_full());
    }

    /// Returns the counters.
    pub fn stats(&self) -> SniStats {
        let common = self.shared.connections.counters();
        SniStats {
            unrouted: self.shared.unrouted.get(),
            open: self.open().try_into().unwrap_or(u64::MAX),
            max_open: self.shared.connections.max().try_into().unwrap_or(u64::MAX),
            accepted: common.accepted.get(),
            accept_errors: common.accept_errors.get(),
            aborted: common.aborted.get(),
            ..self.acceptor.stats()
        }
    }

    /// Returns the number of open connections, including those whose ClientHello is not complete.
    pub fn open(&self) -> usize {
        self.shared.connections.open()
    }

    /// Accepts connections and serves each in a task, until [`shutdown`](Self::shutdown) begins.
    ///
    /// A shutdown waits until this future has ended, even if it has not been polled yet. Drop it if you do not use it.
    /// Errors of the listener are treated as by [`Server::serve`](crate::server::Server::serve).
    ///
    /// # Panics
    ///
    /// If it is polled outside of a tokio runtime.
    pub fn serve<L: Listener<Io = Io>>(self, listener: L) -> impl Future<Output = ()> + Send + use<L, Io> {
        let listener = Sni::with_acceptor(listener, self.acceptor.clone());
        Arc::clone(&self.shared.connections).serve(listener, self)
    }

    /// Shuts the router down, and returns how many connections were aborted: listeners are closed, connections go on until
    /// they end, and those that are open after the time `grace` are aborted. `Duration::ZERO` aborts all of them.
    ///
    /// Targets are not told. Shut down those that can end their connections in order, such as a
    /// [`Server`](crate::server::Server), at the same time.
    ///
    /// The shutdown begins when the future is first polled. It cannot be undone: drop the future to wait no longer.
    pub fn shutdown(&self, grace: Duration) -> impl Future<Output = usize> + Send + use<Io> {
        let connections = Arc::clone(&self.shared.connections);
        async move { connections.shutdown(grace).await }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Targets<Io>) -> R) -> R {
        let mut routes = Routes::clone(&self.shared.routes.load());
        let result = change(&mut routes);
        self.shared.routes.store(Arc::new(routes));
        result
    }
}

impl<Io> Serve<Prefixed<Io>> for SniRouter<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async fn serve(self, connection: Established<Prefixed<Io>>, admission: Admission) {
        let found = self.shared.routes.load().find(connection.info.client_hello()).cloned();
        let Some(target) = found else {
            self.shared.unrouted.add(1);
            tracing::debug!(server_name = connection.info.server_name(), "a connection has no target");
            return;
        };
        let serving = target.serve(connection);
        drop((self, target));
        // It counts until it is closed.
        let _admission = admission;
        serving.await;
    }
}

impl<Io> Clone for SniRouter<Io> {
    fn clone(&self) -> Self {
        Self { acceptor: self.acceptor.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin + Send + 'static> Default for SniRouter<Io> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Io> fmt::Debug for SniRouter<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SniRouter").field("acceptor", &self.acceptor).finish_non_exhaustive()
    }
}
