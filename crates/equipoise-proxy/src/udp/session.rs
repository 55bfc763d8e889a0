//! One session: a client, its endpoint, and the socket between them.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use equipoise_core::{AnyTarget, Closing, EndpointId, Lease, Verdict};
use quinn_udp::{BATCH_SIZE, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket as System, Type};
use tokio::time::Instant;

use super::{
    end::{UdpEnd, UdpSession},
    key::OwnedIdentity,
    limits::Permit,
    listener::Sent,
    peers::Peer,
    shared::Endpoints,
    socket::{Datagrams, Socket, is_refused, is_unreachable},
};

/// The maximum size of a datagram that is kept until its endpoint has replied. Almost all datagrams of protocols with
/// requests and replies are not larger than a packet of Ethernet.
const MAX_KEPT: usize = 2048;

/// The memory that a session keeps for the next such datagram.
const KEPT_MEMORY: usize = 256;

/// How many replies are received at once. Most sessions have one. Those that have had so many get larger batches.
const FEW: usize = 4;

/// How many errors of a socket are removed at once.
const MAX_ERRORS: usize = 64;

/// From this number of replies in one batch on, the system is asked to join further ones. It costs a system call.
const BULK: usize = 8;

pub(super) struct Session {
    pub(super) identity: OwnedIdentity,
    /// Where replies are sent.
    pub(super) client: SocketAddr,
    /// The address that the client has sent to. Replies come from it.
    pub(super) asked: Option<IpAddr>,
    pub(super) endpoint: Endpoint,
    /// Datagrams of the client, and replies, since the session began.
    pub(super) sent: u64,
    pub(super) replies: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    pub(super) began: Instant,
    /// What each datagram for the endpoint begins with.
    pub(super) prefix: Bytes,
    /// Whether the client has sent a datagram after a reply. A sender with made-up addresses can do so, too, with two
    /// datagrams for each address, if the endpoint replies to them.
    pub(super) is_proven: bool,
    pub(super) active_at: Instant,
    /// Since when the endpoint has not replied to a datagram. Written by the table only.
    pub(super) waiting_since: Option<Instant>,
    kept: Kept,
    /// The endpoints that did not get the kept datagram.
    pub(super) tried: Vec<EndpointId>,
    /// The pool and the endpoint of the last pick for the session. It does not keep a replaced pool alive.
    pub(super) last_pick: Option<(Weak<dyn Endpoints>, EndpointId)>,
    pub(super) readable: Waker,
    pub(super) ending: Waker,
    _permit: Permit,
}

/// The endpoint of a session.
pub(super) enum Endpoint {
    /// None is picked yet.
    None,
    /// Its name is being resolved.
    Resolving(Picked),
    Connected(Connected),
}

/// A lease with the pool that it is from.
pub(super) struct Picked {
    pub(super) lease: Lease<AnyTarget>,
    pub(super) pool: Arc<dyn Endpoints>,
}

/// How far an endpoint is from leaving the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    None,
    /// Its sessions end after their replies.
    Draining,
    /// It gets no datagrams any more.
    Closed,
}

/// A socket that is connected to an endpoint.
pub(super) struct Connected {
    pub(super) socket: Socket,
    pub(super) picked: Picked,
    pub(super) peer: Arc<Peer>,
    address: SocketAddr,
    departure: Departure,
    /// Ends at the next stage of the departure.
    closing: Option<Closing>,
    leave_draining: bool,
    /// When the session leaves a draining endpoint at the latest.
    pub(super) leave_by: Option<Instant>,
    pub(super) has_replied: bool,
    /// Whether the socket has had an error which says that the endpoint is unreachable. Replies may still be in it.
    pub(super) is_broken: bool,
    /// Whether such an error came from the endpoint itself: its port is closed.
    pub(super) is_refused: bool,
    /// Whether the endpoint has failed since its last reply, and has its verdict. The next datagram goes to another one.
    pub(super) has_failed: bool,
    pub(super) batch: usize,
    joins: bool,
}

impl Session {
    pub(super) fn new(
        identity: OwnedIdentity,
        client: SocketAddr,
        asked: Option<IpAddr>,
        wakers: [Waker; 2],
        now: Instant,
        permit: Permit,
    ) -> Self {
        let [readable, ending] = wakers;
        Self {
            identity,
            client,
            asked,
            endpoint: Endpoint::None,
            sent: 0,
            replies: 0,
            sent_bytes: 0,
            received_bytes: 0,
            began: now,
            prefix: Bytes::new(),
            is_proven: false,
            active_at: now,
            waiting_since: None,
            kept: Kept::default(),
            tried: Vec::new(),
            last_pick: None,
            readable,
            ending,
            _permit: permit,
        }
    }

    pub(super) fn connected(&mut self) -> Option<&mut Connected> {
        match &mut self.endpoint {
            Endpoint::Connected(connected) => Some(connected),
            Endpoint::None | Endpoint::Resolving(_) => None,
        }
    }

    /// Keeps a datagram, unless one is kept or it is too large. Returns whether it is kept.
    pub(super) fn keep(&mut self, datagram: &[u8]) -> bool {
        let fits = !self.kept.is_full && datagram.len() <= MAX_KEPT;
        if fits {
            self.kept.is_full = true;
            self.kept.bytes.extend_from_slice(datagram);
        }
        fits
    }

    pub(super) fn kept(&self) -> Option<&[u8]> {
        self.kept.is_full.then_some(&*self.kept.bytes)
    }

    pub(super) fn forget_kept(&mut self) {
        self.kept.is_full = false;
        self.kept.bytes.clear();
        self.kept.bytes.shrink_to(KEPT_MEMORY);
    }

    /// Returns what is told of it at its end.
    pub(super) fn report(&self, end: UdpEnd, now: Instant) -> UdpSession {
        let endpoint = match &self.endpoint {
            Endpoint::Connected(Connected { picked, .. }) | Endpoint::Resolving(picked) => {
                Some(picked.lease.endpoint().id())
            }
            Endpoint::None => self.tried.last(),
        };
        UdpSession {
            client: self.client,
            endpoint: endpoint.cloned(),
            sent: self.sent,
            sent_bytes: self.sent_bytes,
            received: self.replies,
            received_bytes: self.received_bytes,
            duration: now.saturating_duration_since(self.began),
            end,
        }
    }

    /// Notes replies of the endpoint, in one batch of messages.
    pub(super) fn on_replies(&mut self, batch: usize, count: u64, bytes: u64, now: Instant) {
        self.replies += count;
        self.received_bytes += bytes;
        self.tried.clear();
        self.forget_kept();
        if let Some(connected) = self.connected() {
            connected.picked.lease.count_bytes(0, bytes);
            connected.on_replies(batch, now);
        }
    }
}

/// The first datagram without a reply.
#[derive(Default)]
struct Kept {
    is_full: bool,
    /// Its memory is used again.
    bytes: Vec<u8>,
}

impl Connected {
    /// Opens a socket to an endpoint. `readable` is woken when there is a reply, and `ending` when the socket has an error
    /// or the endpoint is closing.
    pub(super) fn open(
        peer: Arc<Peer>,
        address: SocketAddr,
        picked: Picked,
        leave_draining: bool,
        state: &UdpSocketState,
        [readable, ending]: [&Waker; 2],
    ) -> Result<Self, (Picked, io::Error)> {
        let socket = match connect(address).and_then(Socket::new) {
            Ok(socket) => socket,
            Err(error) => return Err((picked, error)),
        };
        let closing = Some(if leave_draining { picked.lease.draining() } else { picked.lease.closing() });
        let mut connected = Self {
            socket,
            picked,
            peer,
            address,
            departure: Departure::None,
            closing,
            leave_draining,
            leave_by: None,
            has_replied: false,
            is_broken: false,
            is_refused: false,
            has_failed: false,
            batch: FEW,
            joins: false,
        };
        if connected.socket.poll_readable(&mut Context::from_waker(readable)).is_ready() {
            readable.wake_by_ref();
        }
        let mut cx = Context::from_waker(ending);
        connected.poll_departure(&mut cx);
        if connected.poll_broken(&mut cx, state) {
            readable.wake_by_ref();
        }
        Ok(connected)
    }

    /// Returns how far the departure of the endpoint is. The task is woken when it goes on.
    pub(super) fn poll_departure(&mut self, cx: &mut Context<'_>) -> Departure {
        while self.closing.as_mut().is_some_and(|closing| Pin::new(closing).poll(cx).is_ready()) {
            let drains = self.leave_draining && self.departure == Departure::None;
            (self.departure, self.closing) = match drains {
                true => (Departure::Draining, Some(self.picked.lease.closing())),
                false => (Departure::Closed, None),
            };
        }
        self.departure
    }

    pub(super) fn departure(&self) -> Departure {
        self.departure
    }

    /// Returns whether the socket has an error which says that the endpoint is unreachable. If not, the task is woken when
    /// there is an error.
    pub(super) fn poll_broken(&mut self, cx: &mut Context<'_>, state: &UdpSocketState) -> bool {
        if let Poll::Ready(error) = self.socket.poll_error(cx) {
            self.on_error(error, state);
        }
        self.is_broken
    }

    /// Notes an error of the socket, and those that the system keeps for it.
    pub(super) fn on_error(&mut self, error: Option<io::Error>, state: &UdpSocketState) {
        for error in [error.filter(is_unreachable), self.clear_errors(state)].into_iter().flatten() {
            self.is_broken = true;
            self.is_refused |= is_refused(&error);
        }
    }

    /// Removes the errors that the system keeps for the socket. They take the place of replies. Returns the last one that
    /// says that the endpoint is unreachable.
    fn clear_errors(&self, state: &UdpSocketState) -> Option<io::Error> {
        let mut last = None;
        for _ in 0..MAX_ERRORS {
            let Ok(Some(error)) = state.recv_transport_error(self.socket.get().into()) else { break };
            last = Some(io::Error::from_raw_os_error(error.raw_errno)).filter(is_unreachable).or(last);
        }
        last
    }

    fn on_replies(&mut self, batch: usize, now: Instant) {
        self.peer.on_reply(now);
        self.has_failed = false;
        if !std::mem::replace(&mut self.has_replied, true) {
            self.picked.lease.first_byte();
            self.picked.lease.record(Verdict::Success);
        }
        if batch == self.batch {
            self.batch = BATCH_SIZE;
        }
        if batch >= BULK && !std::mem::replace(&mut self.joins, true) {
            join(&self.socket);
        }
    }

    /// Sends datagrams to the endpoint, each after a prefix.
    ///
    /// # Errors
    ///
    /// An error that says that datagrams do not reach the endpoint.
    pub(super) fn send(&self, state: &UdpSocketState, prefix: &[u8], datagrams: Datagrams<'_>) -> io::Result<Sent> {
        let sent = self.try_send(state, prefix, datagrams)?;
        self.picked.lease.count_bytes(sent.bytes, 0);
        Ok(sent)
    }

    fn try_send(&self, state: &UdpSocketState, prefix: &[u8], datagrams: Datagrams<'_>) -> io::Result<Sent> {
        let segment_size = datagrams.segment_size().filter(|_| prefix.is_empty());
        if segment_size.is_some() && datagrams.count() <= state.max_gso_segments() {
            let contents = datagrams.bytes;
            let transmit = Transmit { destination: self.address, ecn: None, contents, segment_size, src_ip: None };
            match state.try_send(self.socket.get().into(), &transmit) {
                Ok(()) => return Ok(Sent::all(datagrams)),
                Err(error) if is_unreachable(&error) => return Err(error),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::none(datagrams)),
                // The network cannot do it, or not with segments of this size.
                Err(_) => {}
            }
        }
        let (socket, mut sent) = (SockRef::from(self.socket.get()), Sent::default());
        let send = |datagram: &[u8]| match prefix {
            [] => socket.send(datagram),
            prefix => socket.send_vectored(&[IoSlice::new(prefix), IoSlice::new(datagram)]),
        };
        for datagram in datagrams.iter() {
            let result = match send(datagram) {
                // It may be that of an earlier datagram.
                Err(error) if !is_unreachable(&error) && error.kind() != io::ErrorKind::WouldBlock => {
                    match self.clear_errors(state) {
                        Some(error) => return Err(error),
                        None => send(datagram),
                    }
                }
                result => result,
            };
            match result {
                Err(error) if is_unreachable(&error) => return Err(error),
                result => sent.add(datagram, result.is_ok()),
            }
        }
        Ok(sent)
    }
}

#[cfg(target_os = "linux")]
fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    use nix::sys::socket::{setsockopt, sockopt};

    let socket = System::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    // Without it, Linux tells of closed ports, but not of hosts and networks that cannot be reached.
    match address {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
    }
    socket.connect(&address.into())?;
    Ok(socket.into())
}

#[cfg(not(target_os = "linux"))]
fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = System::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}

/// Asks the system to join datagrams of equal size (GRO).
fn join(socket: &Socket) {
    // Without it, each datagram is received and sent by itself.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::socket::setsockopt(socket.get(), nix::sys::socket::sockopt::UdpGroSegment, &true);
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}
