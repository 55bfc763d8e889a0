//! Limits what a server can send.
//!
//! Version 1.8 of the `redis` crate limits nesting and allocates nothing for lengths that are only announced. Two limits
//! are missing there: it buffers a reply of any size, and takes a reply that was not asked for as the reply to the next
//! command. Here both end the connection. The store's commands have flat replies, a line or a string, so nothing else
//! has to be understood.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::scan;

/// Maximum length of a line, in bytes: an error's text or a number.
const MAX_LINE: usize = 1024;

/// Maximum length of a string, in bytes. A binding has less than 300. A longer foreign value under a key of the store
/// should cost its session, not the connection.
const MAX_STRING: usize = 64 * 1024;

/// The replies of one connection.
#[derive(Debug)]
pub(super) struct Replies {
    pub(super) received: AtomicU64,
    /// How many replies may have been received. No limit during the handshake, which the client library does.
    pub(super) expected: AtomicU64,
    /// How the server has broken the protocol, if it has.
    pub(super) violation: OnceLock<&'static str>,
}

impl Replies {
    pub(super) fn new() -> Self {
        Self { received: AtomicU64::new(0), expected: AtomicU64::new(u64::MAX), violation: OnceLock::new() }
    }
}

/// A connection whose incoming bytes are checked.
pub(super) struct Checked<S> {
    pub(super) stream: S,
    pub(super) replies: Arc<Replies>,
    /// The current line, as far as it has been received.
    line: Vec<u8>,
    /// How many bytes of the current string are still to come, including CRLF.
    string: usize,
}

impl<S> Checked<S> {
    pub(super) fn new(stream: S, replies: Arc<Replies>) -> Self {
        Self { stream, replies, line: Vec::new(), string: 0 }
    }

    fn check(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            let line_end = scan::find(if self.string == 0 { bytes } else { &[] }, |byte| byte == b'\n');
            let end = if self.string > 0 { self.string } else { line_end.map_or(bytes.len(), |end| end + 1) };
            let (part, rest) = bytes.split_at(end.min(bytes.len()));
            bytes = rest;
            let is_reply = if self.string > 0 {
                self.string -= part.len();
                self.string == 0
            } else {
                self.check_line(part, line_end.is_some())?
            };
            let received = self.replies.received.fetch_add(u64::from(is_reply), Relaxed) + u64::from(is_reply);
            if received > self.replies.expected.load(Relaxed) {
                return Err("a reply that was not asked for");
            }
        }
        Ok(())
    }

    /// Adds `part` to the line. Returns whether that completes a reply.
    fn check_line(&mut self, part: &[u8], ends: bool) -> Result<bool, &'static str> {
        if self.line.len() + part.len() > MAX_LINE {
            return Err("a line that is too long");
        }
        self.line.extend_from_slice(part);
        if !matches!(self.line.first(), Some(b'+' | b'-' | b':' | b'$')) {
            return Err("not a flat reply");
        }
        if !ends {
            return Ok(false);
        }
        let line = self.line.strip_suffix(b"\r\n").and_then(|line| str::from_utf8(line).ok());
        let is_reply = match line.ok_or("a line that is not text")?.split_at(1) {
            ("$", "-1") => true,
            ("$", length) => {
                let length = length.parse::<usize>().ok().filter(|length| *length <= MAX_STRING);
                self.string = length.ok_or("a string of an impossible length")? + b"\r\n".len();
                false
            }
            (":", number) => number.parse::<i64>().map(|_| true).map_err(|_| "a number that is none")?,
            _ => true,
        };
        self.line.clear();
        Ok(is_reply)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Checked<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let checked = match this.replies.violation.get() {
            Some(violation) => Err(*violation),
            None => {
                ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
                this.check(buf.filled().get(before..).unwrap_or_default())
            }
        };
        Poll::Ready(checked.map_err(|violation| {
            let _ = this.replies.violation.set(violation);
            io::Error::new(io::ErrorKind::ConnectionAborted, violation)
        }))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Checked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checked() -> Checked<()> {
        Checked::new((), Arc::new(Replies::new()))
    }

    fn count(bytes: &[u8]) -> Result<u64, &'static str> {
        let mut checked = checked();
        checked.check(bytes).map(|()| checked.replies.received.load(Relaxed))
    }

    #[test]
    fn replies_are_counted_where_they_end() {
        assert_eq!(count(b"+OK\r\n:-12\r\n$-1\r\n$0\r\n\r\n$5\r\n*\r\n$x\r\n-ERR no\r\n"), Ok(6));
        assert_eq!(count(b"$5\r\nhell"), Ok(0));
    }

    #[test]
    fn replies_of_another_form_are_refused() {
        for (bytes, violation) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], "not a flat reply"),
            (b"*1000000000\r\n", "not a flat reply"),
            (b"$65537\r\n", "a string of an impossible length"),
            (b"$99999999999999999999999\r\n", "a string of an impossible length"),
            (b"$-2\r\n", "a string of an impossible length"),
            (b"$\r\n", "a string of an impossible length"),
            (b"$2\r\nabc\r\n", "not a flat reply"),
            (b":1.5\r\n", "a number that is none"),
            (b"-ERR \xff\r\n", "a line that is not text"),
            (b"+OK\rx\n", "a line that is not text"),
            (&[b'+'; 2000], "a line that is too long"),
        ] {
            assert_eq!(count(bytes), Err(violation), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_reply_that_was_not_asked_for_is_refused() {
        let mut checked = checked();
        assert_eq!(checked.check(b"+OK\r\n"), Ok(()));
        checked.replies.expected.store(2, Relaxed);
        assert_eq!(checked.check(b":1\r\n"), Ok(()));
        assert_eq!(checked.check(b":1\r\n"), Err("a reply that was not asked for"));
    }

    #[test]
    fn replies_are_read_in_linear_time() {
        for part in ["+OK\r\n", ":1\r\n", "$3\r\nabc\r\n", "$0\r\n\r\n", "-", "$9"] {
            scan::linear::is_linear(part, 1, |bytes| {
                let _ = count(bytes);
            });
            // Also if they come one byte at a time.
            scan::linear::is_linear(part, 1, |bytes| {
                let mut checked = checked();
                let _ = bytes.iter().try_for_each(|byte| checked.check(&[*byte]));
            });
        }
    }

    proptest! {
        #[test]
        fn any_bytes_pass_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = count(&bytes);
        }

        #[test]
        fn where_reads_end_makes_no_difference(cut in 0_usize..60) {
            let whole = b"+OK\r\n:7\r\n$5\r\nhello\r\n$-1\r\n-ERR no such thing\r\n$0\r\n\r\n";
            let (one, other) = whole.split_at(cut.min(whole.len()));
            let mut checked = checked();
            prop_assert_eq!(checked.check(one).and_then(|()| checked.check(other)), Ok(()));
            prop_assert_eq!(checked.replies.received.load(Relaxed), 6);
        }
    }
}
