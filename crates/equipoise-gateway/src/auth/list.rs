use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What would end an element, or look like an encoded byte.
const ELEMENT: &AsciiSet = &CONTROLS.add(b'%').add(b',');

/// Returns the elements of a list as the value of an attribute of an [`Identity`](crate::Identity): joined by `,`. A
/// `,`, a `%` and control characters in an element are percent-encoded, so that no element can be read as two. Empty
/// elements are left out.
///
/// ```
/// use equipoise_gateway::{Identity, Mechanism, auth::join_list};
///
/// let groups = join_list(["ops", "Domain Users", "a,b"]);
/// assert_eq!(groups, "ops,Domain Users,a%2Cb");
/// let identity = Identity::new("ann", Mechanism::Custom).attribute("groups", groups);
/// # drop(identity);
/// ```
pub fn join_list<T: AsRef<str>>(elements: impl IntoIterator<Item = T>) -> String {
    let mut list = String::new();
    for element in elements {
        if element.as_ref().is_empty() {
            continue;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.extend(utf8_percent_encode(element.as_ref(), ELEMENT));
    }
    list
}

/// Returns whether a list, as [`join_list`] writes it, has an element. Spaces around elements do not count.
pub(super) fn list_contains(list: &str, element: &str) -> bool {
    let encoded = utf8_percent_encode(element, ELEMENT);
    let mut encoded = encoded.peekable();
    encoded.peek().is_some() && {
        let encoded: String = encoded.collect();
        list.split(',').any(|found| found.trim_matches(' ') == encoded)
    }
}

/// Returns the lines of a file that are not empty and no comments, with their numbers from 1. Spaces around them, and a
/// byte order mark at the start, are removed.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim);
    (1..).zip(lines).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Parses `name=value` of a line, in which `:` and `%` are percent-encoded.
pub(super) fn attribute(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
    Some((decoded(name)?, decoded(value)?))
}

/// Decodes a text of a line. `None` if it is not UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_element_cannot_look_like_two() {
        let list = join_list(["x,admin", "y%2Cadmin", ""]);
        assert_eq!(list, "x%2Cadmin,y%252Cadmin");
        assert!(!list_contains(&list, "admin") && list_contains(&list, "x,admin") && !list_contains(&list, ""));
        assert!(list_contains("a, b", "b") && !list_contains("", "") && !list_contains("a,,b", ""));
    }

    proptest! {
        #[test]
        fn a_list_contains_its_elements_and_no_other(
            elements in proptest::collection::vec("[a-c,% ]{1,4}", 0..5),
            other in "[a-c,% ]{1,4}",
        ) {
            let elements: Vec<_> = elements.iter().map(|element| element.trim_matches(' ')).collect();
            let other = other.trim_matches(' ');
            let list = join_list(&elements);
            prop_assert!(elements.iter().all(|element| element.is_empty() || list_contains(&list, element)));
            prop_assert_eq!(list_contains(&list, other), !other.is_empty() && elements.contains(&other));
        }
    }
}
