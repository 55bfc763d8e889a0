//! Targeted fields such as `CDN-Cache-Control` (RFC 9213): dictionaries of Structured Fields (RFC 9651).

use http::{HeaderMap, HeaderName};

use super::control::{Directive, ResponseControl};

/// Reads the first of the targeted fields that is present, valid and not empty. `None` if there is none: then
/// `Cache-Control` and `Expires` count.
pub(crate) fn of(headers: &HeaderMap, targets: &[HeaderName]) -> Option<ResponseControl> {
    targets.iter().find_map(|target| {
        let mut values = headers.get_all(target).iter();
        let first = values.next()?.as_bytes().to_vec();
        let text = values.fold(first, |mut text, value| {
            text.extend_from_slice(b", ");
            text.extend_from_slice(value.as_bytes());
            text
        });
        read(&text)
    })
}

fn read(text: &[u8]) -> Option<ResponseControl> {
    let mut reader = Reader { rest: text.trim_ascii() };
    if reader.rest.is_empty() {
        return None;
    }
    // The last member of a name counts (RFC 9651, 4.2.2).
    let mut items: [Option<Item<'_>>; KNOWN.len()] = Default::default();
    loop {
        let name = reader.key()?;
        let item = if reader.eat(b'=') { reader.member()? } else { Item::Boolean(true) };
        reader.parameters()?;
        if let Some(place) = KNOWN.iter().position(|known| *known == name).and_then(|index| items.get_mut(index)) {
            *place = Some(item);
        }
        reader.whitespace();
        if reader.rest.is_empty() {
            break;
        }
        if !reader.eat(b',') {
            return None;
        }
        reader.whitespace();
        if reader.rest.is_empty() {
            // A dictionary does not end with a comma.
            return None;
        }
    }
    let mut control = ResponseControl::default();
    for (name, item) in KNOWN.iter().zip(items) {
        let seconds = SECONDS.contains(name);
        let value = match item {
            None => continue,
            Some(Item::Integer(text)) if seconds => Some(text),
            Some(Item::Boolean(false)) if !seconds => continue,
            // A time of another type is invalid, so the response is stale, as with such a time in `Cache-Control`. To ignore
            // the field would ignore its `no-store` too. A list of fields, or another value, applies to the whole
            // response, so that nothing is stored that the field may forbid.
            Some(_) => None,
        };
        control.add(&Directive { name, value: value.map(Into::into), malformed: false });
    }
    Some(control)
}

const SECONDS: &[&[u8]] = &[b"max-age", b"s-maxage", b"stale-while-revalidate", b"stale-if-error"];
const KNOWN: &[&[u8]] = &[
    b"max-age",
    b"s-maxage",
    b"stale-while-revalidate",
    b"stale-if-error",
    b"no-store",
    b"no-cache",
    b"private",
    b"public",
    b"must-revalidate",
    b"proxy-revalidate",
    b"must-understand",
];

enum Item<'a> {
    Integer(&'a [u8]),
    Boolean(bool),
    Other,
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn take_while(&mut self, matches: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().position(|byte| !matches(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn whitespace(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        self.peek().filter(|byte| byte.is_ascii_lowercase() || *byte == b'*')?;
        Some(self.take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)))
    }

    fn member(&mut self) -> Option<Item<'a>> {
        if !self.eat(b'(') {
            return self.item();
        }
        loop {
            self.take_while(|byte| byte == b' ');
            if self.eat(b')') {
                return Some(Item::Other);
            }
            self.item()?;
            self.parameters()?;
            if !matches!(self.peek()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.take_while(|byte| byte == b' ');
            self.key()?;
            if self.eat(b'=') {
                self.item()?;
            }
        }
        Some(())
    }

    fn item(&mut self) -> Option<Item<'a>> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => {
                self.eat(b'"');
                self.string()
            }
            b'?' => {
                self.eat(b'?');
                let value = self.eat(b'1');
                (value || self.eat(b'0')).then_some(Item::Boolean(value))
            }
            b':' => {
                self.eat(b':');
                self.take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.eat(b':').then_some(Item::Other)
            }
            b'@' => {
                self.eat(b'@');
                self.number().filter(|item| matches!(item, Item::Integer(_))).map(|_| Item::Other)
            }
            b'%' => {
                self.eat(b'%');
                self.eat(b'"').then_some(())?;
                self.take_while(|byte| (b' '..=b'~').contains(&byte) && byte != b'"');
                self.eat(b'"').then_some(Item::Other)
            }
            byte if byte.is_ascii_alphabetic() || byte == b'*' => {
                self.take_while(|byte| super::control::is_token(byte) || b":/".contains(&byte));
                Some(Item::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Item<'a>> {
        let negative = self.eat(b'-');
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if self.eat(b'.') {
            let fraction = self.take_while(|byte| byte.is_ascii_digit());
            return ((1..=12).contains(&digits.len()) && (1..=3).contains(&fraction.len())).then_some(Item::Other);
        }
        if !(1..=15).contains(&digits.len()) {
            return None;
        }
        // A negative number of seconds is read as an invalid one.
        Some(Item::Integer(if negative { b"-" } else { digits }))
    }

    fn string(&mut self) -> Option<Item<'a>> {
        loop {
            self.take_while(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\');
            if self.eat(b'"') {
                return Some(Item::Other);
            }
            if !(self.eat(b'\\') && (self.eat(b'"') || self.eat(b'\\'))) {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::rules::control::Seconds;

    #[test]
    fn a_dictionary_is_read() {
        let control =
            read(b"max-age=60;a=1, public, ext=(\"a\" b;c 1.5), no-store=?0, stale-if-error=5").expect("valid");
        assert_eq!((control.max_age, control.stale_if_error), (Seconds::Of(60), Seconds::Of(5)));
        assert!(control.public && !control.no_store);
        assert!(read(b"private=\"a\"").expect("valid").private.is_whole());
    }

    #[test]
    fn the_last_member_of_a_name_counts() {
        assert_eq!(read(b"max-age=60, max-age=1").expect("valid").max_age, Seconds::Of(1));
    }

    #[test]
    fn a_time_of_another_type_makes_the_response_stale_and_leaves_other_directives() {
        for time in ["\"60\"", "60.5", "?0", "(60)", "x", "-1"] {
            let control = read(format!("no-store, max-age={time}").as_bytes()).expect("valid");
            assert_eq!((control.max_age, control.no_store), (Seconds::Invalid, true), "{time}");
        }
    }

    #[test]
    fn what_is_no_dictionary_is_ignored() {
        for text in [
            "",
            "max-age=60, &&&",
            "MAX-AGE=60",
            "max-age =60",
            "max-age= 60",
            "max-age=60,",
            "a=\"",
            "a=(",
            "a=1.",
            "a=?2",
            "a=:",
            "max-age=60 b",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn texts_near_the_grammar_are_read_without_panic(text in "[a-c*=?:@%;,()\" \\\\0-2.-]{0,40}") {
            let _ = read(text.as_bytes());
        }
    }
}
