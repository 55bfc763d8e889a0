use memchr::memchr;

use crate::check::content_length;

/// The maximum number of bytes that are kept of a line that has not ended. The names and values that are looked for
/// are shorter.
const MAX_LINE: usize = 256;

/// Follows the messages of an HTTP/1 connection, to find heads that hyper's parser repairs without telling:
///
/// - a `Content-Length` beside `Transfer-Encoding`, which hyper removes, or does not even read;
/// - a repeated `Content-Length`, which hyper merges if the values are equal;
/// - a fragment in the request target, which hyper removes.
///
/// It reads lines and counts bytes, and does not check their syntax: hyper refuses a malformed message itself, and
/// serves no further one. Where the end of a message is in doubt, the next request is refused.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// The begin of a line whose end has not been read, up to [`MAX_LINE`] bytes.
    line: Vec<u8>,
    /// Whether the last byte that was read of this line is a CR. The line may be longer than what is kept.
    ends_with_cr: bool,
    /// The number of heads whose first line has ended.
    heads: u64,
    head: Head,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    RequestLine,
    Fields,
    /// The rest of a body, or of a chunk with the line end after it.
    Data {
        left: u64,
        is_chunk: bool,
    },
    ChunkSize,
    Trailers,
    /// Nothing is read: the connection is closed after the request that is refused, or it is not HTTP/1.
    Off,
}

/// What is known of the current head.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    has_fragment: bool,
    lengths: u32,
    codings: u32,
    /// The value of the latest `Content-Length`, if it is valid.
    length: Option<u64>,
}

impl Framing {
    /// Reads nothing from now on.
    pub(super) fn stop(&mut self) {
        self.state = State::Off;
    }

    /// Returns how many heads have begun. A head begins when its first line has ended.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Returns whether a part of a body has been read, and its end has not.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.state, State::Data { .. } | State::ChunkSize | State::Trailers)
    }

    /// Returns the number of the request of which a part of the body has not been read, if there is one. The first request
    /// of a connection has number 1.
    pub(super) fn open_body(&self) -> Option<u64> {
        self.is_in_body().then_some(self.heads)
    }

    /// Returns whether the latest body is complete. False if its end is in doubt.
    pub(super) fn is_body_complete(&self) -> bool {
        matches!(self.state, State::RequestLine | State::Fields)
    }

    /// Returns whether a part of a head has been read, and its end has not. A CR may belong to an empty line before the
    /// head.
    pub(super) fn is_in_head(&self) -> bool {
        self.state == State::Fields || self.state == State::RequestLine && !matches!(&self.line[..], [] | [b'\r'])
    }

    /// Reads the next bytes. Returns the number of the first request that must be refused, if its head ends in these
    /// bytes. The first request of a connection has number 1.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Option<u64> {
        loop {
            match self.state {
                State::Off => return None,
                _ if bytes.is_empty() => return None,
                State::Data { left, is_chunk } => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(taken..).unwrap_or_default();
                    let left = left - taken as u64;
                    self.state = match (left, is_chunk) {
                        (0, true) => State::ChunkSize,
                        (0, false) => State::RequestLine,
                        _ => State::Data { left, is_chunk },
                    };
                }
                State::RequestLine | State::Fields | State::ChunkSize | State::Trailers => {
                    let Some((line, rest)) = memchr(b'\n', bytes).and_then(|end| bytes.split_at_checked(end)) else {
                        self.keep(bytes);
                        return None;
                    };
                    // Without the LF.
                    bytes = rest.get(1..).unwrap_or_default();
                    if self.state == State::Fields && self.line.is_empty() && is_other_field(line) {
                        continue;
                    }
                    let refused = if self.line.is_empty() {
                        self.end_of_line(line.strip_suffix(b"\r").unwrap_or(line), line.ends_with(b"\r"))
                    } else {
                        self.keep(line);
                        let line = std::mem::take(&mut self.line);
                        self.end_of_line(line.strip_suffix(b"\r").unwrap_or(&line), self.ends_with_cr)
                    };
                    if let Err(Doubtful) = refused {
                        // In a body, the request has begun already.
                        let is_head = self.state == State::Fields;
                        self.state = State::Off;
                        return Some(if is_head { self.heads } else { self.heads + 1 });
                    }
                }
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        if self.state == State::RequestLine {
            self.head.has_fragment |= memchr(b'#', part).is_some();
        }
        if let Some(last) = part.last() {
            self.ends_with_cr = *last == b'\r';
        }
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    /// Reads a line, without the CR and LF at its end.
    fn end_of_line(&mut self, text: &[u8], has_cr: bool) -> Result<(), Doubtful> {
        match self.state {
            // Empty lines before a request are skipped (RFC 9112, section 2.2).
            State::RequestLine if !text.is_empty() => {
                let has_fragment = self.head.has_fragment || memchr(b'#', text).is_some();
                self.head = Head { has_fragment, ..Head::default() };
                self.heads += 1;
                self.state = State::Fields;
            }
            State::Fields if text.is_empty() => self.state = std::mem::take(&mut self.head).body()?,
            State::Fields => self.head.field(text),
            // hyper reads a lone LF as a part of the line.
            State::ChunkSize | State::Trailers if !has_cr => return Err(Doubtful),
            State::ChunkSize => self.state = chunk(text)?,
            State::Trailers if text.is_empty() => self.state = State::RequestLine,
            _ => {}
        }
        Ok(())
    }
}

/// A message that parsers can read differently, or a body whose end is not certain.
#[derive(Debug)]
struct Doubtful;

impl Head {
    fn field(&mut self, line: &[u8]) {
        if let Some(value) = value_of(line, b"content-length") {
            self.lengths = self.lengths.saturating_add(1);
            // A longer line was cut, so its value may be incomplete.
            self.length = if line.len() < MAX_LINE { content_length(value.trim_ascii()) } else { None };
        } else if value_of(line, b"transfer-encoding").is_some() {
            self.codings = self.codings.saturating_add(1);
        }
    }

    /// Returns what follows the head.
    fn body(self) -> Result<State, Doubtful> {
        match (self.has_fragment, self.lengths, self.codings) {
            (false, 0, 0) => Ok(State::RequestLine),
            (false, 0, _) => Ok(State::ChunkSize),
            (false, 1, 0) => match self.length.ok_or(Doubtful)? {
                0 => Ok(State::RequestLine),
                left => Ok(State::Data { left, is_chunk: false }),
            },
            _ => Err(Doubtful),
        }
    }
}

/// Returns whether a line of a head is neither its end nor about the length of the body. This is true of most lines, and
/// the first letter tells it.
fn is_other_field(line: &[u8]) -> bool {
    !matches!(line.first(), None | Some(b'c' | b'C' | b't' | b'T' | b'\r'))
}

/// Returns the value of a field if it has this name.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (before, after) = line.split_at_checked(name.len())?;
    let value = after.strip_prefix(b":")?;
    before.eq_ignore_ascii_case(name).then_some(value)
}

/// Reads the first line of a chunk. Returns what follows it.
fn chunk(line: &[u8]) -> Result<State, Doubtful> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    // All of a line that was cut: its size is not known.
    if digits >= MAX_LINE {
        return Err(Doubtful);
    }
    let digits = line.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(Doubtful)?;
    match u64::from_str_radix(digits, 16).map_err(|_| Doubtful)? {
        0 => Ok(State::Trailers),
        // With CR and LF.
        size => Ok(State::Data { left: size.checked_add(2).ok_or(Doubtful)?, is_chunk: true }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the first request that is refused, however the bytes are cut into pieces.
    fn refused(text: &str) -> Option<u64> {
        let whole = Framing::default().read(text.as_bytes());
        for size in [1, 2, 3, 7, 40] {
            let mut framing = Framing::default();
            let found = text.as_bytes().chunks(size).find_map(|piece| framing.read(piece));
            assert_eq!(found, whole, "pieces of {size} bytes: {text:?}");
        }
        whole
    }

    const BAD: &str = "POST /2 HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn a_second_length_is_found() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: abc\r\n",
            "Content-Length: 5\r\nHost: a\r\nCONTENT-LENGTH:5\r\n",
            "content-length: 5\ncontent-length: 5\n",
        ] {
            assert_eq!(refused(&format!("POST / HTTP/1.1\r\n{fields}\r\nhello")), Some(1), "{fields}");
        }
        assert_eq!(refused("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"), Some(1));
        assert_eq!(refused(&format!("GET /{}#b HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(1000))), Some(1));
    }

    #[test]
    fn one_length_is_not_refused() {
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\nX: content-length: 5\r\nContent-Lengthy: 5\r\nContent_Length: 5\r\n\r\n",
            "GET / HTTP/1.1\r\nReferer: /a#b\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length:\t 5 \r\n\r\nhello",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
        ] {
            assert_eq!(refused(request), None, "{request}");
        }
    }

    #[test]
    fn the_next_head_begins_where_the_body_ends() {
        let two = "content-length: 5\r\ncontent-length: 5\r\n\r\n";
        for first in [
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            "\r\n\r\nGET / HTTP/1.1\n\n\r\n".to_owned(),
            "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n".to_owned(),
            // What looks like a head in a body is none.
            format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{two}", two.len()),
            format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{:X} ;a\r\n{two}\r\n0\r\n\r\n", two.len()),
            format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{two}\r\n00\r\n{two}", two.len()),
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n\n\r\n0;\r\na: b\r\n\r\n".to_owned(),
            // Longer than what is kept of a line.
            format!(
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;{0}\r\na\r\n0\r\na: {0}\r\n\r\n",
                "b".repeat(300)
            ),
        ] {
            assert_eq!(refused(&format!("{first}GET /2 HTTP/1.1\r\n\r\n")), None, "{first}");
            assert_eq!(refused(&format!("{first}{BAD}")), Some(2), "{first}");
        }
    }

    #[test]
    fn a_request_after_a_body_whose_end_is_not_certain_is_refused() {
        for body in ["5\nhello\r\n", "0\r\na: b\n\r\n", "x\r\n", "\r\n", &"0".repeat(1000)] {
            let request = format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{body}\r\n");
            assert_eq!(refused(&request), Some(2), "{body}");
        }
        let long = format!("POST / HTTP/1.1\r\ncontent-length: {}5\r\n\r\n", "0".repeat(1000));
        assert_eq!(refused(&long), Some(1));
    }

    #[test]
    fn nothing_is_read_after_the_end() {
        let mut framing = Framing::default();
        framing.stop();
        assert_eq!(framing.read(BAD.as_bytes()), None);
    }
}
