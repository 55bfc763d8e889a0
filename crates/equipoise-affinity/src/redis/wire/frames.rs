use crate::scan;

/// The longest line: an error's text, or a number.
const LONGEST_LINE: usize = 1024;

/// The longest string. A binding has less than 300 bytes; a foreign value under one of our keys should cost its session,
/// not the connection.
const LONGEST_STRING: u32 = 64 * 1024;

/// Reads RESP2 without keeping it: where answers end, and that they are flat and small.
///
/// Source: the Redis serialization protocol specification, version 2.
#[derive(Debug, Default)]
pub(super) enum Frames {
    /// Between two answers.
    #[default]
    Between,
    /// In a line: of this kind, so long so far.
    Line { kind: Kind, len: usize, number: Number, cr: bool },
    /// In a string: so many bytes to go.
    String { left: u32 },
    /// Between a string and its answer's end.
    Tail { cr: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Length,
}

/// A decimal number as far as it has come in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number {
    negative: bool,
    digits: u8,
    value: u32,
}

impl Number {
    fn take(&mut self, byte: u8) -> bool {
        match byte {
            b'-' if self.digits == 0 && !self.negative => self.negative = true,
            // 19 digits are what 64 bits hold; only lengths are ever looked at, and those saturate.
            b'0'..=b'9' if self.digits < 19 => {
                self.digits += 1;
                self.value = self.value.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
            }
            _ => return false,
        }
        true
    }
}

impl Frames {
    /// Passes these bytes; how many answers have ended in them.
    ///
    /// # Errors
    ///
    /// When this is not what was asked for, or too much of it.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> Result<u64, &'static str> {
        let mut ended = 0;
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Self::String { left } = self {
                let here = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(*left);
                bytes = bytes.get(here as usize..).unwrap_or_default();
                *left -= here;
                if *left == 0 {
                    *self = Self::Tail { cr: false };
                }
                continue;
            }
            bytes = rest;
            ended += u64::from(self.step(scan::look(byte))?);
        }
        Ok(ended)
    }

    fn step(&mut self, byte: u8) -> Result<bool, &'static str> {
        match self {
            Self::Between => {
                let kind = match byte {
                    b'+' | b'-' => Kind::Text,
                    b':' => Kind::Integer,
                    b'$' => Kind::Length,
                    b'*' | b'%' | b'~' | b'>' | b'|' => return Err("an aggregate where a single value was due"),
                    _ => return Err("bytes that are not RESP"),
                };
                *self = Self::Line { kind, len: 0, number: Number::default(), cr: false };
                Ok(false)
            }
            Self::Line { kind, number, cr: true, .. } => {
                if byte != b'\n' {
                    return Err("a line that does not end");
                }
                if *kind != Kind::Text && number.digits == 0 {
                    return Err("a number without digits");
                }
                if *kind != Kind::Length || number.negative {
                    if *kind == Kind::Length && number.value != 1 {
                        return Err("a string of a negative length");
                    }
                    *self = Self::Between;
                    return Ok(true);
                }
                if number.value > LONGEST_STRING {
                    return Err("a string far too long for a binding");
                }
                *self = if number.value == 0 { Self::Tail { cr: false } } else { Self::String { left: number.value } };
                Ok(false)
            }
            Self::Line { kind, len, number, cr } => {
                *len += 1;
                if byte == b'\r' {
                    *cr = true;
                } else if *len > LONGEST_LINE {
                    return Err("a line without an end");
                } else if !byte.is_ascii() {
                    return Err("a line that is not ASCII");
                } else if *kind != Kind::Text && !number.take(byte) {
                    return Err("a number that is none");
                }
                Ok(false)
            }
            Self::Tail { cr: cr @ false } if byte == b'\r' => {
                *cr = true;
                Ok(false)
            }
            Self::Tail { cr: true } if byte == b'\n' => {
                *self = Self::Between;
                Ok(true)
            }
            Self::Tail { .. } => Err("a string longer than it said"),
            // `pass` takes strings in one go.
            Self::String { .. } => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(bytes: &[u8]) -> Result<u64, &'static str> {
        Frames::default().pass(bytes)
    }

    #[test]
    fn answers_are_counted_where_they_end() {
        assert_eq!(pass(b"+OK\r\n:-12\r\n$-1\r\n$0\r\n\r\n$5\r\n*\r\n$x\r\n-ERR no\r\n"), Ok(6));
        assert_eq!(pass(b"$5\r\nhell"), Ok(0));
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        for (bytes, how) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], "bytes that are not RESP"),
            (b"*1000000000\r\n", "an aggregate where a single value was due"),
            (b"$536870912\r\n", "a string far too long for a binding"),
            (b"$99999999999999999999999\r\n", "a number that is none"),
            (b"$-2\r\n", "a string of a negative length"),
            (b"$2\r\nabc\r\n", "a string longer than it said"),
            (b"$\r\n", "a number without digits"),
            (b":1.5\r\n", "a number that is none"),
            (b"-ERR \xff\r\n", "a line that is not ASCII"),
            (b"+OK\rx", "a line that does not end"),
            (&[b'+'; 2000], "a line without an end"),
        ] {
            assert_eq!(pass(bytes), Err(how), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn answers_are_read_in_linear_time() {
        for part in ["+OK\r\n", ":1\r\n", "$3\r\nabc\r\n", "$0\r\n\r\n", "-", "$9"] {
            scan::linear::is_linear(part, 1, |bytes| {
                let _ = pass(bytes);
            });
            // Also if they come one byte at a time.
            scan::linear::is_linear(part, 1, |bytes| {
                let mut frames = Frames::default();
                let _ = bytes.iter().try_for_each(|byte| frames.pass(&[*byte]).map(drop));
            });
        }
    }

    proptest! {
        #[test]
        fn any_bytes_pass_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = pass(&bytes);
        }

        #[test]
        fn where_reads_end_makes_no_difference(cut in 0_usize..60) {
            let whole = b"+OK\r\n:7\r\n$5\r\nhello\r\n$-1\r\n-ERR no such thing\r\n$0\r\n\r\n";
            let (one, other) = whole.split_at(cut.min(whole.len()));
            let mut frames = Frames::default();
            prop_assert_eq!(frames.pass(one).unwrap() + frames.pass(other).unwrap(), 6);
        }
    }
}
