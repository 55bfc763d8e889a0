//! A listener whose connections each go to an endpoint of a pool.

use std::{net::SocketAddr, time::Duration};

use equipoise::{
    Pool, SourcePrefix, Upstream,
    proxy::tcp::{TcpKey, TcpProxy, TcpSettings},
};
use toml::Spanned;

use crate::{
    backend::HashOn,
    config::{ConnectionLimits, Mode, TcpListener},
    context::Context,
    log,
    source::ConfigError,
};

/// A pool, and the settings of the connections that are passed on to it.
pub(crate) struct Relay {
    pool: Pool<Upstream>,
    settings: TcpSettings,
}

impl Relay {
    pub(crate) fn of_listener(listener: &TcpListener, context: Context<'_>) -> Result<Self, ConfigError> {
        let TcpListener { bind, pool, limits, timeouts, .. } = listener;
        Self::new(pool, (*bind.get_ref(), Mode::Tcp), limits, (timeouts.idle, timeouts.queue), context)
    }

    /// Finds a pool for a listener with an address and a mode. The timeouts are those without a byte, and those for an
    /// endpoint at its limit.
    pub(crate) fn new(
        pool: &Spanned<String>,
        (bind, mode): (SocketAddr, Mode),
        limits: &ConnectionLimits,
        (idle, queue): (Duration, Duration),
        context: Context<'_>,
    ) -> Result<Self, ConfigError> {
        let backend = context.pool(pool, bind, mode)?;
        let mut settings = TcpSettings::new()
            .max_connections(limits.max_connections)
            .connect_timeout(backend.table.timeouts.connect)
            .idle_timeout(idle)
            .queue_timeout(queue)
            .on_end(log::connection(bind, pool.get_ref(), context.logs))
            .key(match backend.hash_on {
                Some(HashOn::Source) => TcpKey::source(SourcePrefix::default()),
                Some(HashOn::ServerName) => TcpKey::server_name(),
                Some(HashOn::Request(_)) | None => TcpKey::none(),
            });
        if let Some(max) = limits.max_connections_per_source {
            settings = settings.max_connections_per_source(max);
        }
        if let Some(version) = backend.table.proxy_version() {
            settings = settings.proxy_protocol(version);
        }
        if let Some(tls) = backend.connections.tls() {
            settings = settings.tls(tls);
        }
        Ok(Self { pool: backend.pool.clone(), settings })
    }

    pub(crate) fn start(self) -> TcpProxy {
        TcpProxy::with_settings(self.pool, self.settings)
    }

    /// Gives a proxy this pool and these settings, for later connections.
    pub(crate) fn replace(self, proxy: &TcpProxy) {
        proxy.replace(self.pool, self.settings);
    }
}
