//! UDP sockets of tokio's runtime, and the buffers that datagrams are read into.

use std::{
    io::{self, IoSliceMut},
    net::UdpSocket,
    task::{Context, Poll, ready},
};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::SockRef;

/// The size of each buffer. No datagram is larger, and neither are several that the system has joined (GRO).
const BUFFER_BYTES: usize = 64 * 1024;

/// The buffers of one worker. The system gives memory to those parts of them that are used.
pub(super) struct Buffers {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
}

/// One or more datagrams from the same address. All have the same size, except for the last one, which may be smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagrams<'a> {
    pub(super) bytes: &'a [u8],
    /// The size of each datagram, above 0 unless there is one empty datagram.
    size: usize,
}

impl<'a> Datagrams<'a> {
    pub(super) fn one(bytes: &'a [u8]) -> Self {
        Self { bytes, size: bytes.len() }
    }

    /// Returns the number of datagrams, at least 1.
    pub(super) fn count(self) -> usize {
        if self.bytes.len() <= self.size { 1 } else { self.bytes.len().div_ceil(self.size) }
    }

    pub(super) fn first(self) -> &'a [u8] {
        self.bytes.get(..self.size).unwrap_or(self.bytes)
    }

    /// Returns the size of a datagram if there are several.
    pub(super) fn segment_size(self) -> Option<usize> {
        (self.count() > 1).then_some(self.size)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        // An empty datagram is a datagram too, which `chunks` alone would not return.
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(self.size.max(1)))
    }
}

impl Buffers {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self { bytes: vec![0; BUFFER_BYTES * BATCH_SIZE], metas: [RecvMeta::default(); BATCH_SIZE] })
    }

    /// Returns what was received into one of the buffers.
    pub(super) fn get(&self, index: usize) -> Option<(&RecvMeta, Datagrams<'_>)> {
        let meta = self.metas.get(index)?;
        let bytes = self.bytes.get(index * BUFFER_BYTES..)?.get(..meta.len)?;
        // The stride of several datagrams is that of all but the last one.
        let size = if meta.stride == 0 { meta.len } else { meta.stride };
        Some((meta, Datagrams { bytes, size }))
    }

    /// Receives up to `max` messages.
    fn receive(&mut self, state: &UdpSocketState, socket: UdpSockRef<'_>, max: usize) -> io::Result<usize> {
        let mut buffers = self.bytes.chunks_exact_mut(BUFFER_BYTES);
        let mut slices: [_; BATCH_SIZE] = std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        state.recv(socket, &mut slices[..max.clamp(1, BATCH_SIZE)], &mut self.metas)
    }
}

/// A socket that a worker reads when the system has something for it, and writes to at once.
pub(super) struct Socket {
    io: imp::Io,
}

impl Socket {
    /// Creates a socket of the current runtime. The system's socket must be non-blocking.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        Ok(Self { io: imp::Io::new(socket)? })
    }

    pub(super) fn get(&self) -> &imp::System {
        self.io.get()
    }

    /// Waits until the socket is readable.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_readable(cx)
    }

    /// Receives up to `max` messages into the buffers, and returns how many were received: at least 1.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        state: &UdpSocketState,
        buffers: &mut Buffers,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        self.io.poll_read(cx, |socket| {
            let received = buffers.receive(state, socket.into(), max)?;
            Ok((received, received < max))
        })
    }

    /// Returns the error of the socket. If there is none, the task is woken when there is one. This holds for the first
    /// wakeup: later errors are returned by the next call that sends or receives.
    pub(super) fn poll_error(&self, cx: &mut Context<'_>) -> Poll<Option<io::Error>> {
        ready!(self.io.poll_error(cx));
        Poll::Ready(SockRef::from(self.get()).take_error().ok().flatten())
    }
}

#[cfg(unix)]
mod imp {
    use std::{
        io,
        net::UdpSocket,
        task::{Context, Poll, ready},
    };

    use tokio::io::{Interest, unix::AsyncFd};

    pub(in super::super) type System = UdpSocket;

    /// tokio's own `UdpSocket` is told, too, whenever a datagram has left the system's buffer. This costs as much as half
    /// of the wakeups, and nothing here waits for it.
    pub(super) struct Io(AsyncFd<UdpSocket>);

    impl Io {
        // Deprecated since tokio 1.54 because of types whose descriptor may change. Its successor is unsafe.
        #[allow(
            deprecated,
            reason = "the descriptor of std's socket stays open, and the same, as long as the socket exists"
        )]
        pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
            Ok(Self(AsyncFd::with_interest(socket, Interest::READABLE)?))
        }

        pub(super) fn get(&self) -> &UdpSocket {
            self.0.get_ref()
        }

        pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
            self.0.poll_read_ready(cx).map(drop)
        }

        /// Calls `read` when the socket is readable. It returns what it has read, and whether it has read all: then the
        /// system tells of the next datagram, and no further call is needed to learn that there is none.
        pub(super) fn poll_read<R>(
            &self,
            cx: &mut Context<'_>,
            mut read: impl FnMut(&UdpSocket) -> io::Result<(R, bool)>,
        ) -> Poll<io::Result<R>> {
            loop {
                let mut guard = ready!(self.0.poll_read_ready(cx))?;
                match read(self.0.get_ref()) {
                    Ok((result, all)) => {
                        if all {
                            guard.clear_ready();
                        }
                        return Poll::Ready(Ok(result));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }

        /// Waits for an error. A socket that is not registered as writable is so for tokio only when it has failed.
        pub(super) fn poll_error(&self, cx: &mut Context<'_>) -> Poll<()> {
            self.0.poll_write_ready(cx).map(drop)
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use std::{
        io,
        net::UdpSocket,
        task::{Context, Poll, ready},
    };

    use tokio::io::Interest;

    pub(in super::super) type System = tokio::net::UdpSocket;

    pub(super) struct Io(tokio::net::UdpSocket);

    impl Io {
        pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
            Ok(Self(tokio::net::UdpSocket::from_std(socket)?))
        }

        pub(super) fn get(&self) -> &tokio::net::UdpSocket {
            &self.0
        }

        pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
            self.0.poll_recv_ready(cx).map(drop)
        }

        pub(super) fn poll_read<R>(
            &self,
            cx: &mut Context<'_>,
            mut read: impl FnMut(&tokio::net::UdpSocket) -> io::Result<(R, bool)>,
        ) -> Poll<io::Result<R>> {
            loop {
                ready!(self.0.poll_recv_ready(cx))?;
                match self.0.try_io(Interest::READABLE, || read(&self.0)) {
                    Ok((result, _)) => return Poll::Ready(Ok(result)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }

        /// The error comes with the next read, for which the system wakes the task.
        pub(super) fn poll_error(&self, _cx: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
}

/// Returns whether an error of a connected socket says that datagrams do not reach its peer. Most of these errors come
/// from an ICMP message to an earlier datagram.
pub(super) fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    ) || error.raw_os_error().is_some_and(is_unreachable_code)
}

/// Returns whether an error says that the port of the peer is closed. Other errors come from the network, and may pass.
pub(super) fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// Returns whether a code of the system without an [`io::ErrorKind`] of its own says that datagrams do not reach a peer. Linux
/// makes them of ICMP messages: the protocol or the host is unknown, the source is isolated, and, for IPv6 only, the
/// destination is prohibited. A firewall of this machine is another error (`EPERM`).
#[cfg(target_os = "linux")]
fn is_unreachable_code(code: i32) -> bool {
    use nix::errno::Errno;

    matches!(Errno::from_raw(code), Errno::EACCES | Errno::EHOSTDOWN | Errno::ENONET | Errno::ENOPROTOOPT)
}

#[cfg(not(target_os = "linux"))]
fn is_unreachable_code(_code: i32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn codes_of_icmp_messages_say_that_a_peer_is_unreachable() {
        use nix::errno::Errno;

        let is = |errno: Errno| is_unreachable(&io::Error::from_raw_os_error(errno as i32));
        for errno in [
            Errno::ECONNREFUSED,
            Errno::EHOSTUNREACH,
            Errno::ENETUNREACH,
            Errno::EACCES,
            Errno::EHOSTDOWN,
            Errno::ENONET,
            Errno::ENOPROTOOPT,
        ] {
            assert!(is(errno), "{errno}");
        }
        for errno in [Errno::EPERM, Errno::EMSGSIZE, Errno::ENOBUFS, Errno::EAGAIN] {
            assert!(!is(errno), "{errno}");
        }
    }

    #[test]
    fn datagrams_are_parts_of_equal_size_and_a_rest() {
        let of = |bytes, size| Datagrams { bytes, size };
        let parts = |datagrams: Datagrams<'static>| datagrams.iter().map(<[u8]>::len).collect::<Vec<_>>();
        for (datagrams, expected, segment) in [
            (Datagrams::one(b"abc"), &[3][..], None),
            (Datagrams::one(b""), &[0], None),
            (of(b"", 7), &[0], None),
            (of(b"abcdef", 3), &[3, 3], Some(3)),
            (of(b"abcdefg", 3), &[3, 3, 1], Some(3)),
            (of(b"ab", 3), &[2], None),
        ] {
            assert_eq!(parts(datagrams), expected, "{datagrams:?}");
            assert_eq!((datagrams.count(), datagrams.segment_size()), (expected.len(), segment), "{datagrams:?}");
            assert_eq!(datagrams.first().len(), expected[0], "{datagrams:?}");
        }
    }
}
