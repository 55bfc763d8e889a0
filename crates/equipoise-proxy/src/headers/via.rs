use http::{HeaderMap, HeaderValue, Version, header::VIA};

/// Adds `Via` to requests and responses, and recognizes requests that have come back (RFC 9110, section 7.6.3).
///
/// The pseudonym names this proxy. A request whose `Via` contains it has passed through this proxy before, and gets
/// status 508. Instances of one proxy that forward to each other on purpose need different pseudonyms.
///
/// ```
/// use equipoise_proxy::headers::Via;
/// use http::{HeaderMap, Version};
///
/// let via = Via::new("edge-1")?;
/// let mut headers = HeaderMap::new();
/// assert!(!via.is_loop(&headers));
/// via.append(Version::HTTP_2, &mut headers);
/// assert_eq!(headers["via"], "2.0 edge-1");
/// assert!(via.is_loop(&headers));
/// # Ok::<(), equipoise_proxy::headers::InvalidPseudonym>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    pseudonym: Box<str>,
}

/// The pseudonym of a proxy in `Via` must be a token: letters, digits and ``!#$%&'*+-.^_`|~``.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pseudonym:?} cannot name a proxy in Via: use letters, digits, - and . such as edge-1")]
#[non_exhaustive]
pub struct InvalidPseudonym {
    /// The text that was refused.
    pub pseudonym: String,
}

impl Via {
    /// Creates the rule for a proxy with this name.
    ///
    /// # Errors
    ///
    /// [`InvalidPseudonym`] if the name is not a token.
    pub fn new(pseudonym: &str) -> Result<Self, InvalidPseudonym> {
        // The name of a field is a token too.
        if http::HeaderName::from_bytes(pseudonym.as_bytes()).is_err() {
            return Err(InvalidPseudonym { pseudonym: pseudonym.to_owned() });
        }
        Ok(Self { pseudonym: pseudonym.into() })
    }

    /// Returns whether a message with these headers has passed through this proxy before.
    pub fn is_loop(&self, headers: &HeaderMap) -> bool {
        headers.get_all(VIA).iter().flat_map(|line| elements(line.as_bytes())).any(|element| {
            let mut words = element.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.nth(1).is_some_and(|name| name.eq_ignore_ascii_case(self.pseudonym.as_bytes()))
        })
    }

    /// Appends this proxy to the `Via` of a message. `received` is the version in which the message was received.
    pub fn append(&self, received: Version, headers: &mut HeaderMap) {
        let version = match received {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2.0",
            Version::HTTP_3 => "3.0",
            _ => "1.1",
        };
        if let Ok(element) = HeaderValue::try_from(format!("{version} {}", self.pseudonym)) {
            headers.append(VIA, element);
        }
    }
}

/// Returns the elements of a list. A comma in a comment separates none (RFC 9110, section 5.6.5).
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut depth, mut is_escaped) = (0_usize, false);
    list.split(move |byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = depth > 0,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' => return depth == 0,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_recognized_among_other_proxies() {
        let via = Via::new("edge-1").expect("a token");
        for (line, is_loop) in [
            ("1.1 edge-1", true),
            ("1.0 a, 2.0\tEDGE-1 (comment)", true),
            ("1.1 edge-12", false),
            ("1.1 a (edge-1)", false),
            ("1.1 a (b, 1.1 edge-1 c)", false),
            ("1.1 a (b (, \\), 1.1 edge-1 c), d), 1.1 edge-1", true),
            ("1.1 a), 1.1 edge-1", true),
            ("edge-1", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(VIA, HeaderValue::from_static(line));
            assert_eq!(via.is_loop(&headers), is_loop, "{line}");
        }
    }

    #[test]
    fn names_are_tokens() {
        for name in ["", "a b", "a,b", "a:80", "\u{e4}"] {
            assert_eq!(Via::new(name), Err(InvalidPseudonym { pseudonym: name.to_owned() }));
        }
    }
}
