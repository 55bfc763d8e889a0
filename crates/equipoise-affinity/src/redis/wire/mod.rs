//! What may come in from a server, before anybody makes sense of it.
//!
//! The client library reads whatever a server sends: nested as deep and as long as it says. What is asked here has small,
//! flat answers, so anything else ends the connection before it costs memory.

mod frames;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::frames::Frames;

/// What is known of a connection from the bytes on it.
#[derive(Debug)]
pub(super) struct Wire {
    answers: AtomicU64,
    asked: AtomicU64,
    broken: OnceLock<&'static str>,
}

impl Wire {
    /// Before the handshake, whose questions the client library asks and nobody counts.
    pub(super) fn new() -> Self {
        Self { answers: AtomicU64::new(0), asked: AtomicU64::new(u64::MAX), broken: OnceLock::new() }
    }

    /// The handshake is over: from here on, every answer has to be [due](Self::due).
    pub(super) fn settle(&self) {
        self.asked.store(self.answers(), Ordering::Relaxed);
    }

    /// How many answers have come in.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// So many more answers are due. To be called before asking.
    pub(super) fn due(&self, answers: u64) {
        self.asked.fetch_add(answers, Ordering::Relaxed);
    }

    /// How the server has broken the protocol, if it has.
    pub(super) fn broken(&self) -> Option<&'static str> {
        self.broken.get().copied()
    }
}

/// A connection whose incoming bytes are looked at as they pass.
pub(super) struct Guarded<S> {
    inner: S,
    frames: Frames,
    wire: Arc<Wire>,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, wire: Arc<Wire>) -> Self {
        Self { inner, frames: Frames::default(), wire }
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let ended = self.frames.pass(bytes)?;
        let answers = self.wire.answers.fetch_add(ended, Ordering::Relaxed).saturating_add(ended);
        // An answer to nothing would be taken for the answer to the next question, and every one after it.
        if answers > self.wire.asked.load(Ordering::Relaxed) { Err("an answer nobody asked for") } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(how) = this.wire.broken() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, how)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let passed = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(this.pass(passed).map_err(|how| {
            let _ = this.wire.broken.set(how);
            io::Error::new(io::ErrorKind::ConnectionAborted, how)
        }))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn an_answer_to_nothing_ends_the_connection() {
        let wire = Arc::new(Wire::new());
        let mut guarded = pin!(Guarded::new(&b"+OK\r\n"[..], Arc::clone(&wire)));
        let mut answer = [0; 5];
        guarded.read_exact(&mut answer).await.unwrap();

        wire.settle();
        wire.due(1);
        for (answers, broken) in [(2, None), (3, Some("an answer nobody asked for"))] {
            guarded.inner = b":1\r\n";
            assert_eq!(guarded.read(&mut answer).await.is_err(), broken.is_some());
            assert_eq!((wire.answers(), wire.broken()), (answers, broken));
        }
    }
}
