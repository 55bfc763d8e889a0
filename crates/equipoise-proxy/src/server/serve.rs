use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::{
    activity::Activity,
    connection::Connection,
    in_flight::InFlightLimit,
    interim::{Interim, InterimWriter},
    io::Io,
    limits::ServerLimits,
    stats::{Counters, ServerStats},
    track::Tracked,
};
use crate::listen::{Accepted, Admission, Connections, Established, Listener, Serve};

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
    connections: Arc<Connections>,
    counters: Arc<Counters>,
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
        let shared = Shared {
            in_flight: Arc::new(InFlightLimit::new(limits.max_in_flight)),
            connections: Arc::new(Connections::new(limits.max_connections)),
            limits: ArcSwap::from_pointee(limits),
            counters: Arc::default(),
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
        self.shared.in_flight.set_max(limits.max_in_flight);
        self.shared.connections.set_max(limits.max_connections);
        self.shared.limits.store(Arc::new(limits));
    }

    /// Returns the counters of this server.
    pub fn stats(&self) -> ServerStats {
        self.shared.counters.stats(&self.shared.connections)
    }

    /// Returns a function that returns the counters of this server, for monitoring. Unlike a clone of the server, it does
    /// not keep the service, and can be shared by threads even if the service cannot.
    pub fn stats_reader(&self) -> impl Fn() -> ServerStats + Clone + Send + Sync + 'static + use<S> {
        let shared = Arc::clone(&self.shared);
        move || shared.counters.stats(&shared.connections)
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
        async move { shared.connections.shutdown(grace).await }
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
    pub fn serve<L: Listener>(self, listener: L) -> impl Future<Output = ()> + Send + use<L, S, B> {
        Arc::clone(&self.shared.connections).serve(listener, self)
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
        self.shared.connections.serve_one(accepted, self.clone())
    }
}

impl<S, B, T> Serve<T> for Server<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send + 'static>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn serve(self, connection: Established<T>, admission: Admission) -> impl Future<Output = ()> + Send {
        let Self { service, shared } = self;
        let limits = shared.limits.load_full();
        let Established { io, peer, info } = connection;
        let activity = Arc::new(Activity::new());
        let interim = limits.interim_responses.then(Arc::<Interim>::default);
        let writer = InterimWriter::new(interim.clone());
        let connection = Connection {
            io: Io::new(io, Arc::clone(&activity), writer, limits.write_timeout, admission.permit),
            activity: Arc::clone(&activity),
            limits: Arc::clone(&limits),
            counters: Arc::clone(&shared.counters),
            idle: Arc::clone(shared.connections.idle()),
            drain: admission.drain,
        };
        let service = Tracked {
            service,
            peer,
            info,
            activity,
            interim,
            max_requests: limits.max_requests,
            any_authority: limits.any_authority,
            in_flight: Arc::clone(&shared.in_flight),
            counters: Arc::clone(&shared.counters),
            connections: Arc::clone(&shared.connections),
        };
        connection.run(service)
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
