//! Checks what a Redis server sends: limits the size of a reply, and refuses replies that do not belong to a command.
//!
//! The crate `redis` (version 1.8) does neither: it buffers a reply of any size, and takes a reply that belongs to no
//! command as the reply to the next command. It checks everything else, such as numbers and UTF-8, so this code only
//! finds the end of each reply. A reply is a line, a string, or an array of these; the elements of an array may be
//! arrays, and theirs may not.

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

/// Maximum number of elements of an array. A lookup in the cache has at most 1 025, and a scan for names asks for 1 000
/// and may get a few more. The crate `redis` reserves memory for as many elements as the server announces.
const MAX_ELEMENTS: usize = 1 << 16;

/// Maximum number of arrays that contain each other.
const MAX_DEPTH: usize = 2;

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
    stream: S,
    replies: Arc<Replies>,
    part: Part,
    /// The number of elements that are missing in each array that has begun.
    arrays: Vec<usize>,
    /// The maximum size of a reply, and what is left of it for the current one.
    max: usize,
    left: usize,
}

/// The part of a reply to which the next byte belongs.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The first byte of a value, which says what the value is.
    Kind,
    /// A line. The flag says whether the last byte was CR.
    Line(bool),
    /// The length of a string or an array. The number is that from the digits so far.
    Length(Of, usize),
    /// The LF after the length of an array.
    Begin(usize),
    /// A string. It has this many more bytes, including CRLF.
    String(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    String,
    Array,
}

impl<S> Checked<S> {
    pub(super) fn new(stream: S, replies: Arc<Replies>, max: usize) -> Self {
        Self { stream, replies, part: Part::Kind, arrays: Vec::with_capacity(MAX_DEPTH), max, left: max }
    }

    fn check(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let Some((first, rest)) = bytes.split_first() {
            // The content of a string can be long, and is not read.
            let count = if let Part::String(left) = self.part { left.min(bytes.len()) } else { 1 };
            self.left = self.left.checked_sub(count).ok_or("a reply that is too long")?;
            self.part = match self.part {
                Part::String(left) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    if left == count { self.end_value()? } else { Part::String(left - count) }
                }
                part => {
                    bytes = rest;
                    self.next(part, scan::look(*first))?
                }
            };
        }
        Ok(())
    }

    /// Returns the part after a byte.
    fn next(&mut self, part: Part, byte: u8) -> Result<Part, &'static str> {
        Ok(match (part, byte) {
            (Part::Kind, b'+' | b'-' | b':') => Part::Line(false),
            (Part::Kind, b'$') => Part::Length(Of::String, 0),
            (Part::Kind, b'*') => Part::Length(Of::Array, 0),
            (Part::Kind, _) => return Err("a reply of an unknown kind"),
            (Part::Line(true), b'\n') => self.end_value()?,
            (Part::Line(_), byte) => Part::Line(byte == b'\r'),
            (Part::Length(of, length), b'0'..=b'9') => {
                let length = length * 10 + usize::from(byte - b'0');
                if length > if of == Of::String { self.left } else { MAX_ELEMENTS } {
                    return Err("a string or an array that is too long");
                }
                Part::Length(of, length)
            }
            (Part::Length(Of::String, length), b'\r') => Part::String(length + b"\n\r\n".len()),
            (Part::Length(Of::Array, length), b'\r') => Part::Begin(length),
            // The null reply, `$-1` or `*-1`.
            (Part::Length(_, 0), b'-') => Part::Line(false),
            (Part::Length(..), _) => return Err("an impossible length"),
            (Part::Begin(0), _) => self.end_value()?,
            (Part::Begin(_), _) if self.arrays.len() == MAX_DEPTH => return Err("too many arrays in each other"),
            (Part::Begin(length), _) => {
                self.arrays.push(length);
                Part::Kind
            }
            (Part::String(_), _) => part,
        })
    }

    /// Notes the end of a value, which may be the end of the arrays that contain it and of the reply.
    fn end_value(&mut self) -> Result<Part, &'static str> {
        while let Some(missing) = self.arrays.last_mut() {
            *missing = missing.saturating_sub(1);
            if *missing > 0 {
                return Ok(Part::Kind);
            }
            self.arrays.pop();
        }
        self.left = self.max;
        if self.replies.received.fetch_add(1, Relaxed) >= self.replies.expected.load(Relaxed) {
            return Err("a reply that was not asked for");
        }
        Ok(Part::Kind)
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

    const MAX: usize = 64 * 1024;

    fn checked() -> Checked<()> {
        Checked::new((), Arc::new(Replies::new()), MAX)
    }

    fn count(bytes: &[u8]) -> Result<u64, &'static str> {
        let mut checked = checked();
        checked.check(bytes).map(|()| checked.replies.received.load(Relaxed))
    }

    #[test]
    fn replies_are_counted_where_they_end() {
        assert_eq!(count(b"+OK\r\n:-12\r\n$-1\r\n$0\r\n\r\n$5\r\n*\r\n$x\r\n-ERR no\r\n"), Ok(6));
        assert_eq!(count(b"$5\r\nhell"), Ok(0));
        assert_eq!(count(b"*2\r\n:1\r\n$2\r\n:1\r\n*0\r\n*-1\r\n*2\r\n$1\r\n0\r\n*2\r\n+a\r\n-b\r\n"), Ok(4));
        assert_eq!(count(b"*2\r\n*0\r\n*1\r\n$-1\r\n:1\r\n"), Ok(2));
        assert_eq!(count(b"*3\r\n:1\r\n:1\r\n"), Ok(0));
    }

    #[test]
    fn replies_of_another_form_are_refused() {
        for (bytes, violation) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], "a reply of an unknown kind"),
            (b"%1\r\n", "a reply of an unknown kind"),
            (b"*1000000000\r\n", "a string or an array that is too long"),
            (b"*1\r\n*1\r\n*1\r\n:1\r\n", "too many arrays in each other"),
            (b"$65537\r\n", "a string or an array that is too long"),
            (b"$99999999999999999999999\r\n", "a string or an array that is too long"),
            (b"$1x\r\n", "an impossible length"),
            (b"*\n", "an impossible length"),
            (b"$2\r\nabc\r\n", "a reply of an unknown kind"),
            (&[b'+'; MAX + 1], "a reply that is too long"),
            (
                &[&b"*2\r\n$40000\r\n"[..], &[b'a'; 40_000], b"\r\n$40000\r\n"].concat(),
                "a string or an array that is too long",
            ),
            (&[&b"*65536\r\n"[..], &b":1\r\n".repeat(20_000)].concat(), "a reply that is too long"),
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
        for part in ["+OK\r\n", ":1\r\n", "$3\r\nabc\r\n", "$0\r\n\r\n", "-", "$9", "*0\r\n", "*1\r\n:1\r\n", "*9\r\n"]
        {
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
        fn where_reads_end_makes_no_difference(cut in 0_usize..90) {
            let whole = b"+OK\r\n:7\r\n$5\r\nhello\r\n$-1\r\n*2\r\n*1\r\n:1\r\n$2\r\n\r\n\r\n-ERR no such thing\r\n$0\r\n\r\n";
            let (one, other) = whole.split_at(cut.min(whole.len()));
            let mut checked = checked();
            prop_assert_eq!(checked.check(one).and_then(|()| checked.check(other)), Ok(()));
            prop_assert_eq!(checked.replies.received.load(Relaxed), 7);
        }
    }
}
