use std::{borrow::Cow, net::IpAddr};

use http::HeaderName;

use super::address;
use crate::{read::is_token_byte, scan};

/// The header in which trusted proxies report the address of their client. Choose the header that your proxies write.
/// No other header is read, because proxies pass on other headers as the client wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// The header `X-Forwarded-For`: a list of addresses. Each proxy appends the address of its own client.
    XForwardedFor,
    /// The header `Forwarded` (RFC 7239): a list of elements. Each proxy appends an element. The parameter `for` of
    /// this element is the address of the proxy's own client. The list is read from right to left. Reading stops at an
    /// element whose `for` is missing or is not an address (such as `unknown` or `_hidden`). The last address that was
    /// read is then the client's.
    Forwarded,
    /// A header of this name with a single address, such as `X-Real-IP`, `CF-Connecting-IP` or `True-Client-IP`. The
    /// outermost proxy must replace what the client wrote in this header. If the header has several lines, or is not a
    /// single address, it is ignored. The client's address is then the address of the proxy.
    Single(HeaderName),
}

impl ForwardedHeader {
    /// Returns the kind of header as a label: `x_forwarded_for`, `forwarded` or `single`. Labels are stable.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::XForwardedFor => "x_forwarded_for",
            Self::Forwarded => "forwarded",
            Self::Single(_) => "single",
        }
    }
}

/// Returns the address in one element of a `Forwarded` header. The element has pairs separated by `;`, whose values are
/// tokens or quoted strings. Returns `None` if the element is invalid or has more than one `for`.
///
/// Two things are accepted that RFC 7239, section 4 does not allow: colons and brackets in an unquoted value, and white
/// space around semicolons.
pub(super) fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let (mut rest, mut found) = (element, None);
    loop {
        rest = skip_space(rest);
        // Nothing is also allowed between two semicolons and after the last one.
        if !matches!(rest.first(), None | Some(b';')) {
            let equals = scan::find(rest, |byte| !is_token_byte(byte)).filter(|&at| at > 0)?;
            let (name, after) = rest.split_at_checked(equals)?;
            let (value, after) = value(after.strip_prefix(b"=")?)?;
            if name.eq_ignore_ascii_case(b"for") && found.replace(address::parse(&value)?).is_some() {
                return None;
            }
            rest = after;
        }
        match rest.split_first() {
            Some((b';', after)) => rest = after,
            Some(_) => return None,
            None => return found,
        }
    }
}

/// Parses the value at the start of `text`. Returns the value and the text after it. In a valid element, this text is
/// empty or begins with a semicolon.
fn value(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = scan::find(text, |byte| byte == b';').unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end)?;
        let end = scan::rfind(value, |byte| !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
        let value = value.get(..end)?;
        return (!value.is_empty() && scan::find(value, |byte| byte == b'"').is_none())
            .then_some((Cow::Borrowed(value), after));
    };
    let (mut value, mut bytes) = (Vec::new(), quoted.iter());
    loop {
        match scan::look(*bytes.next()?) {
            b'"' => return Some((Cow::Owned(value), skip_space(bytes.as_slice()))),
            b'\\' => value.push(*bytes.next()?),
            byte => value.push(byte),
        }
    }
}

fn skip_space(text: &[u8]) -> &[u8] {
    let begin = scan::find(text, |byte| !byte.is_ascii_whitespace()).unwrap_or(text.len());
    text.get(begin..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_name_clients() {
        for (element, address) in [
            ("for=192.0.2.43", "192.0.2.43"),
            ("For=192.0.2.43", "192.0.2.43"),
            (r#"FOR="192.0.2.43:47011""#, "192.0.2.43"),
            (r#"for="[2001:db8:cafe::17]:4711""#, "2001:db8:cafe::17"),
            (r#"for="[2001:db8:cafe::17]:_port""#, "2001:db8:cafe::17"),
            (r#"for="192.0.2\.43""#, "192.0.2.43"),
            ("for=192.0.2.43;proto=http;by=203.0.113.43", "192.0.2.43"),
            ("proto=http; by=203.0.113.43 ;for=192.0.2.43 ; host=a", "192.0.2.43"),
            (r#"host="a;for=6.6.6.6";for=192.0.2.43;secret="\"for=6.6.6.6""#, "192.0.2.43"),
            (r#"by="";for=192.0.2.43;"#, "192.0.2.43"),
            (";;for=192.0.2.43", "192.0.2.43"),
            ("for=[2001:db8::1]:80", "2001:db8::1"),
            ("for=192.0.2.43:80;host=\"\u{e4}\"", "192.0.2.43"),
        ] {
            assert_eq!(forwarded_for(element.as_bytes()), address.parse().ok(), "{element}");
        }
    }

    #[test]
    fn elements_without_an_address_are_recognized() {
        for element in [
            "",
            ";",
            "for",
            "for=",
            "for=\"\"",
            "for=unknown",
            "for=_hidden",
            "for=\"_gazonk\"",
            "by=203.0.113.43;proto=http",
            "for=192.0.2.43;for=192.0.2.43",
            "for=192.0.2.43;for=unknown",
            "for=\"192.0.2.43",
            "for=\"192.0.2.43\\",
            "for=\"192.0.2.43\"x",
            "for=192.0.2.43;x",
            "for=192.0.2.43;=x",
            "for =192.0.2.43",
            "for= 192.0.2.43",
            "for=192.0.2.43\"\"",
            "192.0.2.43",
            "x for=192.0.2.43",
            "xfor=192.0.2.43",
        ] {
            assert_eq!(forwarded_for(element.as_bytes()), None, "{element}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(element in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = forwarded_for(&element);
        }

        #[test]
        fn nothing_near_the_grammar_is_too_much(element in "(for|FOR|by|=|;|\"|\\\\|1.2.3.4|\\[::1\\]| |,){0,12}") {
            let _ = forwarded_for(element.as_bytes());
        }
    }
}
