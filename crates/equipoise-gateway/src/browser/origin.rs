use equipoise_proxy::__private::host_of;

/// Origins that a setting allows: one, or all below a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OriginPattern {
    /// As browsers send it.
    Exact(String),
    /// What an origin begins with (`https://`), and what it ends with (`.app.test:8443`).
    Below { scheme: String, suffix: String },
}

/// Why a text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("origin {origin:?}: {valid}")]
#[non_exhaustive]
pub struct InvalidOrigin {
    /// The text that was refused.
    pub origin: String,
    /// What would be valid.
    pub valid: &'static str,
}

impl OriginPattern {
    /// Parses `https://app.test`, or `https://*.app.test` for all hosts below it.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let refused = |valid| InvalidOrigin { origin: text.to_owned(), valid };
        const VALID: &str = "write an origin as browsers send it: https://app.test, without a slash at the end";
        if text == "*" {
            return Err(refused(
                "a list of origins has no `*`; to allow all sites to read responses, use CorsPolicy::any_origin",
            ));
        }
        if text == "null" {
            return Err(refused("any page can send this origin, from a sandbox; write the origin of the page"));
        }
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), authority)) => (scheme, authority),
            _ => return Err(refused(VALID)),
        };
        let (below, authority) = match authority.strip_prefix("*.") {
            Some(authority) => (true, authority),
            None => (false, authority),
        };
        let Some(host) = host_of(authority.as_bytes()) else { return Err(refused(VALID)) };
        if authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(refused("browsers send hosts in lower case"));
        }
        let port = authority.get(host.len()..).unwrap_or_default();
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        if port == default_port || port == ":" {
            return Err(refused("browsers leave out the default port"));
        }
        if host.ends_with('.') {
            return Err(refused("write the host without a dot at its end"));
        }
        if below && !host.contains('.') {
            return Err(refused("a wildcard for a whole top-level domain would allow all sites in it"));
        }
        Ok(if below {
            Self::Below { scheme: format!("{scheme}://"), suffix: format!(".{authority}") }
        } else {
            Self::Exact(text.to_owned())
        })
    }

    /// Returns whether an `Origin` is allowed.
    pub(super) fn matches(&self, origin: &[u8]) -> bool {
        match self {
            Self::Exact(expected) => expected.as_bytes() == origin,
            Self::Below { scheme, suffix } => {
                let labels = origin
                    .strip_prefix(scheme.as_bytes())
                    .and_then(|authority| authority.strip_suffix(suffix.as_bytes()));
                // What is left are labels of a host. `https://evil.test/.app.test` is no origin.
                let is_host_byte = |byte: &u8| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
                };
                labels.is_some_and(|labels| !labels.is_empty() && labels.iter().all(is_host_byte))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_allowed_as_browsers_send_them() {
        let below = OriginPattern::parse("https://*.app.test:8443").expect("an origin");
        for origin in ["https://a.app.test:8443", "https://a.b.app.test:8443"] {
            assert!(below.matches(origin.as_bytes()), "{origin}");
        }
        for origin in [
            "https://app.test:8443",
            "http://a.app.test:8443",
            "https://a.app.test",
            "https://.app.test:8443",
            "https://evil.test/.app.test:8443",
            "https://evil.test#.app.test:8443",
            "https://user@.app.test:8443",
            "https://evilapp.test:8443",
            "null",
        ] {
            assert!(!below.matches(origin.as_bytes()), "{origin}");
        }
        assert!(OriginPattern::parse("http://localhost:3000").expect("an origin").matches(b"http://localhost:3000"));
    }

    #[test]
    fn the_refusal_of_a_star_says_how_to_allow_all_sites() {
        let error = OriginPattern::parse("*").expect_err("no origin");
        assert!(error.valid.contains("CorsPolicy::any_origin"), "{error}");
    }

    #[test]
    fn origins_that_browsers_never_send_are_refused() {
        for origin in [
            "",
            "*",
            "null",
            "app.test",
            "https://app.test/",
            "https://App.test",
            "https://app.test:443",
            "http://a:80",
            "ftp://app.test",
            "https://*.test",
            "https://a.*.test",
            "https://user@app.test",
            "https://app.test.",
            "https://app.test?x",
            "HTTPS://app.test",
            "https://caf\u{e9}.test",
        ] {
            assert!(OriginPattern::parse(origin).is_err(), "{origin}");
        }
    }
}
