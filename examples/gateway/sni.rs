//! A listener whose connections go to a pool by the name in their TLS handshake, which is not decrypted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use equipoise::{
    monitor::WatchedListener,
    proxy::{
        listen::{Established, Prefixed},
        proxy_protocol::{ProxyAcceptor, ProxyProtocol},
        sni::{InvalidSniRoute, SniRouter, SniStats, SniTarget},
        tcp::{TcpProxy, TcpStats},
    },
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use toml::Spanned;

use crate::{
    config::{Mode, SniListener, SniRoute},
    context::Context,
    source::{ConfigError, Source},
    tcp::Relay,
};

/// The routes of a listener by the name in TLS handshakes.
pub(crate) struct SniPlan {
    /// By the names of pools.
    relays: BTreeMap<String, Relay>,
    routes: Vec<SniRoute>,
    /// The pools of connections that no route matches: those with TLS, and those without.
    otherwise: Option<String>,
    not_tls: Option<String>,
    hello_timeout: Duration,
    max_connections: usize,
}

impl SniPlan {
    pub(crate) fn new(listener: &SniListener, context: Context<'_>) -> Result<Self, ConfigError> {
        let SniListener { bind, route, pool, not_tls_pool, limits, timeouts, .. } = listener;
        let source = context.source;
        let mut relays = BTreeMap::new();
        for name in route.iter().map(|route| &route.get_ref().pool).chain(pool).chain(not_tls_pool) {
            let of = (*bind.get_ref(), Mode::Sni);
            let relay = Relay::new(name, of, limits, (timeouts.idle, timeouts.queue), context)?;
            relays.insert(name.get_ref().clone(), relay);
        }
        if relays.is_empty() {
            let message = "the listener has no pool and no routes: add routes with host, or a pool";
            return Err(source.error(bind.span(), message));
        }
        check_routes(route, source)?;
        let name = |pool: &Option<Spanned<String>>| pool.as_ref().map(|name| name.get_ref().clone());
        Ok(Self {
            relays,
            routes: route.iter().map(|route| route.get_ref().clone()).collect(),
            otherwise: name(pool),
            not_tls: name(not_tls_pool),
            hello_timeout: timeouts.hello,
            max_connections: limits.max_connections,
        })
    }

    /// Gives the proxies that stay their new settings, and creates the others.
    fn proxies(&mut self, running: &BTreeMap<String, TcpProxy>) -> BTreeMap<String, TcpProxy> {
        let relays = std::mem::take(&mut self.relays).into_iter();
        let applied = relays.map(|(name, relay)| match running.get(&name) {
            Some(proxy) => {
                relay.replace(proxy);
                (name, proxy.clone())
            }
            None => (name, relay.start()),
        });
        applied.collect()
    }

    fn router<Io>(&self, proxies: &BTreeMap<String, TcpProxy>) -> SniRouter<Io>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut router = SniRouter::new().hello_timeout(self.hello_timeout).max_connections(self.max_connections);
        let proxy = |name: &String| proxies.get(name).cloned();
        for route in &self.routes {
            let Some(proxy) = proxy(route.pool.get_ref()) else { continue };
            // The check of the configuration has added the same routes.
            match add(router.clone(), route, proxy) {
                Ok(added) => router = added,
                Err(error) => tracing::error!("a route is left out: {error}"),
            }
        }
        if let Some(proxy) = self.otherwise.as_ref().and_then(proxy) {
            router = router.otherwise(proxy);
        }
        if let Some(proxy) = self.not_tls.as_ref().and_then(proxy) {
            router = router.not_tls(proxy);
        }
        router
    }
}

/// Adds a route.
fn add<Io>(
    router: SniRouter<Io>,
    route: &SniRoute,
    target: impl SniTarget<Io>,
) -> Result<SniRouter<Io>, InvalidSniRoute>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match (&route.host, &route.alpn) {
        (Some(host), Some(alpn)) => router.host_alpn(host.get_ref(), alpn.get_ref(), target),
        (Some(host), None) => router.host(host.get_ref(), target),
        (None, Some(alpn)) => router.alpn(alpn.get_ref(), target),
        (None, None) => Ok(router),
    }
}

fn check_routes(routes: &[Spanned<SniRoute>], source: &Source) -> Result<(), ConfigError> {
    let mut router = SniRouter::<TcpStream>::new();
    for route in routes {
        let (span, route) = (route.span(), route.get_ref());
        if route.host.is_none() && route.alpn.is_none() {
            let message =
                "a route needs host or alpn: add one, or set the pool of the listener for all other connections";
            return Err(source.error(span, message));
        }
        let unused = async |_: Established<Prefixed<TcpStream>>| {};
        router = add(router, route, unused).map_err(|error| {
            let value = match &error {
                InvalidSniRoute::Host { .. } => route.host.as_ref(),
                InvalidSniRoute::Alpn { .. } => route.alpn.as_ref(),
                _ => None,
            };
            source.caused(value.map_or(span, Spanned::span), &error)
        })?;
    }
    Ok(())
}

/// A running listener by the name in TLS handshakes. Its connections may begin with a header of the PROXY protocol.
#[derive(Clone)]
pub(crate) struct SniServer {
    router: AnyRouter,
    hello_timeout: Duration,
    /// By the names of pools.
    proxies: Arc<Mutex<BTreeMap<String, TcpProxy>>>,
}

#[derive(Clone)]
enum AnyRouter {
    Direct(SniRouter<TcpStream>),
    Proxied(SniRouter<Prefixed<TcpStream>>),
}

impl SniServer {
    /// Starts to serve.
    pub(crate) fn start(mut plan: SniPlan, listener: TcpListener, headers: Option<ProxyAcceptor>) -> Self {
        let proxies = plan.proxies(&BTreeMap::new());
        let router = match headers {
            None => {
                let router = plan.router(&proxies);
                tokio::spawn(router.clone().serve(listener));
                AnyRouter::Direct(router)
            }
            Some(acceptor) => {
                let router = plan.router(&proxies);
                tokio::spawn(router.clone().serve(ProxyProtocol::with_acceptor(listener, acceptor)));
                AnyRouter::Proxied(router)
            }
        };
        Self { router, hello_timeout: plan.hello_timeout, proxies: Arc::new(Mutex::new(proxies)) }
    }

    /// Returns whether the plan differs only in what can be exchanged while connections are accepted.
    pub(crate) fn can_become(&self, plan: &SniPlan) -> bool {
        self.hello_timeout == plan.hello_timeout
    }

    /// Exchanges the routes, the pools and the settings for later connections.
    pub(crate) fn replace(&self, mut plan: SniPlan) {
        let mut proxies = self.proxies.lock();
        *proxies = plan.proxies(&proxies);
        match &self.router {
            AnyRouter::Direct(router) => replace(router, &plan.router(&proxies), plan.max_connections),
            AnyRouter::Proxied(router) => replace(router, &plan.router(&proxies), plan.max_connections),
        }
    }

    pub(crate) async fn shutdown(&self, grace: Duration) -> usize {
        match &self.router {
            AnyRouter::Direct(router) => router.shutdown(grace).await,
            AnyRouter::Proxied(router) => router.shutdown(grace).await,
        }
    }

    pub(crate) fn stats(&self) -> SniStats {
        match &self.router {
            AnyRouter::Direct(router) => router.stats(),
            AnyRouter::Proxied(router) => router.stats(),
        }
    }

    /// Returns the proxies, by the names of their pools.
    pub(crate) fn proxies(&self) -> BTreeMap<String, TcpProxy> {
        self.proxies.lock().clone()
    }

    /// Adds the counters of the connections whose pool is not known yet.
    pub(crate) fn watched(&self, listener: WatchedListener) -> WatchedListener {
        match &self.router {
            AnyRouter::Direct(router) => listener.sni(router),
            AnyRouter::Proxied(router) => listener.sni(router),
        }
    }

    /// Returns the counters of the connections to each pool.
    pub(crate) fn pools(&self) -> Vec<(String, TcpStats)> {
        self.proxies.lock().iter().map(|(name, proxy)| (name.clone(), proxy.stats())).collect()
    }

    /// Returns the number of open connections.
    pub(crate) fn open(&self) -> usize {
        match &self.router {
            AnyRouter::Direct(router) => router.open(),
            AnyRouter::Proxied(router) => router.open(),
        }
    }
}

/// Gives a router the routes and the limit of a new one.
fn replace<Io>(running: &SniRouter<Io>, new: &SniRouter<Io>, max_connections: usize)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    running.replace_routes(new);
    // It applies to all clones.
    drop(running.clone().max_connections(max_connections));
}
