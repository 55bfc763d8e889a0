use crate::scan;

/// Maximum length of an element that is read, in bytes. An address with its port has at most 47 bytes. The other parts
/// of a `Forwarded` element are the names of one or two hosts.
pub(super) const MAX_ELEMENT: usize = 512;

/// Iterates over the elements of a comma-separated list, from the last to the first, without the white space around
/// them. `None` stands for an element that is longer than [`MAX_ELEMENT`]. The iteration ends after it.
///
/// Each proxy appends on the right. An attacker may have written the text to the left of an element, so the element is
/// read without this text: a quote there without an end has no effect. Reading an element takes O([`MAX_ELEMENT`])
/// time, however long the list is.
#[derive(Debug)]
pub(super) struct FromRight<'a> {
    rest: Option<&'a [u8]>,
    quoting: bool,
}

impl<'a> FromRight<'a> {
    /// Reads a list without quoted strings: every comma separates elements.
    pub(super) fn plain(list: &'a [u8]) -> Self {
        Self { rest: Some(list), quoting: false }
    }

    /// Reads a list with quoted strings: a comma in quotes is part of an element (RFC 9110, section 5.6.4).
    pub(super) fn quoting(list: &'a [u8]) -> Self {
        Self { rest: Some(list), quoting: true }
    }
}

impl<'a> Iterator for FromRight<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let (unseen, seen) = rest.split_at(rest.len().saturating_sub(MAX_ELEMENT + 1));
        let comma = if self.quoting { unquoted_comma(seen) } else { scan::rfind(seen, |byte| byte == b',') };
        match comma {
            Some(at) => {
                self.rest = rest.get(..unseen.len() + at);
                Some(seen.get(at + 1..).map(scan::trim))
            }
            // A text of at most `MAX_ELEMENT` bytes was read completely, so it is the first element of the list.
            None => Some((seen.len() <= MAX_ELEMENT).then(|| scan::trim(seen))),
        }
    }
}

/// Returns the position of the last comma outside quoted strings.
///
/// The text is read from right to left, so a quote first ends a string. The string begins at the next quote to the left
/// with an even number of backslashes before it. With an odd number, the last backslash escapes the quote.
fn unquoted_comma(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in scan::bytes(text).enumerate().rev() {
        match byte {
            b'"' if quoted => {
                let before = text.get(..at).unwrap_or_default();
                quoted = scan::bytes(before).rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
            }
            b'"' => quoted = true,
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(list: &str) -> Vec<&str> {
        texts(FromRight::plain(list.as_bytes()))
    }

    fn quoting(list: &str) -> Vec<&str> {
        texts(FromRight::quoting(list.as_bytes()))
    }

    fn texts(elements: FromRight<'_>) -> Vec<&str> {
        elements.map(|element| element.map_or("(too long)", |text| std::str::from_utf8(text).unwrap())).collect()
    }

    #[test]
    fn elements_come_from_the_right() {
        assert_eq!(plain("a, b ,\tc"), ["c", "b", "a"]);
        assert_eq!(plain(""), [""]);
        assert_eq!(plain(",a,,"), ["", "", "a", ""]);
        assert_eq!(plain("\"a,b\""), ["b\"", "\"a"]);
    }

    #[test]
    fn quotes_hide_commas() {
        assert_eq!(quoting(r#"a="1,2", b="3\",4", c="5\\", d"#), ["d", r#"c="5\\""#, r#"b="3\",4""#, r#"a="1,2""#]);
    }

    #[test]
    fn what_stands_to_the_left_changes_nothing_of_the_right() {
        for left in [r#"for=""#, r#"for="\"#, r#"for="a\\"#, r#"""#, r#"""""#, r"\", r#"for="1.2.3.4"#] {
            let list = format!(r#"{left},for="[2001:db8::1]";by="a,b",for=c"#);
            assert_eq!(quoting(&list)[..2], ["for=c", r#"for="[2001:db8::1]";by="a,b""#], "{list}");
        }
    }

    #[test]
    fn elements_that_are_too_long_end_it() {
        let (longest, longer) = ("x".repeat(MAX_ELEMENT), "x".repeat(MAX_ELEMENT + 1));
        assert_eq!(plain(&longest), [&longest]);
        assert_eq!(plain(&longer), ["(too long)"]);
        assert_eq!(plain(&format!("a,{longest},b")), ["b", &longest, "a"]);
        assert_eq!(plain(&format!("a,{longer},b")), ["b", "(too long)"]);
        assert_eq!(quoting(&format!("a,\"{},\",b", "\\".repeat(MAX_ELEMENT))), ["b", "(too long)"]);
    }

    proptest! {
        #[test]
        fn well_formed_ends_stand_whatever_is_before_them(before in "[ -~]{0,40}", value in "[ -~]{0,20}") {
            let element = format!("x=\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""));
            let list = format!("{before},{element}");
            prop_assert_eq!(quoting(&list)[0], element);
        }

        #[test]
        fn plain_lists_are_what_splitting_makes_of_them(list in "[a,\" \\\\]{0,40}") {
            prop_assert_eq!(plain(&list), list.rsplit(',').map(str::trim_ascii).collect::<Vec<_>>());
        }
    }
}
