//! `Cache-Control` (RFC 9111, 5.2): one linear parser for requests and responses.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header::CACHE_CONTROL, header::PRAGMA};

/// The largest number of seconds that counts (RFC 9111, 1.2.2). Larger ones are read as this one.
pub(crate) const MAX_SECONDS: u64 = 1 << 31;

/// One directive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive<'a> {
    /// The name as it was sent.
    pub(super) name: &'a [u8],
    /// The value without its quotes.
    pub(super) value: Option<Cow<'a, [u8]>>,
    /// Whether it does not have the form `name`, `name=token` or `name="text"`.
    pub(super) malformed: bool,
}

/// Splits the value of a field into directives. A comma in a quoted string does not separate. O(length).
pub(super) struct Directives<'a>(&'a [u8]);

impl<'a> Directives<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self(value)
    }
}

impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Directive<'a>> {
        let start = self.0.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
        let rest = self.0.get(start..)?;
        let name_len = rest.iter().position(|byte| !is_token(*byte)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(name_len);
        let (value, rest) = match rest.split_first() {
            Some((b'=', after)) => match after.split_first() {
                Some((b'"', quoted)) => match unquoted(quoted) {
                    Some((text, rest)) => (Some(text), rest),
                    None => {
                        // The string does not end: what follows belongs to it.
                        self.0 = &[];
                        return Some(Directive { name, value: None, malformed: true });
                    }
                },
                _ => {
                    let len = after.iter().position(|byte| !is_token(*byte)).unwrap_or(after.len());
                    let (token, rest) = after.split_at(len);
                    (Some(Cow::Borrowed(token)), rest)
                }
            },
            _ => (None, rest),
        };
        let end = end_of_member(rest);
        let (junk, rest) = rest.split_at(end);
        let malformed = name.is_empty() || !junk.trim_ascii().is_empty();
        self.0 = rest;
        Some(Directive { name, value, malformed })
    }
}

/// Returns the text of a quoted string and what follows its closing quote. `None` if it has no closing quote.
fn unquoted(quoted: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut escaped = false;
    let mut has_escapes = false;
    let end = quoted.iter().position(|byte| {
        let closing = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        has_escapes |= escaped;
        closing
    })?;
    let (text, rest) = quoted.split_at(end);
    let text = if has_escapes {
        let mut plain = Vec::with_capacity(text.len());
        let mut escaped = false;
        for byte in text {
            escaped = *byte == b'\\' && !escaped;
            if !escaped {
                plain.push(*byte);
            }
        }
        Cow::Owned(plain)
    } else {
        Cow::Borrowed(text)
    };
    Some((text, rest.get(1..).unwrap_or_default()))
}

/// Returns the position of the next comma that is outside of a quoted string, or the length.
fn end_of_member(bytes: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let comma = bytes.iter().position(|byte| {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b',' if !quoted => return true,
            _ => {}
        }
        escaped = quoted && *byte == b'\\' && !escaped;
        false
    });
    comma.unwrap_or(bytes.len())
}

pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads a number of seconds: digits only. A number that is too large becomes [`MAX_SECONDS`].
pub(super) fn seconds(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(number.min(MAX_SECONDS))
}

/// A number of seconds in a directive that may be missing, invalid, or repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Seconds {
    #[default]
    Missing,
    /// Not a number, or different numbers.
    Invalid,
    Of(u64),
}

impl Seconds {
    fn add(&mut self, directive: &Directive<'_>) {
        let new = directive.value.as_deref().filter(|_| !directive.malformed).and_then(seconds);
        *self = match (*self, new) {
            (Self::Missing, Some(new)) => Self::Of(new),
            (Self::Of(old), Some(new)) if old == new => Self::Of(new),
            _ => Self::Invalid,
        };
    }

    /// The number. An invalid one is 0: a response with invalid freshness is stale (RFC 9111, 4.2.1).
    pub(crate) fn or_stale(self) -> Option<u64> {
        match self {
            Self::Missing => None,
            Self::Invalid => Some(0),
            Self::Of(seconds) => Some(seconds),
        }
    }

    /// The number, unless it is invalid.
    pub(crate) fn valid(self) -> Option<u64> {
        match self {
            Self::Of(seconds) => Some(seconds),
            Self::Missing | Self::Invalid => None,
        }
    }
}

/// A directive that may name fields: `no-cache="set-cookie"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    #[default]
    Missing,
    /// It applies to these fields only.
    Fields(Vec<HeaderName>),
    /// It applies to the whole response.
    Whole,
}

impl Scope {
    /// A list of fields that cannot be read stands for the whole response.
    fn add(&mut self, directive: &Directive<'_>) {
        let names = directive.value.as_deref().filter(|_| !directive.malformed).and_then(|value| {
            let names: Option<Vec<_>> = value
                .split(|byte| *byte == b',')
                .map(<[u8]>::trim_ascii)
                .filter(|name| !name.is_empty())
                .map(|name| HeaderName::from_bytes(name).ok())
                .collect();
            names.filter(|names| !names.is_empty())
        });
        match (names, self) {
            (Some(new), Self::Fields(names)) => names.extend(new),
            (Some(new), this @ Self::Missing) => *this = Self::Fields(new),
            (Some(_), Self::Whole) => {}
            (None, this) => *this = Self::Whole,
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    pub(crate) fn fields(&self) -> &[HeaderName] {
        if let Self::Fields(names) = self { names } else { &[] }
    }
}

/// The directives of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseControl {
    pub(crate) no_store: bool,
    pub(crate) no_cache: Scope,
    pub(crate) private: Scope,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) max_age: Seconds,
    pub(crate) s_maxage: Seconds,
    pub(crate) stale_while_revalidate: Seconds,
    pub(crate) stale_if_error: Seconds,
}

impl ResponseControl {
    /// Reads `Cache-Control`, or `Pragma` if there is none.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        if !headers.contains_key(CACHE_CONTROL) {
            // Not in the standard for responses, but servers mean it.
            if pragma_no_cache(headers) {
                control.no_cache = Scope::Whole;
            }
            return control;
        }
        for value in headers.get_all(CACHE_CONTROL) {
            Directives::new(value.as_bytes()).for_each(|directive| control.add(&directive));
        }
        control
    }

    pub(super) fn add(&mut self, directive: &Directive<'_>) {
        let is = |name: &str| directive.name.eq_ignore_ascii_case(name.as_bytes());
        if is("max-age") {
            self.max_age.add(directive);
        } else if is("s-maxage") {
            self.s_maxage.add(directive);
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache.add(directive);
        } else if is("private") {
            self.private.add(directive);
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate.add(directive);
        } else if is("stale-if-error") {
            self.stale_if_error.add(directive);
        }
    }
}

/// The directives of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestControl {
    pub(crate) no_store: bool,
    pub(crate) no_cache: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) max_age: Seconds,
    pub(crate) min_fresh: Seconds,
    /// `max-stale` without a number is [`MAX_SECONDS`].
    pub(crate) max_stale: Seconds,
}

impl RequestControl {
    /// Reads `Cache-Control`, or `Pragma` if there is none.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        if !headers.contains_key(CACHE_CONTROL) {
            control.no_cache = pragma_no_cache(headers);
            return control;
        }
        for value in headers.get_all(CACHE_CONTROL) {
            Directives::new(value.as_bytes()).for_each(|directive| control.add(&directive));
        }
        control
    }

    fn add(&mut self, directive: &Directive<'_>) {
        let is = |name: &str| directive.name.eq_ignore_ascii_case(name.as_bytes());
        if is("max-age") {
            self.max_age.add(directive);
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("min-fresh") {
            self.min_fresh.add(directive);
        } else if is("max-stale") && directive.value.is_none() && !directive.malformed {
            self.max_stale = Seconds::Of(MAX_SECONDS);
        } else if is("max-stale") {
            self.max_stale.add(directive);
        }
    }
}

fn pragma_no_cache(headers: &HeaderMap) -> bool {
    headers.get_all(PRAGMA).iter().any(|value| {
        Directives::new(value.as_bytes()).any(|directive| directive.name.eq_ignore_ascii_case(b"no-cache"))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn response(lines: &[&str]) -> ResponseControl {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(line).expect("a value"));
        }
        ResponseControl::of(&headers)
    }

    #[test]
    fn names_ignore_case_and_numbers_are_bounded() {
        assert_eq!(response(&["MaX-AgE=0060"]).max_age, Seconds::Of(60));
        assert_eq!(response(&["max-age=99999999999999999999999"]).max_age, Seconds::Of(MAX_SECONDS));
        assert_eq!(response(&["max-age=\"60\""]).max_age, Seconds::Of(60));
    }

    #[test]
    fn invalid_numbers_are_stale() {
        for value in [
            "max-age",
            "max-age=",
            "max-age=-1",
            "max-age='60'",
            "max-age=6.0",
            "max-age=60a",
            "max-age =60",
            "max-age= 60",
            "max-age=60 60",
            "max-age=\"60",
            "max-age=60, max-age=61",
        ] {
            assert_eq!(response(&[value]).max_age.or_stale(), Some(0), "{value}");
        }
        assert_eq!(response(&["max-age=60", "max-age=60"]).max_age, Seconds::Of(60));
        assert_eq!(response(&["max-age=60", "max-age=1"]).max_age, Seconds::Invalid);
    }

    #[test]
    fn directives_in_quoted_strings_are_text() {
        assert_eq!(response(&["ext=\"a, max-age=60, \\\", no-store\", max-age=1"]).max_age, Seconds::Of(1));
        assert!(!response(&["ext=\"a, no-store\""]).no_store);
    }

    #[test]
    fn a_list_of_fields_limits_the_scope() {
        let control = response(&["no-cache=\"set-cookie, X-A\", private=\"X-B\""]);
        assert_eq!(control.no_cache.fields(), ["set-cookie", "x-a"]);
        assert_eq!(control.private.fields(), ["x-b"]);
        assert!(response(&["no-cache=\"a b\""]).no_cache.is_whole());
        assert!(response(&["no-cache=\"a\", no-cache"]).no_cache.is_whole());
    }

    #[test]
    fn pragma_counts_without_cache_control_only() {
        let mut headers = HeaderMap::new();
        headers.insert(PRAGMA, HeaderValue::from_static("foo, No-Cache"));
        assert!(RequestControl::of(&headers).no_cache);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-stale"));
        assert!(!RequestControl::of(&headers).no_cache);
        assert_eq!(RequestControl::of(&headers).max_stale, Seconds::Of(MAX_SECONDS));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut control = ResponseControl::default();
            let mut count = 0;
            for directive in Directives::new(&bytes) {
                control.add(&directive);
                count += 1;
            }
            prop_assert!(count <= bytes.len());
        }

        #[test]
        fn a_written_number_is_read(number in 0..MAX_SECONDS, before in "[a-z]{0,9}", spaces in " {0,3}") {
            let text = format!("{before},{spaces}max-age={number}{spaces},");
            prop_assert_eq!(response(&[&text]).max_age, Seconds::Of(number));
        }
    }
}
