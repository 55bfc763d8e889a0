use std::{fmt, sync::Arc, task::Poll, time::Duration};

use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tower_service::Service;

use super::{
    activity::Activity,
    connection::Connection,
    io::Io,
    limits::ServerLimits,
    listener::{Accepted, Listener, concerns_one_connection},
    stats::{Counters, ServerStats},
    track::Tracked,
    wait::{Event, Signal},
};
use crate::timing::{sleep_until, within};

/// The pause after the first of several errors while accepting. It doubles with each error, up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How long connections may take to notice that they are aborted. Only a blocked runtime takes longer.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// A server of HTTP/1.1 and HTTP/2. The [module](super) has an example.
///
/// Clones share the limits, the connections and the shutdown. So one server can have several listeners: call
/// [`serve`](Self::serve) on a clone for each.
///
/// If the service returns an error, the connection is closed (HTTP/1.1) or the stream is reset (HTTP/2). A
/// [`ReverseProxy`](crate::ReverseProxy) returns no errors.
#[derive(Clone)]
pub struct Server<S> {
    service: S,
    shared: Arc<Shared>,
}

struct Shared {
    limits: Arc<ServerLimits>,
    permits: Arc<Semaphore>,
    counters: Arc<Counters>,
    /// Listeners and connections wait for it.
    drain: Arc<Event>,
    /// Connections wait for it.
    abort: Arc<Event>,
}

impl Shared {
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        // An error would mean that the semaphore is closed, which never happens.
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }
}

impl<S> Server<S> {
    /// Creates a server with the default [`ServerLimits`].
    #[must_use]
    pub fn new(service: S) -> Self {
        Self::with_limits(service, ServerLimits::new())
    }

    /// Creates a server with other limits.
    #[must_use]
    pub fn with_limits(service: S, limits: ServerLimits) -> Self {
        let permits = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
        let shared = Shared {
            limits: Arc::new(limits),
            permits,
            counters: Arc::default(),
            drain: Arc::default(),
            abort: Arc::default(),
        };
        Self { service, shared: Arc::new(shared) }
    }

    /// Returns the counters of this server.
    pub fn stats(&self) -> ServerStats {
        self.shared.counters.stats(self.shared.abort.waiting())
    }

    /// Shuts the server down, and returns how many connections were aborted.
    ///
    /// - The calls of [`serve`](Self::serve) [close](Listener::close) their listeners and return. The connections that
    ///   the system has accepted before are served.
    /// - Idle connections are closed. Requests in flight are finished, with `Connection: close` or GOAWAY. A connection
    ///   that was opened less than a second ago may still send its first request.
    /// - Connections that are open after the time `grace` are aborted. `Duration::ZERO` aborts all of them.
    ///
    /// The shutdown begins when the future is first polled. It cannot be undone: drop the future to wait no longer. In
    /// a runtime without a timer, `grace` never ends.
    pub fn shutdown(&self, grace: Duration) -> impl Future<Output = usize> + Send + use<S> {
        let shared = Arc::clone(&self.shared);
        async move {
            let Shared { drain, abort, counters, .. } = &*shared;
            drain.begin();
            if within(grace, drain.unused()).await.is_some() {
                return 0;
            }
            let aborted = abort.waiting();
            counters.aborted.add(aborted.try_into().unwrap_or(u64::MAX));
            abort.begin();
            let _ = within(ABORT_TIMEOUT, abort.unused()).await;
            aborted
        }
    }
}

impl<S, B> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send + 'static>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    /// Accepts connections and serves each in a task, until [`shutdown`](Self::shutdown) begins.
    ///
    /// A shutdown waits for the future from this call on, also before it is first polled.
    ///
    /// Errors of the listener do not end it: they are counted, and accepting is tried again. If the error does not
    /// concern a single connection, for example because too many files are open, it pauses first, for 10 ms to 1 s.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a tokio runtime.
    pub fn serve<L: Listener>(self, mut listener: L) -> impl Future<Output = ()> + Send + use<L, S, B> {
        // It is kept until all connections have their own signal, so that a shutdown waits for them.
        let mut drain = self.shared.drain.signal();
        async move {
            let mut waiting = None;
            unless(&mut drain, self.clone().accept(&mut listener, &mut waiting)).await;
            // The system has accepted these connections already, and would reset them.
            for accepted in waiting.into_iter().chain(listener.close()) {
                tokio::spawn(self.serve_connection(accepted));
            }
        }
    }

    /// Accepts connections. One that has to wait at the limit is in `waiting` meanwhile.
    async fn accept<L: Listener>(self, listener: &mut L, waiting: &mut Option<Accepted<L::Io>>) {
        let shared = Arc::clone(&self.shared);
        let mut pause = FIRST_PAUSE;
        loop {
            // Waits for room, but does not hold it: another listener may get the next connection.
            let Some(permit) = shared.permit().await else { return };
            drop(permit);
            match listener.accept().await {
                Ok(accepted) => {
                    pause = FIRST_PAUSE;
                    *waiting = Some(accepted);
                    let Some(permit) = shared.permit().await else { return };
                    let Some(accepted) = waiting.take() else { return };
                    tokio::spawn(self.connection(accepted, permit, shared.drain.signal(), shared.abort.signal()));
                }
                Err(error) => {
                    shared.counters.accept_errors.add(1);
                    tracing::warn!(%error, "a connection could not be accepted");
                    if concerns_one_connection(&error) {
                        continue;
                    }
                    match Instant::now().checked_add(pause).and_then(sleep_until) {
                        Some(sleep) => sleep.await,
                        None => tokio::task::yield_now().await,
                    }
                    pause = pause.saturating_mul(2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Serves one connection that was accepted elsewhere, for example after a TLS handshake, until it is closed.
    ///
    /// It counts as one of the server's connections from this call until the future ends or is dropped. At the
    /// [limit](ServerLimits::max_connections), it waits until another one is closed.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a tokio runtime.
    pub fn serve_connection<T>(&self, accepted: Accepted<T>) -> impl Future<Output = ()> + Send + use<T, S, B>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server = self.clone();
        let (drain, mut abort) = (self.shared.drain.signal(), self.shared.abort.signal());
        async move {
            let mut permit = None;
            unless(&mut abort, async { permit = server.shared.permit().await }).await;
            if let Some(permit) = permit {
                let connection = server.connection(accepted, permit, drain, abort);
                drop(server);
                connection.await;
            }
        }
    }

    fn connection<T>(
        &self,
        accepted: Accepted<T>,
        permit: OwnedSemaphorePermit,
        drain: Signal,
        mut abort: Signal,
    ) -> impl Future<Output = ()> + use<T, S, B>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = &*self.shared;
        let Accepted { io, peer, info } = accepted;
        shared.counters.accepted.add(1);
        let activity = Arc::new(Activity::new());
        let connection = Connection {
            io: Io::new(io, Arc::clone(&activity), shared.limits.write_timeout, permit),
            activity: Arc::clone(&activity),
            limits: Arc::clone(&shared.limits),
            counters: Arc::clone(&shared.counters),
            drain,
        };
        let service =
            Tracked { service: self.service.clone(), peer, info, activity, max_requests: shared.limits.max_requests };
        async move { unless(&mut abort, connection.run(service)).await }
    }
}

impl<S: fmt::Debug> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("service", &self.service)
            .field("limits", &self.shared.limits)
            .field("stats", &self.stats())
            .finish()
    }
}

/// Runs a future until it ends or the event begins.
async fn unless(event: &mut Signal, future: impl Future<Output = ()>) {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        if event.poll(cx) {
            return Poll::Ready(());
        }
        future.as_mut().poll(cx)
    })
    .await;
}
