use std::{fmt, future::poll_fn, io, sync::Arc, time::Duration};

use equipoise_core::{InvalidSpec, Pool};
use tokio::task::unconstrained;

use super::{
    listener::UdpListener,
    settings::UdpSettings,
    shared::{Backend, Phase, Shared},
    socket::Buffers,
    stats::UdpStats,
    worker::Worker,
};
use crate::timing::within;

/// How long listeners may take to notice that their sessions are aborted. Only a blocked runtime, or a future that is not
/// polled, takes longer.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// A proxy for UDP over the endpoints of a pool. The [module](super) has an example.
///
/// Clones share the settings, the limits, the counters and the shutdown. Each listener has sessions of its own.
#[derive(Clone)]
pub struct UdpProxy {
    shared: Arc<Shared>,
}

impl UdpProxy {
    /// Creates a proxy with the default [`UdpSettings`]. The targets of the endpoints are not used: datagrams are sent to
    /// their addresses.
    ///
    /// The address of an endpoint is a host with a port, such as `10.0.0.7:53`, `[2001:db8::7]:53` or `dns.internal:53`,
    /// also after `udp://`. An endpoint with another address counts as unreachable: see
    /// [`check_addresses`](Self::check_addresses).
    #[must_use]
    pub fn new<T: Send + Sync + 'static>(pool: Pool<T>) -> Self {
        Self::with_settings(pool, UdpSettings::new())
    }

    /// Creates a proxy with other settings.
    #[must_use]
    pub fn with_settings<T: Send + Sync + 'static>(pool: Pool<T>, settings: UdpSettings) -> Self {
        Self { shared: Arc::new(Shared::new(backend(pool, settings))) }
    }

    /// Checks that datagrams can be sent to the addresses of all endpoints in the pool, and returns the proxy. From this
    /// call on, the pool refuses other addresses, also after the proxy has gone.
    ///
    /// # Errors
    ///
    /// The first endpoint whose address is not a host with a port.
    pub fn check_addresses(self) -> Result<Self, InvalidSpec> {
        self.shared.backend().pool.check()?;
        Ok(self)
    }

    /// Replaces the settings, also for open sessions. A lower [`max_sessions`](UdpSettings::max_sessions) closes none, and
    /// an open session keeps what identifies it.
    pub fn set_settings(&self, settings: UdpSettings) {
        self.shared.set_settings(settings);
    }

    /// Replaces the pool for later sessions, and the settings as [`set_settings`](Self::set_settings) does. The pool treats
    /// addresses as in [`new`](Self::new).
    ///
    /// Open sessions stay at their endpoints of the old pool. They end as other sessions do: also when their endpoint is
    /// removed from the old pool or set to maintenance there. They count for the limits and for
    /// [`shutdown`](Self::shutdown). If such a session has to be placed anew, it gets an endpoint of the new pool.
    pub fn replace<T: Send + Sync + 'static>(&self, pool: Pool<T>, settings: UdpSettings) {
        self.shared.replace(backend(pool, settings));
    }

    /// Returns the counters of this proxy.
    #[must_use]
    pub fn stats(&self) -> UdpStats {
        let max = self.shared.backend().settings.max_sessions;
        self.shared.counters.stats(self.shared.sessions.open(), max)
    }

    /// Serves the clients of a listener, until [`shutdown`](Self::shutdown) has ended its sessions. All work is done in
    /// this future. Run it in a task of its own, and call it once for each listener.
    ///
    /// A shutdown waits until this future has ended, even if it has not been polled yet. Drop it to end its sessions.
    ///
    /// Each listener that is served has buffers of 2 MiB, and others of this size for replies that come before an error. The
    /// system provides what is used of them.
    ///
    /// # Errors
    ///
    /// The operating system's error if the socket cannot be used.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a tokio runtime, or in one without its I/O driver.
    pub fn serve(&self, listener: UdpListener) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let (shared, serving) = (Arc::clone(&self.shared), self.shared.serving());
        async move {
            let mut worker = Worker::new(shared, listener)?;
            let mut buffers = Buffers::new();
            // A worker limits what it does in one poll.
            unconstrained(poll_fn(|cx| worker.poll(cx, &mut buffers))).await;
            drop(worker);
            drop(serving);
            Ok(())
        }
    }

    /// Shuts the proxy down, and returns how many sessions were aborted.
    ///
    /// - No session is opened any more: a datagram without a session is dropped.
    /// - Open sessions go on until they end. When a listener has none, its socket is closed, and the call of
    ///   [`serve`](Self::serve) returns.
    /// - Sessions that are open after the time `grace` are aborted. `Duration::ZERO` aborts all of them.
    ///
    /// A session ends when it is idle, so a `grace` below the [`idle_timeout`](UdpSettings::idle_timeout) usually passes
    /// completely, unless sessions end with the [last reply](UdpSettings::max_replies). For services whose clients repeat
    /// lost requests, such as DNS, a `grace` of a second or less is enough.
    ///
    /// The listener keeps its port until then. If another process shares the port ([`UdpListener::bind_shared`]), the system
    /// gives it some of the clients, and the others to this listener, which drops their datagrams.
    ///
    /// The shutdown begins when the future is first polled. It cannot be undone: drop the future to wait no longer. In a
    /// runtime without a timer, `grace` never ends.
    pub fn shutdown(&self, grace: Duration) -> impl Future<Output = usize> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            shared.begin(Phase::Draining);
            if !grace.is_zero() && within(grace, shared.unserved()).await.is_some() {
                return 0;
            }
            let open = shared.sessions.open();
            shared.begin(Phase::Aborting);
            within(ABORT_TIMEOUT, shared.unserved()).await;
            open
        }
    }
}

fn backend<T: Send + Sync + 'static>(pool: Pool<T>, settings: UdpSettings) -> Backend {
    Backend { pool: Arc::new(pool), settings: Arc::new(settings) }
}

impl fmt::Debug for UdpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpProxy")
            .field("settings", &self.shared.backend().settings)
            .field("stats", &self.stats())
            .finish()
    }
}
