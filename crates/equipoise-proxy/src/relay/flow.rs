use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffer::{MAX_READ, Scratch, Unwritten};

/// The size of the first read of a flow. It grows while reads are full, up to [`MAX_READ`].
const MIN_READ: usize = 16 * 1024;

/// How many bytes a flow passes on before other tasks have their turn. It takes less than a millisecond.
const MAX_PER_POLL: usize = 1024 * 1024;

/// A flow is bulk if large reads have brought so many bytes without a smaller one between them.
#[cfg(all(feature = "splice", target_os = "linux"))]
const BULK_BYTES: usize = 1024 * 1024;
/// The size of the smallest read that counts for [`Flow::bulk`].
const BULK_READ: usize = 32 * 1024;

/// One poll of a relay: what its flows share.
pub(super) struct Turn<'a, 'b> {
    pub(super) cx: &'a mut Context<'b>,
    pub(super) scratch: Scratch,
    moved: usize,
}

impl<'a, 'b> Turn<'a, 'b> {
    pub(super) fn new(cx: &'a mut Context<'b>) -> Self {
        Self { cx, scratch: Scratch::default(), moved: 0 }
    }

    /// Counts bytes that were read or written.
    pub(super) fn count(&mut self, bytes: usize) {
        self.moved += bytes;
    }

    /// Returns the number of bytes that were read or written, for [`is_over`](Self::is_over).
    pub(super) fn moved(&self) -> usize {
        self.moved
    }

    /// Returns whether other tasks must have their turn, because a flow has moved so many bytes since `began`. Then this
    /// task is polled again after them.
    pub(super) fn is_over(&mut self, began: usize) -> bool {
        // Each byte is read and written.
        let is_over = self.moved.saturating_sub(began) >= 2 * MAX_PER_POLL;
        if is_over {
            // Unlike a waker, this lets the runtime look for events of other connections first.
            let _ = pin!(tokio::task::yield_now()).poll(self.cx);
        }
        is_over
    }
}

/// One direction of a relay.
#[derive(Debug)]
pub(crate) struct Flow {
    state: State,
    unwritten: Unwritten,
    read_size: usize,
    /// The number of bytes that large reads have brought, without a smaller read between them.
    bulk: usize,
    has_unflushed: bool,
    /// The number of bytes that were read.
    pub(super) read: u64,
    /// The number of bytes that were written.
    pub(super) written: u64,
    #[cfg(all(feature = "splice", target_os = "linux"))]
    pub(super) spliced: super::pipe::Spliced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Copying,
    /// All bytes were written. The receiver has to be told of the end.
    Ending,
    Ended,
    /// No byte can be written any more.
    Stopped,
}

/// Reads and discards bytes until the end.
#[cfg(feature = "tcp")]
pub(super) fn poll_discard<R: AsyncRead + Unpin>(cx: &mut Context<'_>, from: &mut R) -> Poll<io::Result<()>> {
    let mut scratch = Scratch::default();
    loop {
        let mut buffer = ReadBuf::new(scratch.bytes(MIN_READ));
        ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
    }
}

/// Which side of a flow broke.
pub(super) enum Broken {
    Read(io::Error),
    Write(io::Error),
}

impl Flow {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Copying,
            unwritten: Unwritten::default(),
            read_size: MIN_READ,
            bulk: 0,
            has_unflushed: false,
            read: 0,
            written: 0,
            #[cfg(all(feature = "splice", target_os = "linux"))]
            spliced: super::pipe::Spliced::default(),
        }
    }

    /// Reads bytes that are to be written later, and returns how many: at most `max`, and 0 at the end.
    #[cfg(feature = "tcp")]
    pub(crate) fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let mut scratch = Scratch::default();
        let mut buffer = ReadBuf::new(scratch.bytes(max));
        ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
        self.unwritten.push(buffer.filled());
        self.read += buffer.filled().len() as u64;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Returns the bytes that could not be written yet.
    #[cfg(feature = "tcp")]
    pub(crate) fn unwritten(&self) -> &[u8] {
        self.unwritten.bytes()
    }

    /// Returns this flow for another receiver. Nothing must have been written.
    #[cfg(feature = "tcp")]
    pub(super) fn restarted(self) -> Self {
        Self { unwritten: self.unwritten, read: self.read, ..Self::new() }
    }

    pub(super) fn is_copying(&self) -> bool {
        self.state == State::Copying
    }

    /// Returns whether the flow waits for bytes of the sender.
    #[cfg(feature = "tcp")]
    pub(super) fn is_reading(&self) -> bool {
        #[cfg(all(feature = "splice", target_os = "linux"))]
        if self.spliced.is_filled() {
            return false;
        }
        self.is_copying() && self.unwritten.is_empty()
    }

    /// Returns whether the sender has ended its direction, and all its bytes were written.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ending | State::Ended)
    }

    /// Returns whether the receiver was told of the end.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Ended
    }

    /// Reads no more, because the receiver is gone.
    pub(super) fn stop(&mut self) {
        self.state = State::Stopped;
    }

    /// Copies bytes until the sender ends its direction.
    pub(super) fn poll_copy<R, W>(
        &mut self,
        turn: &mut Turn<'_, '_>,
        from: &mut R,
        to: &mut W,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let began = turn.moved();
        loop {
            while !self.unwritten.is_empty() {
                let written = ready!(poll_write(turn.cx, to, self.unwritten.bytes())).map_err(Broken::Write)?;
                self.on_written(turn, written);
                self.unwritten.remove(written, &mut turn.scratch);
            }
            if turn.is_over(began) {
                return Poll::Pending;
            }
            let mut buffer = ReadBuf::new(turn.scratch.bytes(self.read_size));
            let Poll::Ready(result) = Pin::new(&mut *from).poll_read(turn.cx, &mut buffer) else {
                if self.has_unflushed {
                    ready!(Pin::new(to).poll_flush(turn.cx)).map_err(Broken::Write)?;
                    self.has_unflushed = false;
                }
                return Poll::Pending;
            };
            let read = buffer.filled().len();
            result.map_err(Broken::Read)?;
            if read == 0 {
                self.state = State::Ending;
                return Poll::Ready(Ok(()));
            }
            self.on_read(turn, read);
            self.adapt(read);
            let mut at = 0;
            while at < read {
                match poll_write(turn.cx, to, &turn.scratch.bytes(read)[at..]) {
                    Poll::Ready(Ok(written)) => {
                        self.on_written(turn, written);
                        at += written;
                    }
                    unwritten => {
                        self.unwritten.keep(&mut turn.scratch, at..read);
                        return unwritten.map(|result| result.map(drop).map_err(Broken::Write));
                    }
                }
            }
        }
    }

    /// Tells the receiver that no more bytes come, unless this happens when it is dropped.
    pub(super) fn poll_end<W: AsyncWrite + Unpin>(
        &mut self,
        turn: &mut Turn<'_, '_>,
        to: &mut W,
        ends_when_dropped: bool,
    ) -> Poll<Result<(), Broken>> {
        match self.state {
            State::Copying | State::Stopped => Poll::Pending,
            State::Ended => Poll::Ready(Ok(())),
            State::Ending => {
                if !ends_when_dropped {
                    ready!(Pin::new(to).poll_shutdown(turn.cx)).map_err(Broken::Write)?;
                }
                self.state = State::Ended;
                Poll::Ready(Ok(()))
            }
        }
    }

    pub(super) fn on_read(&mut self, turn: &mut Turn<'_, '_>, bytes: usize) {
        self.read += bytes as u64;
        turn.count(bytes);
    }

    pub(super) fn on_written(&mut self, turn: &mut Turn<'_, '_>, bytes: usize) {
        self.written += bytes as u64;
        self.has_unflushed = true;
        turn.count(bytes);
    }

    /// Chooses the size of the next read by that of the latest one.
    fn adapt(&mut self, read: usize) {
        if read == self.read_size {
            self.read_size = (2 * read).min(MAX_READ);
        } else if read < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(MIN_READ);
        }
        self.bulk = if read >= BULK_READ { self.bulk.saturating_add(read) } else { 0 };
    }
}

#[cfg(all(feature = "splice", target_os = "linux"))]
impl Flow {
    /// Returns whether the flow has shown that it has many bytes, and all that were read are written.
    pub(super) fn is_bulk(&self) -> bool {
        self.is_copying() && self.bulk >= BULK_BYTES && self.unwritten.is_empty() && !self.spliced.is_unsupported
    }

    /// Copies with small reads again.
    pub(super) fn leave_bulk(&mut self) {
        (self.bulk, self.read_size) = (0, MIN_READ);
    }

    pub(super) fn end(&mut self) {
        self.state = State::Ending;
    }
}

/// Writes at least one byte.
fn poll_write<W: AsyncWrite + Unpin>(cx: &mut Context<'_>, to: &mut W, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(to).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}
