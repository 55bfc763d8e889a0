//! Sockets that accept connections, and the servers on them.

use std::{io, net::SocketAddr, time::Duration};

use equipoise::proxy::{
    listen::bind_shared,
    server::{Server, ServerLimits, ServerStats},
};
use socket2::{SockRef, Socket};
use tokio::net::{TcpListener, TcpSocket};

/// The number of connections that may wait to be accepted. The system may have a lower limit.
const BACKLOG: u32 = 1024;

/// A server on its socket.
pub(crate) struct Listening<S> {
    /// The address in the configuration. Its port may be 0, for a free one.
    pub(crate) configured: SocketAddr,
    pub(crate) service: S,
    server: Server<S>,
    /// The same socket as the server's, to change its options.
    handle: Socket,
}

/// A socket that no server uses yet.
pub(crate) struct Bound {
    listener: TcpListener,
    handle: Socket,
}

impl Bound {
    /// Opens a socket: see [`bind`].
    pub(crate) fn new(address: SocketAddr, share: bool) -> io::Result<Self> {
        let listener = bind(address, share)?;
        let handle = SockRef::from(&listener).try_clone()?;
        Ok(Self { listener, handle })
    }

    /// Opens a socket although sockets of this process, which are closed soon, have the address or a part of it. So no
    /// connection is refused meanwhile.
    pub(crate) fn beside(leaving: &[&Socket], address: SocketAddr) -> io::Result<Self> {
        let share = |socket: &Socket, share| socket.set_reuse_port(share);
        leaving.iter().try_for_each(|socket| share(socket, true))?;
        let bound = Self::new(address, true);
        let all = leaving.iter().copied().chain(bound.as_ref().ok().map(|bound| &bound.handle));
        all.into_iter().try_for_each(|socket| share(socket, false))?;
        bound
    }
}

/// Opens a socket. If `share` is true, other processes that share it too may listen on the same address, and the system
/// spreads connections over them. So a new process can take over the port before the old one ends. If `share` is false,
/// an address that another program uses is an error.
fn bind(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    if share {
        let listener = bind_shared(address, 1)?.pop().ok_or(io::ErrorKind::AddrNotAvailable)?;
        return TcpListener::from_std(listener);
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that a restarted process gets its address again while connections of the old one end.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl<S> Listening<S> {
    /// Starts to serve.
    pub(crate) fn start<B>(configured: SocketAddr, socket: Bound, service: S, limits: ServerLimits) -> Self
    where
        S: tower::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        S::Future: Send,
        B: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let Bound { listener, handle } = socket;
        if let Ok(address) = listener.local_addr() {
            tracing::info!("listening on {address}");
        }
        let server = Server::with_limits(service.clone(), limits);
        tokio::spawn(server.clone().serve(listener));
        Self { configured, service, server, handle }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.handle
    }

    /// Returns a function for the counters of the connections.
    pub(crate) fn stats(&self) -> impl Fn() -> ServerStats + Send + Sync + use<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let server = self.server.clone();
        move || server.stats()
    }

    /// Replaces the limits. Open connections keep theirs.
    pub(crate) fn set_limits(&self, limits: ServerLimits) {
        self.server.set_limits(limits);
    }

    /// Accepts no more connections, and finishes the requests in flight within a time.
    pub(crate) async fn shutdown(self, timeout: Duration) {
        let Self { configured, server, handle, .. } = self;
        // It would keep the socket open.
        drop(handle);
        let aborted = server.shutdown(timeout).await;
        tracing::info!("closed {configured}; {aborted} connections were aborted");
    }
}
