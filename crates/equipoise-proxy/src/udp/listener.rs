use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use quinn_udp::{Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket as System, Type};

use super::socket::{Datagrams, Socket};

/// A UDP socket that receives the datagrams of clients.
///
/// If it is bound to all addresses of the machine (`0.0.0.0` or `[::]`), replies are sent from the address that the
/// client has sent to. Replies to datagrams for a group (multicast or broadcast) are sent from an address that the system
/// chooses.
///
/// Datagrams that come faster than they are served wait in the system's buffer. If bursts are lost there, pass a socket
/// with a larger one (`SO_RCVBUF`) to [`new`](Self::new).
///
/// ```
/// use equipoise_proxy::udp::UdpListener;
///
/// let listener = UdpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// println!("listening at {}", listener.local_addr());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UdpListener {
    socket: UdpSocket,
    local: SocketAddr,
}

impl UdpListener {
    /// Binds a socket to an address. A socket that is bound to `[::]` also gets the datagrams of IPv4 clients, if the
    /// system is set so, as Linux usually is.
    ///
    /// # Errors
    ///
    /// The operating system's error, for example if the address is in use.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::new(UdpSocket::bind(address)?)
    }

    /// Binds several sockets to one address (`SO_REUSEPORT`), for as many calls of
    /// [`UdpProxy::serve`](super::UdpProxy::serve), for example one for each CPU core. The system distributes clients over
    /// them by a hash of the client's address and port. With port 0, all get the same free port.
    ///
    /// # Errors
    ///
    /// The operating system's error, for example if the address is in use by a socket that does not share it. Also if the
    /// system cannot share ports in this way: it has no `SO_REUSEPORT`.
    #[cfg(unix)]
    pub fn bind_shared(address: SocketAddr, count: usize) -> io::Result<Vec<Self>> {
        let mut listeners = Vec::with_capacity(count);
        let mut address = address;
        for _ in 0..count {
            let socket = System::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            let listener = Self::new(socket.into())?;
            address = listener.local;
            listeners.push(listener);
        }
        Ok(listeners)
    }

    /// Creates a listener from a socket that is bound, for example with other options.
    ///
    /// # Errors
    ///
    /// The operating system's error if the socket has no address, or cannot be made non-blocking.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    /// Returns the address that the socket is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

/// A listener that is being served.
pub(super) struct Listening {
    pub(super) socket: Socket,
    /// How datagrams are received and sent, also those of sessions.
    pub(super) state: UdpSocketState,
    pub(super) local: SocketAddr,
}

/// Returns whether an address is that of a listener: its port, with its IP address. A listener that is bound to all
/// addresses also has the loopback address, and the one that a client has sent to.
pub(super) fn is_own(local: SocketAddr, address: SocketAddr, asked: Option<IpAddr>) -> bool {
    let (ip, own) = (address.ip().to_canonical(), local.ip().to_canonical());
    let is_one_of_all = || ip.is_loopback() || asked.is_some_and(|asked| asked.to_canonical() == ip);
    address.port() == local.port() && (ip == own || own.is_unspecified() && is_one_of_all())
}

/// The result of sending several datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) datagrams: u64,
    pub(super) bytes: u64,
    pub(super) failed: u64,
}

impl Sent {
    pub(super) fn all(datagrams: Datagrams<'_>) -> Self {
        Self { datagrams: datagrams.count() as u64, bytes: datagrams.bytes.len() as u64, failed: 0 }
    }

    pub(super) fn none(datagrams: Datagrams<'_>) -> Self {
        Self { failed: datagrams.count() as u64, ..Self::default() }
    }

    pub(super) fn add(&mut self, datagram: &[u8], sent: bool) {
        if sent {
            self.datagrams += 1;
            self.bytes += datagram.len() as u64;
        } else {
            self.failed += 1;
        }
    }
}

impl Listening {
    pub(super) fn new(listener: UdpListener) -> io::Result<Self> {
        let UdpListener { socket, local } = listener;
        let state = state(&socket, local)?;
        Ok(Self { socket: Socket::new(socket)?, state, local })
    }

    /// Returns the address that a client has sent to, if the listener may have several. Replies must come from it.
    pub(super) fn asked(&self, destination: Option<IpAddr>) -> Option<IpAddr> {
        // Replies cannot come from an address of a group.
        let is_host = |ip: &IpAddr| match ip.to_canonical() {
            IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
            IpAddr::V6(ip) => !ip.is_multicast(),
        };
        destination.filter(|_| self.local.ip().is_unspecified()).filter(is_host)
    }

    /// Sends datagrams to a client, from the address that it has asked.
    pub(super) fn send(&self, client: SocketAddr, asked: Option<IpAddr>, datagrams: Datagrams<'_>) -> Sent {
        let transmit = |contents, segment_size| {
            let transmit = Transmit { destination: client, ecn: None, contents, segment_size, src_ip: asked };
            self.state.try_send(self.socket.get().into(), &transmit)
        };
        let segment_size = datagrams.segment_size();
        if segment_size.is_some() && datagrams.count() <= self.state.max_gso_segments() {
            match transmit(datagrams.bytes, segment_size) {
                Ok(()) => return Sent::all(datagrams),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::none(datagrams),
                // The network cannot do it, or not with segments of this size.
                Err(_) => {}
            }
        }
        let mut sent = Sent::default();
        for datagram in datagrams.iter() {
            let result = match asked {
                Some(_) => transmit(datagram, None),
                None => SockRef::from(self.socket.get()).send_to(datagram, &SockAddr::from(client)).map(drop),
            };
            sent.add(datagram, result.is_ok());
        }
        sent
    }
}

/// Prepares a listener for messages that tell the address a client has sent to, and for joined datagrams (GRO).
///
/// The constructor of `UdpSocketState` would also forbid the system to fragment datagrams, as QUIC wants it, and let it
/// tell the time of each. A proxy sends on datagrams of any size. So the constructor gets another socket.
#[cfg(target_os = "linux")]
fn state(socket: &UdpSocket, local: SocketAddr) -> io::Result<UdpSocketState> {
    use nix::sys::socket::{setsockopt, sockopt};
    use std::net::{Ipv4Addr, Ipv6Addr};

    let any: IpAddr = if local.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    if local.ip().is_unspecified() {
        match local {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    // Systems before Linux 5.0 do not have it.
    let _ = setsockopt(socket, sockopt::UdpGroSegment, &true);
    UdpSocketState::new((&UdpSocket::bind((any, 0))?).into())
}

#[cfg(not(target_os = "linux"))]
fn state(socket: &UdpSocket, _local: SocketAddr) -> io::Result<UdpSocketState> {
    UdpSocketState::new(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_addresses_of_a_listener() {
        let at = |text: &str, port| SocketAddr::new(text.parse().unwrap(), port);
        let asked = Some("192.0.2.1".parse().unwrap());
        for (bound, own, other) in [
            ("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"][..], &["127.0.0.2", "192.0.2.1"][..]),
            ("0.0.0.0", &["127.0.0.1", "127.0.0.2", "192.0.2.1"], &["192.0.2.2"]),
            ("::", &["::1", "::ffff:127.0.0.1", "::ffff:192.0.2.1"], &["2001:db8::1"]),
        ] {
            for address in own {
                assert!(is_own(at(bound, 53), at(address, 53), asked), "{bound}: {address}");
                assert!(!is_own(at(bound, 53), at(address, 54), asked), "{bound}: {address}");
            }
            for address in other {
                assert!(!is_own(at(bound, 53), at(address, 53), asked), "{bound}: {address}");
            }
        }
    }

    #[tokio::test]
    async fn replies_come_from_the_address_of_a_host() {
        let any = Listening::new(UdpListener::bind("0.0.0.0:0".parse().unwrap()).unwrap()).unwrap();
        let one = Listening::new(UdpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        let host: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
        assert_eq!((any.asked(host), one.asked(host), any.asked(None)), (host, None, None));
        for group in ["224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert_eq!(any.asked(Some(group.parse().unwrap())), None, "{group}");
        }
    }
}
