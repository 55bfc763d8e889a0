//! Sockets, and the servers on them.

use std::{io, net::SocketAddr, time::Duration};

use equipoise::proxy::{listen::bind_shared, proxy_protocol::ProxyAcceptor, udp::UdpListener};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    plan::{Plan, Service, Stream},
    serving::{Acceptors, AnyServer, Serving},
    tls::CheckedTls,
    udp::Datagrams,
};

/// The number of connections that may wait to be accepted. The system may have a lower limit.
const BACKLOG: u32 = 1024;

/// A server on its socket.
pub(crate) struct Listening {
    /// The address in the configuration. Its port may be 0, for a free one.
    pub(crate) configured: SocketAddr,
    pub(crate) serving: Serving,
    /// The same socket as the server's, to change its options.
    handle: Socket,
}

/// A socket with what will be served on it.
pub(crate) struct Ready {
    bind: SocketAddr,
    service: ReadyService,
    handle: Socket,
}

enum ReadyService {
    Udp(UdpListener, Datagrams),
    Stream(TcpListener, Acceptors, Stream),
}

impl Ready {
    /// Opens the socket. If `share` is true, other processes that share it too may listen on the same address, and the
    /// system spreads connections over them. So a new process can take over the port before the old one ends. If `share`
    /// is false, an address that another program uses is an error.
    pub(crate) fn open(plan: Plan, share: bool) -> io::Result<Self> {
        let Plan { bind, service } = plan;
        Ok(match service {
            Service::Udp(datagrams) => {
                let socket = bind_udp(bind, share)?;
                let handle = socket.try_clone()?;
                let service = ReadyService::Udp(UdpListener::new(socket.into())?, datagrams);
                Self { bind, service, handle }
            }
            Service::Stream(layers, stream) => {
                let listener = bind_tcp(bind, share)?;
                let handle = SockRef::from(&listener).try_clone()?;
                let tls = layers.tls.as_ref().map(CheckedTls::start).transpose().map_err(io::Error::other)?;
                let acceptors = Acceptors { headers: layers.proxies.map(ProxyAcceptor::new), tls };
                Self { bind, service: ReadyService::Stream(listener, acceptors, stream), handle }
            }
        })
    }

    /// Opens the socket although sockets of this process, which are closed soon, have the address or a part of it. So no
    /// connection is refused meanwhile.
    pub(crate) fn open_beside(leaving: &[&Socket], plan: Plan) -> io::Result<Self> {
        let share = |socket: &Socket, share| socket.set_reuse_port(share);
        leaving.iter().try_for_each(|socket| share(socket, true))?;
        let ready = Self::open(plan, true);
        let all = leaving.iter().copied().chain(ready.as_ref().ok().map(|ready| &ready.handle));
        all.into_iter().try_for_each(|socket| share(socket, false))?;
        ready
    }
}

fn bind_tcp(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
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

fn bind_udp(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(share)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Listening {
    /// Starts to serve.
    pub(crate) fn start(ready: Ready) -> Self {
        let Ready { bind: configured, service, handle } = ready;
        let serving = match service {
            ReadyService::Udp(listener, datagrams) => Serving::of_datagrams(listener, datagrams),
            ReadyService::Stream(listener, acceptors, stream) => Serving::of_connections(listener, acceptors, stream),
        };
        let listening = Self { configured, serving, handle };
        tracing::info!("listening on {}", listening.address());
        listening
    }

    /// Returns the address of the socket.
    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.handle.local_addr().ok().and_then(|address| address.as_socket());
        address.unwrap_or(self.configured)
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.handle
    }

    pub(crate) const fn is_admin(&self) -> bool {
        matches!(self.serving.server, AnyServer::Admin(_))
    }

    pub(crate) const fn is_udp(&self) -> bool {
        matches!(self.serving.server, AnyServer::Udp(_))
    }

    /// Returns whether this server can do what is planned, without another socket.
    pub(crate) fn can_become(&self, plan: &Plan) -> bool {
        self.configured == plan.bind && self.serving.can_become(&plan.service)
    }

    /// Does what is planned from now on. What has begun is finished as it began.
    pub(crate) fn replace(&self, plan: Plan) {
        self.serving.replace(plan.service);
    }

    /// Accepts nothing more, and finishes what has begun within a time.
    pub(crate) async fn shutdown(self, timeout: Duration) {
        let Self { configured, serving, handle } = self;
        // It would keep the socket open.
        drop(handle);
        let aborted = serving.shutdown(timeout).await;
        let what = if matches!(serving.server, AnyServer::Udp(_)) { "sessions" } else { "connections" };
        tracing::info!("closed {configured}; {aborted} {what} were aborted");
    }
}
