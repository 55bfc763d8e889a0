//! Checks what a Redis server sends: limits the size of a reply, and refuses replies that do not belong to a command.
//!
//! The crate `redis` (version 1.8) does neither: it buffers a reply of any size, and takes a reply that belongs to no
//! command as the reply to the next command. It checks everything else, such as numbers and UTF-8, so this code only
//! finds the end of each reply. The replies to the store's commands are flat: a reply is a line or a string, and
//! contains no other replies.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::scan;

/// Maximum length of a reply, in bytes. A binding has less than 300 bytes. A longer value, which another application
/// has stored under a key of the store, should not end the connection.
const MAX_REPLY: usize = 64 * 1024;

/// The numbers of received and expected replies of one connection.
#[derive(Debug)]
pub(super) struct Replies {
    pub(super) received: AtomicU64,
    /// The maximum number of replies that may have been received so far. There is no limit during the handshake, which
    /// the crate `redis` does.
    pub(super) expected: AtomicU64,
    /// How the server has violated the protocol. Empty if it has not.
    pub(super) violation: OnceLock<&'static str>,
}

impl Replies {
    pub(super) fn new() -> Self {
        Self { received: AtomicU64::new(0), expected: AtomicU64::new(u64::MAX), violation: OnceLock::new() }
    }
}

/// The reading half of a connection. It checks the bytes that it reads.
pub(super) struct Checked<S> {
    pub(super) stream: S,
    pub(super) replies: Arc<Replies>,
    pub(super) part: Part,
}

/// The part of a reply to which the next byte belongs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// The first byte of a reply, which says what the reply is.
    Kind,
    /// A line. It may have this many more bytes. The flag says whether the last byte was CR.
    Line(usize, bool),
    /// The length of a string. The value is the number from the digits so far.
    Length(usize),
    /// A string. It has this many more bytes, including CRLF.
    String(usize),
}

impl<S> Checked<S> {
    fn check(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        for byte in scan::bytes(bytes) {
            self.part = match (self.part, byte) {
                (Part::Kind, b'+' | b'-' | b':') => Part::Line(MAX_REPLY, false),
                (Part::Kind, b'$') => Part::Length(0),
                (Part::Kind, _) => return Err("not a flat reply"),
                (Part::Line(_, true), b'\n') | (Part::String(1), _) => Part::Kind,
                (Part::Line(0, _), _) => return Err("a reply that is too long"),
                (Part::Line(left, _), byte) => Part::Line(left - 1, byte == b'\r'),
                (Part::Length(length), b'0'..=b'9') if length <= MAX_REPLY => {
                    Part::Length(length * 10 + usize::from(byte - b'0'))
                }
                (Part::Length(length), b'\r') if length <= MAX_REPLY => Part::String(length + b"\n\r\n".len()),
                // The null reply, `$-1`.
                (Part::Length(0), b'-') => Part::Line(b"1\r".len(), false),
                (Part::Length(_), _) => return Err("a string of an impossible length"),
                (Part::String(left), _) => Part::String(left - 1),
            };
            if matches!(self.part, Part::Kind)
                && self.replies.received.fetch_add(1, Relaxed) >= self.replies.expected.load(Relaxed)
            {
                return Err("a reply that was not asked for");
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Checked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.replies.violation.get().is_none() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            if let Err(violation) = self.check(buf.filled().get(before..).unwrap_or_default()) {
                let _ = self.replies.violation.set(violation);
            }
        }
        Poll::Ready(match self.replies.violation.get() {
            Some(violation) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, *violation)),
            None => Ok(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checked() -> Checked<()> {
        Checked { stream: (), replies: Arc::new(Replies::new()), part: Part::Kind }
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
            (b"$1x\r\n", "a string of an impossible length"),
            (b"$2\r\nabc\r\n", "not a flat reply"),
            (b"$-10\r\n", "a reply that is too long"),
            (&[b'+'; MAX_REPLY + 2], "a reply that is too long"),
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
