//! The scanner of textual specs: it reads a text from left to right, token by token.

use std::collections::BTreeMap;

/// A position in a text, such as the position of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of bytes of the text before the position. 0 is the start of the text.
    pub byte: usize,
    /// The number of `char`s of the text before the position. 0 is the start of the text.
    pub character: usize,
}

/// A syntax error: something else was expected at this position.
#[derive(Debug)]
pub(super) struct Unexpected {
    pub(super) expected: &'static str,
    pub(super) found: Option<char>,
    pub(super) at: Position,
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    byte: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, byte: 0 }
    }

    /// Returns the number of bytes that have been read.
    pub(super) fn byte(&self) -> usize {
        self.byte
    }

    /// Goes back to a position that [`byte`](Self::byte) has returned.
    pub(super) fn back_to(&mut self, byte: usize) {
        self.byte = byte;
    }

    /// Converts a number of bytes into a [`Position`]. It counts characters from the beginning of the text, so only
    /// errors use it.
    pub(super) fn position(&self, byte: usize) -> Position {
        Position { byte, character: self.text[..byte].chars().map(look).count() }
    }

    pub(super) fn expected(&self, expected: &'static str) -> Unexpected {
        Unexpected { expected, found: self.peek(), at: self.position(self.byte) }
    }

    /// Returns the text that was read since `begin`. If nothing was read, returns the text before the next comma or
    /// closing bracket.
    pub(super) fn read_since(&self, begin: usize) -> &'a str {
        let rest = &self.text[begin..];
        match self.byte - begin {
            0 => &rest[..rest.find([',', ')']).unwrap_or(rest.len())],
            length => &rest[..length],
        }
    }

    pub(super) fn end(&mut self) -> Result<(), Unexpected> {
        self.space();
        if self.peek().is_none() { Ok(()) } else { Err(self.expected("the end of the text")) }
    }

    pub(super) fn space(&mut self) {
        self.while_is(char::is_whitespace);
    }

    /// Reads all characters that need no quotes, up to the first other character. The result may be empty.
    pub(super) fn word(&mut self) -> &'a str {
        self.while_is(is_plain)
    }

    /// Skips white space, and then `wanted` if it is the next character. Returns whether it was.
    pub(super) fn takes(&mut self, wanted: char) -> bool {
        self.space();
        let found = self.peek() == Some(wanted);
        if found {
            self.byte += wanted.len_utf8();
        }
        found
    }

    /// Reads a text in quotes or a word. Returns `None` if neither comes next.
    pub(super) fn text(&mut self) -> Result<Option<String>, Unexpected> {
        if !self.takes('"') {
            let word = self.word();
            return Ok((!word.is_empty()).then(|| word.to_owned()));
        }
        let mut text = String::new();
        loop {
            let next = match self.next() {
                Some('"') => return Ok(Some(text)),
                Some('\\') => self.next(),
                next => next,
            };
            text.push(next.ok_or_else(|| self.expected("a closing quote"))?);
        }
    }

    /// Reads `{text, …}`. Returns `None` if no curly bracket comes next.
    pub(super) fn list(&mut self) -> Result<Option<Vec<String>>, Unexpected> {
        let mut texts = Vec::new();
        let found = self.braced(|scanner| {
            texts.push(scanner.text()?.ok_or_else(|| scanner.expected("a text"))?);
            Ok(())
        })?;
        Ok(found.then_some(texts))
    }

    /// Reads `{name=text, …}`. Returns `None` if no curly bracket comes next.
    pub(super) fn texts_by_name(&mut self) -> Result<Option<BTreeMap<String, String>>, Unexpected> {
        let mut texts = BTreeMap::new();
        let found = self.braced(|scanner| {
            let begin = scanner.byte;
            let name = scanner.text()?.ok_or_else(|| scanner.expected("a name"))?;
            if !scanner.takes('=') {
                return Err(scanner.expected("\"=\" and a text"));
            }
            scanner.space();
            let text = scanner.text()?.ok_or_else(|| scanner.expected("a text"))?;
            if texts.insert(name, text).is_some() {
                scanner.byte = begin;
                return Err(scanner.expected("a name that is not in the list yet"));
            }
            Ok(())
        })?;
        Ok(found.then_some(texts))
    }

    /// Reads `{name=number, …}`. Returns `None` if no curly bracket comes next.
    pub(super) fn numbers_by_name(&mut self) -> Result<Option<BTreeMap<String, u32>>, Unexpected> {
        let mut numbers = BTreeMap::new();
        let found = self.braced(|scanner| {
            let name_begin = scanner.byte;
            let name = scanner.text()?.ok_or_else(|| scanner.expected("a name"))?;
            if !scanner.takes('=') {
                return Err(scanner.expected("\"=\" and a whole number"));
            }
            scanner.space();
            let begin = scanner.byte;
            let Some(number) = whole(scanner.word()).and_then(|number| number.try_into().ok()) else {
                scanner.byte = begin;
                return Err(scanner.expected("a whole number below 2^32"));
            };
            if numbers.insert(name, number).is_some() {
                scanner.byte = name_begin;
                return Err(scanner.expected("a name that is not in the list yet"));
            }
            Ok(())
        })?;
        Ok(found.then_some(numbers))
    }

    /// Reads items in curly brackets, separated by commas. Returns `false` if no curly bracket comes next.
    fn braced(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Unexpected>) -> Result<bool, Unexpected> {
        if !self.takes('{') {
            return Ok(false);
        }
        if self.takes('}') {
            return Ok(true);
        }
        loop {
            self.space();
            item(self)?;
            if self.takes('}') {
                return Ok(true);
            }
            if !self.takes(',') {
                return Err(self.expected("\",\" or \"}\""));
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.byte..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = look(self.peek()?);
        self.byte += next.len_utf8();
        Some(next)
    }

    fn while_is(&mut self, holds: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.byte..];
        let passed = &rest[..rest.find(|c| !holds(look(c))).unwrap_or(rest.len())];
        self.byte += passed.len();
        passed
    }
}

/// Returns whether a character needs no quotes. Names and numbers consist of such characters.
pub(super) fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "-_.:/+".contains(c)
}

/// Parses a whole number, in decimal digits, or in hexadecimal digits after `0x`.
pub(super) fn whole(word: &str) -> Option<u64> {
    let (digits, radix) = word.strip_prefix("0x").map_or((word, 10), |digits| (digits, 16));
    // Rust would take a sign.
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
}

/// Returns a character that the scanner reads. Unit tests count these calls.
fn look(seen: char) -> char {
    #[cfg(all(test, not(loom)))]
    READ.set(READ.get() + 1);
    seen
}

#[cfg(all(test, not(loom)))]
thread_local! {
    /// How many characters scanners have read on this thread.
    pub(super) static READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
