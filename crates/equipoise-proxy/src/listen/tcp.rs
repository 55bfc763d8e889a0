use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use super::listener::{Accepted, Established, Listener, accept_now};
use crate::headers::ConnectionInfo;

/// The default time without bytes after which the operating system asks whether the client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The time between two questions that get no answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// The number of connections that may wait to be accepted. The operating system may use a lower maximum.
const BACKLOG: i32 = 1024;

/// A TCP listener with the options of its connections. tokio's `TcpListener` is a [`Listener`] too, with the defaults.
///
/// Nagle's algorithm is turned off (`TCP_NODELAY`), because responses are written at once. The options are set for the
/// listener, too: on Linux, connections inherit them. If you set both `TCP_NODELAY` and `SO_KEEPALIVE` for a tokio
/// `TcpListener` yourself, its connections keep the times of keep-alive that they inherit.
///
/// ```
/// use std::time::Duration;
/// use equipoise_proxy::listen::Tcp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let listener = Tcp::new(listener).keep_alive(Duration::from_secs(30));
/// # drop(listener);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Tcp {
    listener: TcpListener,
    options: Options,
}

/// The options of connections.
#[derive(Clone, Copy, Debug)]
struct Options {
    keep_alive: Duration,
    /// Whether the listener has them.
    are_set: bool,
    #[cfg(feature = "proxy-protocol")]
    unique_ids: bool,
}

impl Options {
    const fn new() -> Self {
        Self {
            keep_alive: KEEP_ALIVE,
            are_set: false,
            #[cfg(feature = "proxy-protocol")]
            unique_ids: false,
        }
    }
}

impl Tcp {
    /// Creates a listener with the defaults that the methods name.
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        set_options(SockRef::from(&listener), KEEP_ALIVE);
        Self { listener, options: Options { are_set: true, ..Options::new() } }
    }

    /// Sets after which time without bytes the operating system asks whether the client is still there
    /// (`SO_KEEPALIVE`), and then every 15 s. Without an answer, the connection is closed: after 9 questions on Linux.
    /// This ends requests and tunnels of clients that have vanished. `Duration::ZERO` turns it off. Default: 60 s.
    #[must_use]
    pub fn keep_alive(mut self, time: Duration) -> Self {
        self.options.keep_alive = time;
        set_options(SockRef::from(&self.listener), time);
        self
    }

    /// Sets whether each connection gets a random identifier, of 32 hexadecimal digits: see
    /// [`ConnectionInfo::unique_id`]. Endpoints get it in the header of the PROXY protocol. Default: false.
    #[cfg(feature = "proxy-protocol")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    #[must_use]
    pub fn unique_ids(mut self, unique_ids: bool) -> Self {
        self.options.unique_ids = unique_ids;
        self
    }
}

impl Listener for Tcp {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        accept(&self.listener, self.options).await
    }

    fn accept_waiting(&mut self) -> io::Result<Option<Accepted<TcpStream>>> {
        accept_waiting(&self.listener, self.options)
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        accept(self, Options::new()).await
    }

    fn accept_waiting(&mut self) -> io::Result<Option<Accepted<TcpStream>>> {
        accept_waiting(self, Options::new())
    }
}

async fn accept(listener: &TcpListener, options: Options) -> io::Result<Accepted<TcpStream>> {
    let (stream, peer) = listener.accept().await?;
    Ok(accepted(listener, stream, peer, options))
}

fn accept_waiting(listener: &TcpListener, options: Options) -> io::Result<Option<Accepted<TcpStream>>> {
    let Some((socket, peer)) = accept_now(SockRef::from(listener))? else { return Ok(None) };
    let peer = peer.as_socket().ok_or_else(|| io::Error::other("the client has no IP address"))?;
    Ok(Some(accepted(listener, TcpStream::from_std(socket.into())?, peer, options)))
}

fn accepted(listener: &TcpListener, stream: TcpStream, peer: SocketAddr, options: Options) -> Accepted<TcpStream> {
    // On Linux, connections inherit the options of their listener, which saves system calls for each. Those that came
    // before the listener had the options do not have them.
    let is_kept_alive = || SockRef::from(&stream).keepalive().unwrap_or(false) != options.keep_alive.is_zero();
    let inherits = cfg!(target_os = "linux") && stream.nodelay().unwrap_or(false);
    if !inherits || !options.are_set && !is_kept_alive() {
        if !options.are_set {
            set_options(SockRef::from(listener), options.keep_alive);
        }
        set_options(SockRef::from(&stream), options.keep_alive);
    }
    let mut info = ConnectionInfo::new();
    // Of the stream, because that of the listener is often the unspecified address.
    if let Ok(local) = stream.local_addr() {
        info = info.local(local);
    }
    #[cfg(feature = "proxy-protocol")]
    if options.unique_ids {
        info = info.with_unique_id(format!("{:032x}", rand::random::<u128>()).as_bytes());
    }
    Established::new(stream).peer(peer).info(info).into()
}

/// Sets the options of connections. They are improvements only, so a connection is served without them if they cannot be
/// set.
fn set_options(socket: SockRef<'_>, keep_alive: Duration) {
    let _ = if keep_alive.is_zero() {
        socket.set_keepalive(false)
    } else {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(keep_alive).with_interval(KEEP_ALIVE_INTERVAL))
    };
    let _ = socket.set_tcp_nodelay(true);
}

/// Opens listeners that share one address (`SO_REUSEPORT`), for [`Server::serve_threads`](crate::server::Server::serve_threads)
/// or for processes that take turns. The operating system gives each new connection to one of them, by a hash of the
/// addresses. With port 0, all share the free port that the first one gets.
///
/// If one of them is dropped, Linux resets the connections that wait to be accepted there. A shutdown of a
/// [`Server`](crate::server::Server) serves them first, with [`Listener::accept_waiting`].
///
/// # Errors
///
/// The operating system's error, for example if a socket without `SO_REUSEPORT` has the address. `Unsupported` outside
/// Unix, if more than one listener is asked for.
pub fn bind_shared(address: SocketAddr, listeners: usize) -> io::Result<Vec<StdListener>> {
    let mut address = address;
    let mut bound = Vec::new();
    for _ in 0..listeners {
        let listener = bind(address, listeners)?;
        address = listener.local_addr()?;
        bound.push(listener);
    }
    Ok(bound)
}

fn bind(address: SocketAddr, listeners: usize) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    {
        let _ = listeners;
        // As std does it, so that a restarted process gets its address again.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
    }
    #[cfg(not(unix))]
    if listeners > 1 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "only one listener can have an address here"));
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_kept_alive_and_not_delayed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut listener = Tcp::new(listener).keep_alive(Duration::from_secs(30));
        for is_kept_alive in [true, false] {
            let client = TcpStream::connect(address).await.expect("it listens");
            let accepted = Listener::accept(&mut listener).await.expect("a connection");
            let accepted = accepted.established().await.expect("no handshake");
            let socket = SockRef::from(&accepted.io);
            assert_eq!(socket.keepalive().expect("open"), is_kept_alive);
            assert!(accepted.io.nodelay().expect("open"));
            assert_eq!(accepted.peer, client.local_addr().ok());
            listener = listener.keep_alive(Duration::ZERO);
        }
    }

    #[tokio::test]
    async fn a_listener_that_was_not_delayed_before_is_kept_alive() {
        for has_options in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            SockRef::from(&listener).set_tcp_nodelay(true).expect("a socket");
            let address = listener.local_addr().expect("bound");
            let (mut plain, mut tcp) =
                if has_options { (None, Some(Tcp::new(listener))) } else { (Some(listener), None) };
            for _ in 0..2 {
                let _client = TcpStream::connect(address).await.expect("it listens");
                let accepted = match (&mut plain, &mut tcp) {
                    (Some(listener), _) => Listener::accept(listener).await,
                    (_, Some(listener)) => Listener::accept(listener).await,
                    _ => break,
                };
                let accepted = accepted.expect("a connection").established().await.expect("no handshake");
                assert!(SockRef::from(&accepted.io).keepalive().expect("open"));
            }
        }
    }

    #[test]
    fn an_address_without_the_option_is_not_shared() {
        let other = StdListener::bind("127.0.0.1:0").expect("a free port");
        let address = other.local_addr().expect("bound");
        assert_eq!(bind_shared(address, 2).expect_err("taken").kind(), io::ErrorKind::AddrInUse);
    }
}
