use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
    time::Instant,
};

use super::{activity::Activity, framing::Framing, interim::InterimWriter, rejection::Rejection};
use crate::timing::Alarm;

/// The fixed first bytes of an HTTP/2 connection.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const NOT_HTTP1: u64 = u64::MAX;

/// The stream of a connection. It notes when bytes come, fails if the client takes no bytes for too long, and counts as
/// a connection until it is dropped, also after it has switched protocols.
pub(super) struct Io<T> {
    inner: T,
    activity: Arc<Activity>,
    framing: Framing,
    /// The first bytes, which were read before the version was known.
    first: [u8; PREFACE.len()],
    first_start: usize,
    first_end: usize,
    /// What hyper had read before a rest, but not used.
    unused: Bytes,
    /// How many requests have responses that are written completely. [`NOT_HTTP1`] if hyper does not speak HTTP/1.
    written: u64,
    interim: InterimWriter,
    /// Why hyper refuses a request, if it does.
    rejection: Option<Rejection>,
    write_timeout: Duration,
    /// When the client must have taken a byte. `None` if nothing waits to be written.
    write_due: Option<Instant>,
    alarm: Alarm,
    _permit: OwnedSemaphorePermit,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Io<T> {
    pub(super) fn new(
        inner: T,
        activity: Arc<Activity>,
        interim: InterimWriter,
        write_timeout: Duration,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            inner,
            activity,
            framing: Framing::default(),
            first: [0; PREFACE.len()],
            first_start: 0,
            first_end: 0,
            unused: Bytes::new(),
            written: 0,
            interim,
            rejection: None,
            write_timeout,
            write_due: None,
            alarm: Alarm::default(),
            _permit: permit,
        }
    }

    /// Prepares to wait for bytes again. `unused` is what was read already.
    pub(super) fn rest(&mut self, unused: &[u8]) {
        (self.first_start, self.first_end) = (0, 0);
        // A copy, because an empty slice keeps its whole buffer too.
        self.unused = if is_empty_lines(unused) { Bytes::new() } else { Bytes::copy_from_slice(unused) };
    }

    /// Reads the first bytes and returns whether they begin an HTTP/2 connection. After a request, they never do.
    pub(super) fn poll_is_http2(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.unused.is_empty() {
            return Poll::Ready(Ok(false));
        }
        while self.first_end < PREFACE.len() {
            let before = self.first_end;
            let mut buffer = ReadBuf::new(&mut self.first);
            buffer.set_filled(before);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
            self.first_end = buffer.filled().len();
            if self.first_end == before {
                self.activity.on_end();
                return Poll::Ready(Ok(false));
            }
            let first = self.first.get(..self.first_end).unwrap_or_default();
            if !is_empty_lines(first) {
                self.activity.on_read();
            } else if self.activity.requests() > 0 {
                // hyper would keep its buffers for them. A CR may be the begin of one.
                let part = first.strip_suffix(b"\r").unwrap_or(first);
                follow(&mut self.framing, &self.activity, part);
                self.first_end -= part.len();
                self.first[0] = b'\r';
                continue;
            }
            if self.activity.requests() > 0
                || !PREFACE.starts_with(self.first.get(..self.first_end).unwrap_or_default())
            {
                return Poll::Ready(Ok(false));
            }
        }
        self.leave_http1();
        Poll::Ready(Ok(true))
    }

    /// Notes that hyper does not speak HTTP/1 on this stream, or no longer. All bytes are written as they are.
    pub(super) fn leave_http1(&mut self) {
        self.framing.stop();
        self.interim.stop();
        self.written = NOT_HTTP1;
    }

    /// Returns whether the client has ended the connection without any bytes.
    pub(super) fn is_unused(&self) -> bool {
        self.activity.has_ended() && self.first_end == 0
    }

    /// Returns why hyper has refused a request, if it has. The client has not got the response.
    pub(super) fn take_rejection(&mut self) -> Option<Rejection> {
        self.rejection.take()
    }

    /// Returns whether hyper writes its own response to a malformed request: all others are written. It has no body, so
    /// it is not sent, and [`take_rejection`](Self::take_rejection) returns the reason.
    fn is_rejection(&mut self, bytes: &[u8]) -> bool {
        if self.written != self.activity.requests() || self.activity.has_switched() {
            return false;
        }
        if self.rejection.is_none() {
            let status = bytes.strip_prefix(b"HTTP/1.").and_then(|rest| StatusCode::from_bytes(rest.get(2..5)?).ok());
            let status = status.filter(StatusCode::is_client_error);
            let has_target = self.framing.heads() > self.written;
            self.rejection = status.map(|status| Rejection::of_hyper(status, has_target));
        }
        self.rejection.is_some()
    }

    /// Writes the rest of interim responses.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.rest().is_empty() {
            let rest = self.interim.rest().clone();
            let written = ready!(self.poll_response_with(cx, |inner, cx| inner.poll_write(cx, &rest)))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what the client waits for.
    fn poll_response_with<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let result = self.poll_write_with(cx, write);
        self.activity.on_write(result.is_pending());
        result
    }

    fn poll_write_with<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if let Poll::Ready(result) = write(Pin::new(&mut self.inner), cx) {
            self.write_due = None;
            return Poll::Ready(result);
        }
        if self.write_due.is_none() {
            self.write_due = Instant::now().checked_add(self.write_timeout);
        }
        let Some(due) = self.write_due else { return Poll::Pending };
        self.alarm.poll(cx, due).map(|()| {
            self.activity.on_write_timeout();
            Err(io::Error::new(io::ErrorKind::TimedOut, "the client took no bytes in time"))
        })
    }
}

/// Returns whether bytes before a head are only empty lines, which have no meaning (RFC 9112, section 2.2).
fn is_empty_lines(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').all(|line| matches!(line, [] | [b'\r']))
}

/// Follows the messages in the bytes that hyper reads next.
fn follow(framing: &mut Framing, activity: &Activity, bytes: &[u8]) {
    if activity.has_switched() {
        framing.stop();
    }
    activity.on_bytes(framing.read(bytes));
    activity.set_open_body(framing.open_body());
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Io<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let first = this.first.get(this.first_start..this.first_end).unwrap_or_default();
        if let Some(part) = first.get(..first.len().min(buffer.remaining())).filter(|part| !part.is_empty()) {
            buffer.put_slice(part);
            follow(&mut this.framing, &this.activity, part);
            this.first_start += part.len();
            return Poll::Ready(Ok(()));
        }
        if !this.unused.is_empty() {
            let part = this.unused.split_to(this.unused.len().min(buffer.remaining()));
            buffer.put_slice(&part);
            this.activity.on_bytes(None);
            this.activity.on_read();
            return Poll::Ready(Ok(()));
        }
        let (before, room) = (buffer.filled().len(), buffer.remaining() > 0);
        let result = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            let (was_in_body, was_in_head) = (this.framing.is_in_body(), this.framing.is_in_head());
            let heads = this.framing.heads();
            follow(&mut this.framing, &this.activity, buffer.filled().get(before..).unwrap_or_default());
            if was_in_head || this.framing.is_in_head() || this.framing.heads() > heads {
                this.activity.on_read();
            } else if was_in_body {
                this.activity.on_body();
            }
        } else if room && result.is_ready() {
            this.activity.on_end();
        } else if room {
            this.activity.on_no_bytes(this.framing.is_body_complete());
            if this.framing.is_in_body() {
                this.activity.on_body_wait();
            }
        }
        result
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Io<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_rejection(buffer) {
            return Poll::Ready(Ok(buffer.len()));
        }
        ready!(self.poll_interim(cx))?;
        self.poll_response_with(cx, |inner, cx| inner.poll_write(cx, buffer))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_rejection(buffers.first().map_or(&[], |first| first)) {
            return Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()));
        }
        ready!(self.poll_interim(cx))?;
        self.poll_response_with(cx, |inner, cx| inner.poll_write_vectored(cx, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when all its bytes are written. Until the service has responded, no message is begun then.
        loop {
            ready!(self.poll_interim(cx))?;
            if !self.interim.begin(cx) {
                break;
            }
        }
        let flushed = self.poll_response_with(cx, AsyncWrite::poll_flush);
        if flushed.is_ready() && self.written != NOT_HTTP1 && !self.activity.has_in_flight() {
            self.written = self.activity.requests();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.rests() || self.rejection.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.poll_write_with(cx, AsyncWrite::poll_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        sync::Semaphore,
    };

    use super::*;

    /// More than one length, so that the request must be refused.
    const DOUBTFUL: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n";

    async fn opened() -> (DuplexStream, Io<DuplexStream>, Arc<Activity>) {
        let (client, server) = tokio::io::duplex(1024);
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("a permit");
        let activity = Arc::new(Activity::new());
        let io = Io::new(server, Arc::clone(&activity), InterimWriter::new(None), Duration::from_secs(1), permit);
        (client, io, activity)
    }

    #[tokio::test(start_paused = true)]
    async fn the_bytes_of_a_tunnel_are_not_read_as_requests() {
        for is_tunnel in [false, true] {
            let (mut client, mut io, activity) = opened().await;
            if is_tunnel {
                activity.on_switch();
            }
            client.write_all(DOUBTFUL).await.expect("open");
            io.read_exact(&mut [0; DOUBTFUL.len()]).await.expect("open");
            assert_eq!(activity.is_refused(1), !is_tunnel);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_response_that_the_service_has_not_made_is_kept_back() {
        let response = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        let (mut client, mut io, activity) = opened().await;
        // That of the service.
        activity.on_request();
        activity.on_request_end(true);
        io.write_all(response).await.expect("open");
        assert_eq!(io.take_rejection(), None);
        client.read_exact(&mut [0; 28]).await.expect("open");
        // That of hyper.
        io.flush().await.expect("open");
        io.write_all(response).await.expect("open");
        assert_eq!(io.take_rejection(), Some(Rejection::Malformed));
        // Those of a tunnel.
        activity.on_switch();
        io.write_all(response).await.expect("open");
        assert_eq!(io.take_rejection(), None);
        client.read_exact(&mut [0; 28]).await.expect("open");
    }
}
