//! A listener whose clients, which send datagrams, each go to an endpoint of a pool.

use std::time::Duration;

use equipoise::{
    Pool, SourcePrefix, Upstream,
    proxy::udp::{UdpProxy, UdpSettings},
};

use crate::{
    config::{Mode, UdpListener},
    context::Context,
    log,
    source::ConfigError,
};

/// A pool, and the settings of the sessions of UDP that are passed on to it.
pub(crate) struct Datagrams {
    pool: Pool<Upstream>,
    settings: UdpSettings,
}

impl Datagrams {
    pub(crate) fn new(listener: &UdpListener, context: Context<'_>) -> Result<Self, ConfigError> {
        let UdpListener { bind, pool, limits, timeouts, .. } = listener;
        let backend = context.pool(pool, *bind.get_ref(), Mode::Udp)?;
        let mut settings = UdpSettings::new()
            .max_sessions(limits.max_sessions)
            .idle_timeout(timeouts.idle)
            .reply_timeout(timeouts.reply.0.unwrap_or(Duration::MAX))
            .on_end(log::session(*bind.get_ref(), pool.get_ref(), context.logs));
        if let Some(max) = limits.max_replies {
            // A datagram that has its replies can go to any endpoint, so no session has to stay for a drain.
            settings = settings.max_replies(max).leave_draining(true);
        }
        if let Some(max) = limits.max_sessions_per_source {
            settings = settings.max_sessions_per_source(max, SourcePrefix::default());
        }
        settings = settings.proxy_protocol(backend.table.proxy_version().is_some());
        Ok(Self { pool: backend.pool.clone(), settings })
    }

    pub(crate) fn start(self) -> UdpProxy {
        UdpProxy::with_settings(self.pool, self.settings)
    }

    /// Gives a proxy this pool and these settings, for later sessions.
    pub(crate) fn replace(self, proxy: &UdpProxy) {
        proxy.replace(self.pool, self.settings);
    }
}
