//! A stream that counts as an open connection until it is dropped.

#[cfg(feature = "http2")]
use std::task::Waker;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::status::{CloseReason, Counters};
use crate::connect::Stream;

/// What the holder of a connection tells its socket. The socket itself is inside the HTTP implementation.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// 0: no reason yet. Otherwise the index of a [`CloseReason`] plus 1.
    reason: AtomicU8,
    /// Whether the next read asks the system for input, without waiting for tokio's driver.
    asks_system: AtomicBool,
    /// Whether the system has not accepted all output so far.
    is_blocked: AtomicBool,
    /// Woken when all input so far was read and processed. Only if `is_watched`.
    reader: AtomicWaker,
    is_watched: AtomicBool,
    /// Whether the HTTP implementation drops the socket if a PING is not answered.
    sends_pings: AtomicBool,
}

impl Control {
    /// Sets why the connection will be closed. The first reason counts.
    pub(crate) fn close_because(&self, reason: CloseReason) {
        let _ = self.reason.compare_exchange(0, reason as u8 + 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Makes the next read ask the system whether the peer has closed the connection.
    pub(crate) fn ask_system(&self) {
        self.asks_system.store(true, Ordering::Relaxed);
    }

    /// Returns whether the system has not accepted all output so far.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    /// Sets the task that is woken while the input is watched. It must register again after each time it was woken.
    #[cfg(feature = "http2")]
    pub(super) fn register(&self, waker: &Waker) {
        self.reader.register(waker);
    }

    /// Wakes the registered task whenever the HTTP implementation has processed all input.
    #[cfg(feature = "http2")]
    pub(super) fn watch_input(&self) {
        self.is_watched.store(true, Ordering::Release);
    }

    /// As [`watch_input`](Self::watch_input). If the input was not watched, wakes the task at once, too.
    #[cfg(feature = "http2")]
    pub(super) fn begin_to_watch_input(&self) {
        if !self.is_watched.load(Ordering::Relaxed) && !self.is_watched.swap(true, Ordering::AcqRel) {
            self.reader.wake();
        }
    }

    /// Ends the effect of [`watch_input`](Self::watch_input).
    #[cfg(feature = "http2")]
    pub(super) fn ignore_input(&self) {
        self.is_watched.store(false, Ordering::Relaxed);
    }

    #[cfg(feature = "http2")]
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// Called when the HTTP implementation begins to send PINGs.
    #[cfg(feature = "http2")]
    pub(super) fn sends_pings(&self) {
        self.sends_pings.store(true, Ordering::Relaxed);
    }

    pub(super) fn reason(&self) -> Option<CloseReason> {
        let index = self.reason.load(Ordering::Relaxed).checked_sub(1);
        index.and_then(|index| CloseReason::ALL.get(usize::from(index)).copied())
    }
}

/// `S` is the slot of the connection. It is dropped with the socket, so a tunnel counts as open until its end.
pub(super) struct Socket<S> {
    stream: Stream,
    control: Arc<Control>,
    counters: Arc<Counters>,
    otherwise: CloseReason,
    /// Whether the peer has closed the connection, it has failed, or the HTTP implementation has ended it.
    has_ended: bool,
    _slot: S,
}

impl<S> Socket<S> {
    pub(super) fn new(
        stream: Stream,
        slot: S,
        counters: Arc<Counters>,
        otherwise: CloseReason,
    ) -> (Self, Arc<Control>) {
        let control = Arc::new(Control::default());
        counters.opened();
        (Self { stream, control: Arc::clone(&control), counters, otherwise, has_ended: false, _slot: slot }, control)
    }
}

impl<S> Socket<S> {
    /// Takes note of an error.
    fn noted<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.has_ended |= matches!(polled, Poll::Ready(Err(_)));
        polled
    }

    /// Takes note of an error, and of output that the system does not accept.
    fn noted_output<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.control.is_blocked.store(polled.is_pending(), Ordering::Relaxed);
        self.noted(polled)
    }
}

impl<S> Drop for Socket<S> {
    fn drop(&mut self) {
        // If a PING is not answered, hyper drops the socket without ending the connection. Otherwise, only the end of
        // the runtime does that.
        let is_ping_timeout = !self.has_ended && self.control.sends_pings.load(Ordering::Relaxed);
        let otherwise = if is_ping_timeout { CloseReason::PingTimeout } else { self.otherwise };
        self.counters.closed(self.control.reason().unwrap_or(otherwise));
    }
}

impl<S: Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let asks_system = self.control.asks_system.load(Ordering::Relaxed);
        if asks_system {
            self.control.asks_system.store(false, Ordering::Relaxed);
        }
        let filled = buf.filled().len();
        let mut read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if asks_system && read.is_pending() {
            read = self.stream.poll_read_now(cx, buf);
        }
        let read = self.noted(read);
        self.has_ended |= matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == filled && buf.remaining() > 0;
        if read.is_pending() && self.control.is_watched.load(Ordering::Acquire) {
            self.control.reader.wake();
        }
        read
    }
}

impl<S: Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted_output(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.noted_output(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.noted_output(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.has_ended = true;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
