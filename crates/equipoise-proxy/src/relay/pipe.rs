//! Pipes, through which bytes pass between two sockets inside the kernel (`splice`).
//!
//! A pipe is always emptied before more bytes go in, so an empty one is with the thread and belongs to no flow. A flow
//! keeps a pipe only while it has bytes that the receiver has not taken.

use std::{
    cell::Cell,
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll, ready},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice},
    unistd::pipe2,
};
use tokio::{io::Interest, net::TcpStream};

/// The size of a pipe. Pages of received packets are often half full, so that it holds fewer bytes then.
const CAPACITY: usize = 256 * 1024;

/// The maximum number of pipes of the process, of two descriptors each. Linux lets a user without privileges have 64 MiB
/// in pipes, and so 256 of these. Flows above it are copied.
const MAX_PIPES: usize = 64;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Whether this process may not splice at all, for example because of a seccomp filter.
static IS_DENIED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// An empty pipe that the flows of this thread take turns to use.
    static SPARE: Cell<Option<Pipe>> = const { Cell::new(None) };
}

/// What a flow that is spliced has.
#[derive(Debug, Default)]
pub(super) struct Spliced {
    /// The pipe, while it has bytes.
    pub(super) pipe: Option<Pipe>,
    /// The number of small transfers in a row.
    pub(super) small: u32,
    /// Whether the system cannot splice these sockets.
    pub(super) is_unsupported: bool,
}

impl Spliced {
    /// Returns whether bytes are in a pipe.
    pub(super) fn is_filled(&self) -> bool {
        self.pipe.is_some()
    }

    /// Returns the pipe with its bytes, or an empty one, if there may be one.
    pub(super) fn take_pipe(&mut self) -> Option<Pipe> {
        let pipe = self.pipe.take();
        if pipe.is_some() || IS_DENIED.load(Ordering::Relaxed) { pipe } else { Pipe::take() }
    }
}

#[derive(Debug)]
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    /// The number of bytes in it.
    pub(super) filled: usize,
    _open: Open,
}

/// Counts a pipe as open.
#[derive(Debug)]
struct Open;

impl Open {
    fn new() -> Option<Self> {
        let before = OPEN.fetch_add(1, Ordering::Relaxed);
        // If there are too many, it counts down again when it is dropped.
        let open = Self;
        (before < MAX_PIPES).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pipe {
    /// Returns the spare pipe of the thread, or opens one. `None` if there are too many, or the system refuses one.
    fn take() -> Option<Self> {
        if let Some(spare) = SPARE.try_with(Cell::take).ok().flatten() {
            return Some(spare);
        }
        let open = Open::new()?;
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        // A small pipe costs more than copying.
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(i32::try_from(CAPACITY).ok()?)).ok()?;
        Some(Self { reader, writer, filled: 0, _open: open })
    }

    /// Makes an empty pipe the spare one of the thread. One with bytes is closed.
    pub(super) fn give_back(self) {
        if self.filled == 0 {
            let _ = SPARE.try_with(|spare| spare.set(Some(self)));
        }
    }

    /// Moves bytes of a socket into the pipe, which must be empty. Returns 0 at the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || moved(splice(from, None, &self.writer, None, CAPACITY, flags()))) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    self.filled = count;
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    /// Moves bytes of the pipe to a socket.
    pub(super) fn poll_empty(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(cx))?;
            let filled = self.filled;
            match to.try_io(Interest::WRITABLE, || moved(splice(&self.reader, None, to, None, filled, flags()))) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    self.filled = filled.saturating_sub(count);
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }
}

/// Returns whether an error means that bytes of this socket, or of any, cannot be spliced. The latter is remembered.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::InvalidInput => true,
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => {
            IS_DENIED.store(true, Ordering::Relaxed);
            true
        }
        _ => false,
    }
}

fn flags() -> SpliceFFlags {
    SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK
}

fn moved(result: Result<usize, Errno>) -> io::Result<usize> {
    result.map_err(io::Error::from)
}
