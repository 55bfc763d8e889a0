use std::{fmt, sync::Arc};

use http::HeaderValue;

/// The name of the area that an authentication protects. It is the parameter `realm` of `WWW-Authenticate`, and
/// browsers show it to their users. Default: `gateway`.
///
/// ```
/// use equipoise_gateway::auth::Realm;
///
/// assert_eq!(Realm::new("the \"inner\" net")?.challenge("Basic"), r#"Basic realm="the \"inner\" net""#);
/// # Ok::<(), equipoise_gateway::auth::InvalidRealm>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm(Arc<str>);

/// The text is no realm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{realm:?} is no realm: use 1 to 128 printable characters of ASCII")]
#[non_exhaustive]
pub struct InvalidRealm {
    /// The text that was refused.
    pub realm: String,
}

impl Realm {
    /// Creates a realm.
    ///
    /// # Errors
    ///
    /// [`InvalidRealm`] unless the text consists of 1 to 128 printable characters of ASCII.
    pub fn new(realm: &str) -> Result<Self, InvalidRealm> {
        if !(1..=128).contains(&realm.len()) || !realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(InvalidRealm { realm: realm.to_owned() });
        }
        Ok(Self(realm.into()))
    }

    /// Returns the text, as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the challenge of a scheme: a value of `WWW-Authenticate` with this realm as its only parameter. `scheme`
    /// is a token (RFC 9110), such as `Bearer`. If it is not, the challenge is that of `Basic`.
    pub fn challenge(&self, scheme: &str) -> HeaderValue {
        self.challenge_with(scheme, "")
    }

    /// Returns the challenge of a scheme with more parameters, such as `charset="UTF-8"`. `parameters` are separated by
    /// commas, and their texts are printable characters of ASCII. If they are not, they are left out.
    pub fn challenge_with(&self, scheme: &str, parameters: &str) -> HeaderValue {
        let is_printable = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let scheme = if !scheme.is_empty() && is_printable(scheme) { scheme } else { "Basic" };
        let (comma, parameters) = match parameters {
            "" => ("", ""),
            parameters if is_printable(parameters) => (", ", parameters),
            _ => ("", ""),
        };
        let value = HeaderValue::try_from(format!("{scheme} realm={}{comma}{parameters}", quoted(&self.0)));
        value.unwrap_or(HeaderValue::from_static("Basic"))
    }
}

/// Returns a text as a quoted string (RFC 9110, section 5.6.4).
pub(crate) fn quoted(text: &str) -> impl fmt::Display + '_ {
    struct Quoted<'a>(&'a str);

    impl fmt::Display for Quoted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("\"")?;
            for part in self.0.split_inclusive(['"', '\\']) {
                match part.strip_suffix(['"', '\\']) {
                    Some(before) => write!(f, "{before}\\{}", &part[before.len()..])?,
                    None => f.write_str(part)?,
                }
            }
            f.write_str("\"")
        }
    }

    Quoted(text)
}

impl Default for Realm {
    fn default() -> Self {
        Self("gateway".into())
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Realm {
    type Err = InvalidRealm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_realm_is_a_quoted_string() {
        let challenge = |realm| Realm::new(realm).map(|realm| realm.challenge_with("Basic", "charset=\"UTF-8\""));
        let expected = HeaderValue::from_static(r#"Basic realm="the \"inner\" \\ net", charset="UTF-8""#);
        assert_eq!(challenge(r#"the "inner" \ net"#), Ok(expected));
        for realm in ["", "a\nb", "\u{e4}", "\0", &"a".repeat(129)] {
            assert_eq!(challenge(realm), Err(InvalidRealm { realm: realm.to_owned() }));
        }
    }

    #[test]
    fn parameters_that_are_no_text_are_left_out() {
        let realm = Realm::default();
        assert_eq!(realm.challenge("Bearer"), r#"Bearer realm="gateway""#);
        assert_eq!(realm.challenge_with("a\r\nb", "x\r\ny"), r#"Basic realm="gateway""#);
        assert_eq!(quoted("").to_string(), "\"\"");
        assert_eq!(quoted("\\\"").to_string(), "\"\\\\\\\"\"");
    }
}
