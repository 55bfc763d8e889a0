use http::{HeaderMap, HeaderName};

#[derive(Clone, Debug)]
pub(super) enum Place {
    Cookie(String),
    Header(HeaderName),
    PathParameter(String),
    QueryParameter(String),
}

/// A name that no key can be found under.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// Not a cookie's.
    #[error("{name:?} is no cookie name: give at least one of ASCII letters, digits and !#$%&'*+-.^_`|~")]
    Cookie {
        /// The name.
        name: String,
    },
    /// Not a header's.
    #[error("{name:?} is no header name: give at least one of ASCII letters, digits and !#$%&'*+-.^_`|~")]
    Header {
        /// The name.
        name: String,
    },
    /// Not a URL parameter's.
    #[error("{name:?} is no URL parameter's name: give at least one visible ASCII character other than / ? # ; & =")]
    Parameter {
        /// The name.
        name: String,
    },
}

/// RFC 9110 §5.6.2.
pub(super) fn token(name: &str) -> bool {
    let one = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(one)
}

pub(super) fn parameter_name(name: String) -> Result<String, InvalidName> {
    let one = |byte: u8| byte.is_ascii_graphic() && !b"/?#;&=".contains(&byte);
    if !name.is_empty() && name.bytes().all(one) { Ok(name) } else { Err(InvalidName::Parameter { name }) }
}

/// The last line of a header that is not empty.
pub(super) fn last_line<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Option<&'r [u8]> {
    headers.get_all(name).iter().map(|line| line.as_bytes().trim_ascii()).rfind(|value| !value.is_empty())
}

/// The first of the parameters `name` that is not empty.
pub(super) fn filled<'r>(parameters: impl Iterator<Item = &'r str>, name: &str) -> Option<&'r [u8]> {
    parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(found, value)| *found == name && !value.is_empty())
        .map(|(_, value)| value.as_bytes())
}
