use http::HeaderName;

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

pub(super) fn parameter_name(name: String) -> Result<String, InvalidName> {
    let one = |byte: u8| byte.is_ascii_graphic() && !b"/?#;&=".contains(&byte);
    if !name.is_empty() && name.bytes().all(one) { Ok(name) } else { Err(InvalidName::Parameter { name }) }
}
