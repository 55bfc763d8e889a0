use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use equipoise_core::Pool;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    connect::Backend,
    session::{Sessions, Shared},
    settings::TcpSettings,
    stats::{Counters, TcpStats},
};
use crate::listen::{Accepted, Connections, Listener};

/// A TCP proxy over a pool. The [module](super) has an example.
///
/// Clones share the pool, the settings, the connections and the shutdown. So one proxy can have several listeners: call
/// [`serve`](Self::serve) for each.
#[derive(Clone, Debug)]
pub struct TcpProxy {
    shared: Arc<Shared>,
    connections: Arc<Connections>,
}

impl TcpProxy {
    /// Creates a proxy with the default [`TcpSettings`].
    #[must_use]
    pub fn new<T: Send + Sync + 'static>(pool: Pool<T>) -> Self {
        Self::with_settings(pool, TcpSettings::new())
    }

    /// Creates a proxy with other settings.
    #[must_use]
    pub fn with_settings<T: Send + Sync + 'static>(pool: Pool<T>, settings: TcpSettings) -> Self {
        let connections = Arc::new(Connections::new(settings.max_connections));
        let backend = Backend { pool: Box::new(pool), settings };
        let shared =
            Shared { backend: ArcSwap::from_pointee(backend), sources: Arc::default(), counters: Counters::default() };
        Self { shared: Arc::new(shared), connections }
    }

    /// Replaces the pool and the settings. Connections that are open keep those that they began with. A lower
    /// [`max_connections`](TcpSettings::max_connections) closes no connection: until so many have ended that it is met,
    /// further connections wait.
    ///
    /// # Panics
    ///
    /// If the new `max_connections` is lower than the number of open connections, and it is called outside of a tokio
    /// runtime.
    pub fn replace<T: Send + Sync + 'static>(&self, pool: Pool<T>, settings: TcpSettings) {
        self.connections.set_max(settings.max_connections);
        self.shared.backend.store(Arc::new(Backend { pool: Box::new(pool), settings }));
    }

    /// Accepts connections and passes each on in a task, until [`shutdown`](Self::shutdown) begins.
    ///
    /// A shutdown waits until this future has ended, even if it has not been polled yet. Drop it if you do not use it.
    ///
    /// Errors of the listener do not end it: they are counted, and accepting is tried again. If the error does not
    /// concern a single connection, for example because too many files are open, it pauses first, for 10 ms to 1 s.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a tokio runtime.
    pub fn serve<L: Listener>(&self, listener: L) -> impl Future<Output = ()> + Send + use<L> {
        Arc::clone(&self.connections).serve(listener, self.sessions())
    }

    /// Passes on one connection that was accepted elsewhere, until it is closed. Its handshake is part of this future.
    ///
    /// It counts as one of the proxy's connections from this call until the future ends or is dropped. At
    /// [`max_connections`](TcpSettings::max_connections), it waits until another one is closed.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a tokio runtime.
    pub fn serve_connection<Io>(&self, accepted: Accepted<Io>) -> impl Future<Output = ()> + Send + use<Io>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.connections.serve_one(accepted, self.sessions())
    }

    /// Shuts the proxy down, and returns how many connections were aborted.
    ///
    /// - The calls of [`serve`](Self::serve) close their listeners and return. The connections that the system has
    ///   [accepted](Listener::accept_waiting) before are served.
    /// - Connections go on until both sides have ended them. Those that are open after the time `grace` are aborted.
    ///   `Duration::ZERO` aborts all of them.
    ///
    /// The shutdown begins when the future is first polled. It cannot be undone: drop the future to wait no longer. In
    /// a runtime without a timer, `grace` never ends.
    pub fn shutdown(&self, grace: Duration) -> impl Future<Output = usize> + Send + use<> {
        let connections = Arc::clone(&self.connections);
        async move { connections.shutdown(grace).await }
    }

    /// Returns the counters of this proxy.
    pub fn stats(&self) -> TcpStats {
        self.shared.counters.stats(&self.connections)
    }

    fn sessions(&self) -> Sessions {
        Sessions(Arc::clone(&self.shared))
    }
}
