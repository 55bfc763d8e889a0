//! `Vary` (RFC 9111, 4.1): which request fields select a stored response, in a normal form.

use std::{cmp::Ordering, collections::BTreeSet, sync::LazyLock};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, VARY},
};

/// The request fields that a response names, with their normal values.
pub(crate) type Selecting = Vec<(HeaderName, Vec<HeaderValue>)>;

/// A response that names more fields than this is not stored: hardly any other request would select it.
const MAX_FIELDS: usize = 16;

/// Returns the names of the fields in `Vary`, sorted. `None` if no other request selects the response: `Vary` has a
/// `*`, a text that is no name, or too many names.
pub(crate) fn names(response: &HeaderMap) -> Option<BTreeSet<Name>> {
    let mut names = BTreeSet::new();
    for value in response.get_all(VARY) {
        for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if name.is_empty() {
                continue;
            }
            let name = HeaderName::from_bytes(name).ok().filter(|name| name != "*")?;
            names.insert(Name(name));
            if names.len() > MAX_FIELDS {
                return None;
            }
        }
    }
    Some(names)
}

/// A name of a field that is ordered by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(HeaderName);

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Returns the values of the named fields in a request, in their normal form.
pub(crate) fn select(names: &BTreeSet<Name>, request: &HeaderMap) -> Selecting {
    let values = |name: &HeaderName| normal(name, request).iter().map(copied).collect();
    names.iter().map(|name| (name.0.clone(), values(&name.0))).collect()
}

/// Returns a copy that does not share the memory of the value. A value from a connection shares the whole buffer that
/// it was read into, which is much larger and must not be kept as long as a stored response.
pub(crate) fn copied(value: &HeaderValue) -> HeaderValue {
    // The bytes are those of a valid value, so this does not fail.
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

/// Returns the values in this request of the fields that select a stored response.
pub(crate) fn select_like(selecting: &Selecting, request: &HeaderMap) -> Selecting {
    selecting.iter().map(|(name, _)| (name.clone(), normal(name, request).into_iter().collect())).collect()
}

/// Returns whether a request selects a stored response.
pub(crate) fn matches(selecting: &Selecting, request: &HeaderMap) -> bool {
    Selector::new(request).selects(selecting)
}

/// Compares a request with the variants of a key. The value of a field is brought into its normal form once.
pub(crate) struct Selector<'a> {
    request: &'a HeaderMap,
    known: Vec<(HeaderName, Option<HeaderValue>)>,
}

impl<'a> Selector<'a> {
    pub(crate) fn new(request: &'a HeaderMap) -> Self {
        Self { request, known: Vec::new() }
    }

    /// Returns whether the request selects a stored response.
    pub(crate) fn selects(&mut self, selecting: &Selecting) -> bool {
        selecting.iter().all(|(name, values)| values.first() == self.value(name))
    }

    fn value(&mut self, name: &HeaderName) -> Option<&HeaderValue> {
        let at = self.known.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.known.push((name.clone(), normal(name, self.request)));
            self.known.len() - 1
        });
        self.known.get(at)?.1.as_ref()
    }
}

/// Returns the values of a field as one value, in a form in which values that mean the same are equal: without spaces
/// around commas, and for fields with weights in lower case and ordered by weight. Codings of equal weight are ordered by
/// name; for other fields, many backends prefer the first of several members with the same weight (RFC 9110, 12.5.4).
/// Cookies and credentials are no lists, so they are not changed. `None` if the field is missing.
fn normal(name: &HeaderName, request: &HeaderMap) -> Option<HeaderValue> {
    let mut values = request.get_all(name).iter();
    let first = values.next()?;
    let weighted = *name == ACCEPT_ENCODING || *name == ACCEPT_LANGUAGE || *name == ACCEPT || *name == ACCEPT_CHARSET;
    let is_list = *name != COOKIE && *name != AUTHORIZATION;
    let single = values.next().is_none();
    if !weighted && single && (!is_list || is_plain(first.as_bytes())) {
        // The value is its own normal form, and a clone of it is cheap.
        return Some(first.clone());
    }
    let sorted = *name == ACCEPT_ENCODING;
    if weighted && single && first.len() <= MAX_KNOWN_LEN {
        return known(first, sorted);
    }
    // Lines are joined first (RFC 9110, 5.3), so that a quoted string means the same in one line and in several. HTTP/2
    // may divide cookies (RFC 9113, 8.2.3).
    let separator = if *name == COOKIE { b"; " } else { b", " };
    let mut joined = first.as_bytes().to_vec();
    for value in request.get_all(name).iter().skip(1) {
        joined.extend_from_slice(separator);
        joined.extend_from_slice(value.as_bytes());
    }
    if !is_list {
        return HeaderValue::from_bytes(&joined).ok();
    }
    let mut list = Vec::with_capacity(joined.len());
    compact(&joined, &mut list);
    if weighted && list.len() <= MAX_ORDERED_LEN {
        list = by_weight(list, sorted);
    }
    // The bytes are those of valid values, so this does not fail.
    HeaderValue::from_bytes(&list).ok()
}

/// Few browsers send few different values of fields with weights, and their normal form is costly: it is remembered for
/// the values that were seen last, in their order and sorted.
static KNOWN: LazyLock<[quick_cache::sync::Cache<Box<[u8]>, HeaderValue>; 2]> =
    LazyLock::new(|| [quick_cache::sync::Cache::new(512), quick_cache::sync::Cache::new(512)]);

/// The members of a longer list stay in their order, because sorting them takes long and no browser sends such a list.
const MAX_ORDERED_LEN: usize = 1024;

/// A longer value is not remembered.
const MAX_KNOWN_LEN: usize = 256;

/// Returns the normal form of one value with weights.
fn known(value: &HeaderValue, sorted: bool) -> Option<HeaderValue> {
    let [in_order, by_name] = &*KNOWN;
    let known = if sorted { by_name } else { in_order };
    if let Some(normal) = known.get(value.as_bytes()) {
        return Some(normal);
    }
    let mut list = Vec::with_capacity(value.len());
    compact(value.as_bytes(), &mut list);
    let normal = HeaderValue::from_bytes(&by_weight(list, sorted)).ok()?;
    known.insert(value.as_bytes().into(), normal.clone());
    Some(normal)
}

/// Whether a value has no spaces at its ends, and none beside a comma.
fn is_plain(value: &[u8]) -> bool {
    !value.contains(&b',') && value.trim_ascii().len() == value.len()
}

/// Appends a value without the spaces around its commas, except in quoted strings.
fn compact(value: &[u8], list: &mut Vec<u8>) {
    let (mut quoted, mut escaped) = (false, false);
    let mut spaces = 0;
    let mut after_comma = true;
    for byte in value.trim_ascii() {
        match byte {
            b' ' | b'\t' if !quoted => {
                spaces += 1;
                continue;
            }
            b',' if !quoted => after_comma = true,
            _ => {
                if !after_comma {
                    list.extend(std::iter::repeat_n(b' ', spaces));
                }
                after_comma = false;
            }
        }
        spaces = 0;
        if *byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && *byte == b'\\' && !escaped;
        list.push(*byte);
    }
}

/// Orders the members of a list by weight, without weights of 1. `sorted` orders members of equal weight by text;
/// otherwise they keep their order. A list with a quoted string stays as it is: its commas and semicolons may separate
/// nothing.
fn by_weight(list: Vec<u8>, sorted: bool) -> Vec<u8> {
    if list.contains(&b'"') {
        return list;
    }
    let mut members: Vec<(u16, Vec<u8>)> =
        list.split(|byte| *byte == b',').filter(|text| !text.trim_ascii().is_empty()).map(weighed).collect();
    members.sort_by(|(a, left), (b, right)| {
        let by_name = || if sorted { left.cmp(right) } else { Ordering::Equal };
        b.cmp(a).then_with(by_name)
    });
    members.dedup();
    members.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(&b',')
}

/// Returns the weight of a member in thousandths, and its normal text: its first part in lower case, no spaces around
/// semicolons, and no weight if that is 1. Other parameters stay as they are. A member is unchanged if its weight is
/// not valid or not at its end, so that it is equal to itself only.
fn weighed(member: &[u8]) -> (u16, Vec<u8>) {
    let mut parts: Vec<&[u8]> = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).collect();
    let is_weight = |part: &&&[u8]| part.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"q="));
    let weight = match (parts.iter().skip(1).filter(is_weight).count(), parts.last()) {
        (0, _) => 1000,
        (1, Some(last)) if is_weight(&last) && !parts.first().is_some_and(|first| first.is_empty()) => {
            match last.get(2..).and_then(weight) {
                Some(weight) => weight,
                None => return (1000, member.to_vec()),
            }
        }
        _ => return (1000, member.to_vec()),
    };
    let is_last = |part: &&[u8]| weight == 1000 && is_weight(&part);
    if parts.len() > 1 && parts.last().is_some_and(is_last) {
        parts.pop();
    }
    let mut text = parts.first().map_or_else(Vec::new, |first| first.to_ascii_lowercase());
    for part in parts.iter().skip(1) {
        text.push(b';');
        text.extend_from_slice(part);
    }
    (weight, text)
}

/// Reads a weight in thousandths (RFC 9110, 12.4.2). `None` unless the whole text is one.
fn weight(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = text.split_at_checked(1)?;
    let digits = match fraction.split_first() {
        None => &[][..],
        Some((b'.', digits)) => digits,
        Some(_) => return None,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let fraction = [100, 10, 1].iter().zip(digits).map(|(scale, digit)| scale * u16::from(digit - b'0')).sum();
    match (whole, fraction) {
        (b"0", fraction) => Some(fraction),
        (b"1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selected(vary: &str, request: &[(&'static str, &str)]) -> Option<Selecting> {
        let mut response = HeaderMap::new();
        response.insert(VARY, HeaderValue::from_str(vary).expect("a value"));
        let mut headers = HeaderMap::new();
        for (name, value) in request {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        Some(select(&names(&response)?, &headers))
    }

    fn same(name: &'static str, a: &[&str], b: &[&str]) -> bool {
        let fields = |values: &[&str]| -> Vec<(&'static str, String)> {
            values.iter().map(|value| (name, (*value).to_owned())).collect()
        };
        let of = |values: Vec<(&'static str, String)>| {
            let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
            selected(name, &values)
        };
        of(fields(a)) == of(fields(b))
    }

    #[test]
    fn cookies_and_credentials_are_compared_as_they_are() {
        let select = |name: &'static str, values: &[&str]| {
            let name = HeaderName::from_static(name);
            let mut request = HeaderMap::new();
            for value in values {
                request.append(name.clone(), HeaderValue::from_str(value).expect("a value"));
            }
            normal(&name, &request).expect("a value")
        };
        for name in ["cookie", "authorization"] {
            assert_ne!(select(name, &["a=x, b"]), select(name, &["a=x,b"]), "{name}");
        }
        assert_eq!(select("cookie", &["a=1", "b=2"]), select("cookie", &["a=1; b=2"]));
        assert_ne!(select("cookie", &["a=1", "b=2"]), select("cookie", &["a=1, b=2"]));
    }

    #[test]
    fn a_star_anywhere_matches_nothing() {
        for vary in ["*", "*, *", ", *", "foo, *", "*, foo", "f o o"] {
            assert_eq!(selected(vary, &[]), None, "{vary}");
        }
        assert_eq!(selected("", &[]), Some(Vec::new()));
        assert_eq!(selected("B, a, A", &[]).map(|selecting| selecting.len()), Some(2));
    }

    #[test]
    fn lines_and_spaces_around_commas_do_not_count() {
        assert!(same("foo", &["1,2"], &[" 1, 2 "]));
        assert!(same("foo", &["1, 2"], &["1", "2"]));
        assert!(!same("foo", &["1,2"], &["2,1"]));
        assert!(!same("foo", &["a b"], &["ab"]));
        assert!(!same("foo", &["\"a, b\""], &["\"a,b\""]));
        assert!(!same("foo", &[], &[""]));
    }

    #[test]
    fn a_long_list_is_compared_in_its_order() {
        let list = |names: &mut dyn Iterator<Item = u32>| names.map(|i| format!("t{i}")).collect::<Vec<_>>().join(", ");
        let (forward, backward) = (list(&mut (0..300)), list(&mut (0..300).rev()));
        assert!(same("accept-encoding", &[&forward], &[&forward]));
        assert!(!same("accept-encoding", &[&forward], &[&backward]));
    }

    #[test]
    fn the_values_of_a_request_are_compared_with_all_variants() {
        let mut request = HeaderMap::new();
        request.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
        let variant = |value| vec![(ACCEPT_ENCODING, vec![HeaderValue::from_static(value)])];
        let mut selector = Selector::new(&request);
        assert!(!selector.selects(&variant("gzip")));
        assert!(selector.selects(&variant("br,gzip")));
        assert!(!selector.selects(&vec![(ACCEPT_LANGUAGE, vec![HeaderValue::from_static("de")])]));
        assert_eq!(selector.known.len(), 2);
    }

    #[test]
    fn weighted_values_that_differ_in_meaning_differ() {
        for (name, a, b) in [
            ("accept", "a/b;q=1;version=1", "a/b;q=1;version=2"),
            ("accept", "a/b;version=A", "a/b;version=a"),
            ("accept", "a/b;x=\"1,c/d;q=1\"", "a/b;x=\"1,c/d\""),
            ("accept", "a/b;q=1abc", "a/b"),
            ("accept-encoding", "gzip;q=", ""),
            ("accept-encoding", "gzip;q=", "gzip"),
            ("accept-encoding", "gzip;q=0;q=1", "gzip;q=0"),
            ("accept-encoding", "gzip;q=1.5", "gzip"),
            ("accept-language", "a b", "ab"),
        ] {
            assert!(!same(name, &[a], &[b]), "{a} {b}");
        }
        assert!(same("accept", &["A/b ; version=1; q=1.000"], &["a/b;version=1"]));
    }

    #[test]
    fn weighted_lists_ignore_case_spaces_and_the_order_of_weights() {
        assert!(same("accept-language", &["en, de"], &["EN,de"]));
        assert!(same("accept-encoding", &["gzip, br"], &["br,GZIP"]));
        for name in ["accept", "accept-language", "accept-charset"] {
            assert!(!same(name, &["a, b"], &["b, a"]), "{name}");
            assert!(!same(name, &["a", "b"], &["b", "a"]), "{name}");
        }
        assert!(same("accept-language", &["en;q=0.5, de"], &["de;q=1.0,en; q=0.5"]));
        assert!(!same("accept-language", &["en;q=0.5, de"], &["en, de;q=0.5"]));
        assert!(!same("accept-encoding", &["gzip"], &["gzip;q=0"]));
        assert!(!same("accept-encoding", &["gzip"], &["br"]));
    }

    proptest! {
        #[test]
        fn the_normal_form_is_stable(values in proptest::collection::vec("[a-c ,;q=0-1.\"\\\\]{0,20}", 1..3)) {
            for name in [ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderName::from_static("foo")] {
                let mut request = HeaderMap::new();
                for value in &values {
                    request.append(&name, HeaderValue::from_str(value).expect("a value"));
                }
                let once = normal(&name, &request).expect("a value");
                request.insert(&name, once.clone());
                prop_assert_eq!(normal(&name, &request), Some(once));
            }
        }
    }
}
