use std::borrow::Cow;

use equipoise_tower::RequestHead;

use super::hash::TextMap;
use crate::{check::host_and_port, headers::OriginalHost};

/// The pattern of a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    /// This host, in lower case.
    Exact(Box<str>),
    /// Every host that ends with a dot and this text.
    Below(Box<str>),
    Any,
}

impl HostPattern {
    /// Parses a host such as `app.test`, `*.app.test` or `*`.
    pub(crate) fn parse(pattern: &str) -> Result<Self, &'static str> {
        const VALID: &str = "a host is a name or an address without a port, or *. and a name, such as *.app.test";
        if pattern == "*" {
            return Ok(Self::Any);
        }
        let name = pattern.strip_prefix("*.");
        let host = name.unwrap_or(pattern);
        let parsed = host_and_port(host.as_bytes()).filter(|parsed| parsed.host == host).ok_or(VALID)?;
        let host = parsed.host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase().into_boxed_str();
        Ok(if name.is_some() { Self::Below(host) } else { Self::Exact(host) })
    }
}

/// Returns the host of a request in lower case, without port and without a dot at its end. The request was checked.
pub(super) fn asked_for(head: RequestHead<'_>) -> Cow<'_, str> {
    let host = match head.uri.host() {
        Some(host) => host,
        None => {
            let field = OriginalHost::of(head.headers, head.extensions);
            let field = field.and_then(|host| host.to_str().ok()).unwrap_or_default();
            // An IPv6 address is in brackets, so a colon before `]` does not begin the port.
            match field.rsplit_once(':') {
                Some((host, port)) if !port.contains(']') => host,
                _ => field,
            }
        }
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// Finds a value by a host.
#[derive(Clone, Debug)]
pub(crate) struct HostIndex {
    exact: TextMap<usize>,
    below: TextMap<usize>,
    any: Option<usize>,
}

impl HostIndex {
    pub(crate) fn new() -> Self {
        Self { exact: TextMap::default(), below: TextMap::default(), any: None }
    }

    /// Returns the value of a pattern, or sets it to `new`.
    pub(crate) fn entry(&mut self, pattern: &HostPattern, new: usize) -> usize {
        match pattern {
            HostPattern::Exact(host) => *self.exact.entry(host.clone()).or_insert(new),
            HostPattern::Below(host) => *self.below.entry(host.clone()).or_insert(new),
            HostPattern::Any => *self.any.get_or_insert(new),
        }
    }

    /// Returns the values of all patterns for a host, the most specific first. The host is in lower case.
    pub(crate) fn find<'a>(&'a self, host: &'a str) -> impl Iterator<Item = usize> + 'a {
        let exact = self.exact.get(host);
        // Without wildcards, the labels need not be looked at.
        let labels = if self.below.is_empty() { None } else { Some(host) };
        let parents = std::iter::successors(labels, |host| host.split_once('.').map(|(_, parent)| parent)).skip(1);
        let below = parents.filter_map(|parent| self.below.get(parent));
        exact.into_iter().chain(below).copied().chain(self.any)
    }
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;

    #[test]
    fn more_labels_are_more_specific() {
        let mut index = HostIndex::new();
        for (value, pattern) in ["*", "*.test", "*.app.test", "API.app.test."].into_iter().enumerate() {
            let pattern = HostPattern::parse(pattern).expect("a pattern");
            assert_eq!(index.entry(&pattern, value), value);
            assert_eq!(index.entry(&pattern, 9), value);
        }
        let find = |host| index.find(host).collect::<Vec<_>>();
        assert_eq!(find("api.app.test"), [3, 2, 1, 0]);
        assert_eq!(find("a.b.app.test"), [2, 1, 0]);
        assert_eq!(find("app.test"), [1, 0]);
        assert_eq!(find("test"), [0]);
        assert_eq!(find(""), [0]);
    }

    #[test]
    fn ports_and_upper_case_do_not_matter() {
        for (field, host) in [
            ("App.TEST:8080", "app.test"),
            ("app.test.", "app.test"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            let request = http::Request::get("/").header(HOST, field).body(()).expect("a request");
            assert_eq!(asked_for(RequestHead::of(&request)), host, "{field}");
        }
        let request = http::Request::get("http://APP.test:80/").body(()).expect("a request");
        assert_eq!(asked_for(RequestHead::of(&request)), "app.test");
    }

    #[test]
    fn hosts_that_no_request_has_are_refused() {
        for pattern in ["", "*.", "a:80", "a.*", "*a", "**.a", "a b", "u@a", "http://a"] {
            assert!(HostPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
