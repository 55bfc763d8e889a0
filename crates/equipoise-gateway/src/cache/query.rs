//! Which parameters of the query tell requests apart, and which of them the backend gets.

use std::{collections::BTreeSet, fmt::Write};

use http::Uri;

/// What counts of a query.
#[derive(Clone, Debug, Default)]
pub(super) struct QueryPolicy {
    pub(super) counts: Parameters,
    pub(super) forwards_ignored: bool,
    pub(super) sorted: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) enum Parameters {
    #[default]
    All,
    None,
    Without(BTreeSet<String>),
    Only(BTreeSet<String>),
}

impl QueryPolicy {
    /// Appends what counts of a query to the URL of a key.
    pub(super) fn append(&self, query: &str, url: &mut String) {
        if !self.sorted && matches!(self.counts, Parameters::All) {
            url.push('?');
            url.push_str(query);
            return;
        }
        let mut kept = self.counts.of(query);
        if self.sorted {
            kept.sort_by(|one, other| name_of(one).cmp(name_of(other)));
        }
        if !kept.is_empty() {
            let _ = write!(url, "?{}", kept.join("&"));
        }
    }

    /// Returns the URI without the parameters that do not count. `None` if it is forwarded as it is.
    pub(super) fn forwarded(&self, uri: &Uri) -> Option<Uri> {
        let query = uri.query().filter(|_| !self.forwards_ignored)?;
        if query.split('&').all(|parameter| self.counts.has(parameter)) {
            return None;
        }
        let kept = self.counts.of(query);
        let separator = if kept.is_empty() { "" } else { "?" };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(format!("{}{separator}{}", uri.path(), kept.join("&")).parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

impl Parameters {
    fn of<'q>(&self, query: &'q str) -> Vec<&'q str> {
        query.split('&').filter(|parameter| self.has(parameter)).collect()
    }

    fn has(&self, parameter: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Without(names) => !names.contains(name_of(parameter)) || has_semicolon(parameter),
            Self::Only(names) => may_be_one_of(names, parameter) || has_semicolon(parameter),
        }
    }
}

fn name_of(parameter: &str) -> &str {
    parameter.split('=').next().unwrap_or_default()
}

/// Whether a backend may read a parameter as several ones.
fn has_semicolon(parameter: &str) -> bool {
    parameter.contains(';') || parameter.as_bytes().windows(3).any(|code| code.eq_ignore_ascii_case(b"%3b"))
}

/// Whether a backend may read the name of a parameter as one of these. O(names) if it is not one of them as written.
fn may_be_one_of(names: &BTreeSet<String>, parameter: &str) -> bool {
    let name = name_of(parameter);
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    !is_plain || names.contains(name) || names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(counts: Parameters) -> QueryPolicy {
        QueryPolicy { counts, ..QueryPolicy::default() }
    }

    fn without(name: &str) -> QueryPolicy {
        policy(Parameters::Without([name.to_owned()].into()))
    }

    fn only(name: &str) -> QueryPolicy {
        policy(Parameters::Only([name.to_owned()].into()))
    }

    fn key(policy: &QueryPolicy, query: &str) -> String {
        let mut url = String::new();
        policy.append(query, &mut url);
        url
    }

    #[test]
    fn parameters_can_be_ignored_and_sorted() {
        let query = "b=2&utm=x&a=1&b=1";
        assert_eq!(key(&policy(Parameters::All), query), format!("?{query}"));
        assert_eq!(key(&policy(Parameters::None), query), "");
        assert_eq!(key(&without("utm"), query), "?b=2&a=1&b=1");
        assert_eq!(key(&only("a"), query), "?a=1");
        let sorted = QueryPolicy { sorted: true, ..QueryPolicy::default() };
        assert_eq!(key(&sorted, query), "?a=1&b=2&b=1&utm=x");
    }

    #[test]
    fn ignored_parameters_are_not_forwarded() {
        let sorted = QueryPolicy { sorted: true, ..QueryPolicy::default() };
        let forwards = QueryPolicy { forwards_ignored: true, ..without("utm") };
        for (policy, uri, forwarded) in [
            (&without("utm"), "/p?b=2&utm=x&a=1&utm", "/p?b=2&a=1"),
            (&without("utm"), "https://example.com?utm=x", "https://example.com/"),
            (&without("utm"), "/?utm=x;a=2&b&&", "/?utm=x;a=2&b&&"),
            (&without("utm"), "/p?", "/p?"),
            (&only("a"), "/?b=2&a=1&A=3&%61=4", "/?a=1&A=3&%61=4"),
            (&policy(Parameters::None), "/p?a=1", "/p"),
            (&policy(Parameters::None), "/p", "/p"),
            (&sorted, "/?b&a", "/?b&a"),
            (&forwards, "/?utm=x", "/?utm=x"),
        ] {
            let uri: Uri = uri.parse().expect("a URI");
            let sent = policy.forwarded(&uri).unwrap_or_else(|| uri.clone());
            assert_eq!(sent.to_string(), forwarded, "{uri}");
            let key = |uri: &Uri| uri.query().map_or_else(String::new, |query| key(policy, query));
            assert_eq!(key(&uri), key(&sent), "{uri}");
        }
    }

    #[test]
    fn a_parameter_that_may_hide_another_one_counts() {
        for hiding in ["utm=x;a=2", "utm=x%3ba=2", "utm=x%3Ba=2"] {
            let query = format!("a=1&{hiding}");
            assert_eq!(key(&without("utm"), &query), format!("?{query}"));
            assert_eq!(key(&only("a"), &query), format!("?{query}"));
        }
        for same in ["A=2", "%61=2", "a%5B%5D=2", "+a=2"] {
            let query = format!("a=1&{same}");
            assert_eq!(key(&only("a"), &query), format!("?{query}"));
        }
        assert_eq!(key(&only("a"), "a=1&b=2&ab=3&"), "?a=1");
    }
}
