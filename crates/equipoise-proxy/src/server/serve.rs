use std::{fmt, future::poll_fn, io, pin::pin, sync::Arc, task::Poll, time::Duration};

use arc_swap::ArcSwap;
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::unconstrained,
    time::Instant,
};
use tower_service::Service;

use super::{
    activity::Activity,
    connection::Connection,
    idle::IdleConnections,
    in_flight::InFlightLimit,
    io::Io,
    limits::ServerLimits,
    listener::{Accepted, Listener, concerns_one_connection, is_out_of_files},
    stats::{Counters, ServerStats},
    track::Tracked,
    wait::{Event, Signal},
};
use crate::timing::{sleep_until, within};

/// The pause after the first of several errors while accepting. It doubles with each error, up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The maximum number of connections that are accepted when a listener is closed. It is as large as the backlog of usual
/// systems. Without it, clients that connect faster than they are accepted would keep the listener open.
const MAX_WAITING: usize = 4096;

/// The number of connections that a shutdown adds to the limit. Without them, accepted connections that wait at the
/// limit would wait for the whole grace if tunnels, which may not end, are as many as the limit.
const SHUTDOWN_CONNECTIONS: usize = 64;

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
    limits: ArcSwap<ServerLimits>,
    in_flight: Arc<InFlightLimit>,
    permits: Arc<Semaphore>,
    idle: Arc<IdleConnections>,
    counters: Arc<Counters>,
    /// Listeners wait for it.
    close: Arc<Event>,
    /// Connections wait for it.
    drain: Arc<Event>,
    /// Connections wait for it.
    abort: Arc<Event>,
}

impl Shared {
    /// Waits for a permit. It is not available only if all are taken, and never because the task has used up its budget.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        // An error would mean that the semaphore is closed, which never happens.
        unconstrained(Arc::clone(&self.permits).acquire_owned()).await.ok()
    }

    fn on_accept_error(&self, error: &io::Error) {
        self.counters.accept_errors.add(1);
        tracing::warn!(%error, "a connection could not be accepted");
    }

    /// Waits until there is room for a connection, or an idle connection that can be closed for it.
    async fn room(&self) {
        let mut permit = pin!(self.permit());
        poll_fn(|cx| match permit.as_mut().poll(cx) {
            Poll::Pending if !self.idle.poll_any(cx) => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Waits until there is room for a connection. At the limit, closes one idle connection.
    async fn make_room(&self) -> Option<OwnedSemaphorePermit> {
        let (mut permit, mut closes) = (pin!(self.permit()), false);
        poll_fn(|cx| {
            let room = permit.as_mut().poll(cx);
            closes = closes || room.is_pending() && self.idle.poll_close(cx);
            room
        })
        .await
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
        let permits = Arc::new(Semaphore::new(limits.permits()));
        let shared = Shared {
            in_flight: Arc::new(InFlightLimit::new(limits.max_in_flight)),
            limits: ArcSwap::from_pointee(limits),
            permits,
            idle: Arc::default(),
            counters: Arc::default(),
            close: Arc::default(),
            drain: Arc::default(),
            abort: Arc::default(),
        };
        Self { service, shared: Arc::new(shared) }
    }

    /// Replaces the limits. Connections that are open keep the limits that they began with, except for
    /// [`max_in_flight`](ServerLimits::max_in_flight). A lower [`max_connections`](ServerLimits::max_connections) closes no connection: until so many have ended that the new
    /// limit is met, further connections wait.
    ///
    /// # Panics
    ///
    /// If the new `max_connections` is lower than the number of open connections, and it is called outside of a tokio
    /// runtime.
    pub fn set_limits(&self, limits: ServerLimits) {
        let Shared { permits, in_flight, .. } = &*self.shared;
        in_flight.set_max(limits.max_in_flight);
        let new = limits.permits();
        let old = self.shared.limits.swap(Arc::new(limits)).permits();
        permits.add_permits(new.saturating_sub(old));
        let surplus = old.saturating_sub(new);
        let in_use = surplus - permits.forget_permits(surplus);
        if let Some(in_use) = u32::try_from(in_use).ok().filter(|in_use| *in_use > 0) {
            let permits = Arc::clone(permits);
            // It is first in the semaphore's queue, so connections that end are not replaced.
            tokio::spawn(async move {
                if let Ok(surplus) = permits.acquire_many_owned(in_use).await {
                    surplus.forget();
                }
            });
        }
    }

    /// Returns the counters of this server.
    pub fn stats(&self) -> ServerStats {
        self.shared.counters.stats(self.shared.abort.waiting())
    }

    /// Shuts the server down, and returns how many connections were aborted.
    ///
    /// - The calls of [`serve`](Self::serve) close their listeners and return. The connections that the system has
    ///   [accepted](Listener::accept_waiting) before are served. The next steps begin when all listeners are closed, or
    ///   have to wait because too many files are open.
    /// - Idle connections are closed. Requests in flight are finished, with `Connection: close` or GOAWAY. A connection
    ///   that was opened less than a second ago may still send its first request.
    /// - A request whose head has begun to arrive is served, within the
    ///   [`head_timeout`](ServerLimits::head_timeout), as nginx does it. Further requests that the client has already
    ///   sent on the same HTTP/1.1 connection are not (RFC 9112, section 9.6).
    /// - Accepted connections that wait at [`max_connections`](ServerLimits::max_connections) are served: the limit
    ///   grows by 64, because tunnels count as connections until they end.
    /// - Tunnels over HTTP/2 are waited for as requests are, those over HTTP/1.1 are not: see
    ///   [`Tunnels`](crate::Tunnels).
    /// - Connections that are open after the time `grace` are aborted. `Duration::ZERO` aborts all of them.
    ///
    /// The shutdown begins when the future is first polled. It cannot be undone: drop the future to wait no longer. In
    /// a runtime without a timer, `grace` never ends.
    pub fn shutdown(&self, grace: Duration) -> impl Future<Output = usize> + Send + use<S> {
        let shared = Arc::clone(&self.shared);
        async move {
            let Shared { close, drain, abort, counters, permits, .. } = &*shared;
            let began = Instant::now();
            if close.begin() {
                permits.add_permits(SHUTDOWN_CONNECTIONS);
            }
            // Clients whose connections are closed connect again, and must not reach a listener that is being closed.
            let _ = within(grace, close.unused()).await;
            drain.begin();
            if within(grace.saturating_sub(began.elapsed()), drain.unused()).await.is_some() {
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
    /// A shutdown waits until this future has ended, even if it has not been polled yet. Drop it if you do not use it.
    ///
    /// Errors of the listener do not end it: they are counted, and accepting is tried again. If the error does not
    /// concern a single connection, for example because too many files are open, it pauses first, for 10 ms to 1 s.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a tokio runtime.
    pub fn serve<L: Listener>(self, mut listener: L) -> impl Future<Output = ()> + Send + use<L, S, B> {
        // It is kept until all connections have their own signal, so that a shutdown waits for them.
        let mut close = self.shared.close.signal();
        async move {
            let mut waiting = None;
            unless(&mut close, self.clone().accept(&mut listener, &mut waiting)).await;
            if let Some(accepted) = waiting {
                tokio::spawn(self.serve_connection(accepted));
            }
            self.accept_waiting(listener, close).await;
        }
    }

    /// Accepts the connections that the system has accepted already and would reset, and closes the listener. The
    /// connections that are open are told of the shutdown when `close` is dropped.
    async fn accept_waiting<L: Listener>(self, mut listener: L, close: Signal) {
        // The shutdown waits for it, until its deadline.
        let _drain = self.shared.drain.signal();
        let (mut close, mut pause) = (Some(close), FIRST_PAUSE);
        for _ in 0..MAX_WAITING {
            match listener.accept_waiting() {
                Ok(Some(accepted)) => drop(tokio::spawn(self.serve_connection(accepted))),
                Ok(None) => return,
                Err(error) => {
                    self.shared.on_accept_error(&error);
                    if concerns_one_connection(&error) {
                        continue;
                    }
                    if !is_out_of_files(&error) || self.shared.abort.has_begun() {
                        return;
                    }
                    // Connections that end make room.
                    close = None;
                    self::pause(&mut pause).await;
                }
            }
        }
        drop(close);
    }

    /// Accepts connections. One that has to wait at the limit is in `waiting` meanwhile.
    async fn accept<L: Listener>(self, listener: &mut L, waiting: &mut Option<Accepted<L::Io>>) {
        let shared = Arc::clone(&self.shared);
        let mut pause = FIRST_PAUSE;
        loop {
            // Reserves no place. Another listener can take the place first.
            shared.room().await;
            match listener.accept().await {
                Ok(accepted) => {
                    pause = FIRST_PAUSE;
                    *waiting = Some(accepted);
                    let Some(permit) = shared.make_room().await else { return };
                    let Some(accepted) = waiting.take() else { return };
                    tokio::spawn(self.connection(accepted, permit, shared.drain.signal(), shared.abort.signal()));
                }
                Err(error) => {
                    shared.on_accept_error(&error);
                    if !concerns_one_connection(&error) {
                        self::pause(&mut pause).await;
                    }
                }
            }
        }
    }

    /// Serves one connection that was accepted elsewhere, for example after a TLS handshake, until it is closed.
    ///
    /// It counts as one of the server's connections from this call until the future ends or is dropped. At the
    /// [limit](ServerLimits::max_connections), it waits until another one is closed: one without a request is closed for it.
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
            unless(&mut abort, async { permit = server.shared.make_room().await }).await;
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
        let limits = shared.limits.load_full();
        let Accepted { io, peer, info } = accepted;
        shared.counters.accepted.add(1);
        let activity = Arc::new(Activity::new());
        let connection = Connection {
            io: Io::new(io, Arc::clone(&activity), limits.write_timeout, permit),
            activity: Arc::clone(&activity),
            limits: Arc::clone(&limits),
            counters: Arc::clone(&shared.counters),
            idle: Arc::clone(&shared.idle),
            drain,
        };
        let service = Tracked {
            service: self.service.clone(),
            peer,
            info,
            activity,
            max_requests: limits.max_requests,
            in_flight: Arc::clone(&shared.in_flight),
            counters: Arc::clone(&shared.counters),
            drain: Arc::clone(&shared.drain),
        };
        async move { unless(&mut abort, connection.run(service)).await }
    }
}

impl<S: fmt::Debug> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("service", &self.service)
            .field("limits", &self.shared.limits.load())
            .field("stats", &self.stats())
            .finish()
    }
}

/// Waits for a time, and doubles it.
async fn pause(pause: &mut Duration) {
    match Instant::now().checked_add(*pause).and_then(sleep_until) {
        Some(sleep) => sleep.await,
        None => tokio::task::yield_now().await,
    }
    *pause = pause.saturating_mul(2).min(MAX_PAUSE);
}

/// Runs a future until it ends or the event begins.
async fn unless(event: &mut Signal, future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if event.poll(cx) {
            return Poll::Ready(());
        }
        future.as_mut().poll(cx)
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_without_a_budget_finds_room_below_the_limit() {
        let server = Server::new(());
        poll_fn(|cx| {
            while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
            // Pending would close an idle connection.
            assert!(pin!(server.shared.make_room()).poll(cx).is_ready());
            Poll::Ready(())
        })
        .await;
    }
}
