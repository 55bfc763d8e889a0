//! The names of header fields.

use std::ops::Range;

use http::HeaderName;
use toml::Spanned;

use crate::source::{ConfigError, Source};

/// Reads the name of a field with its place.
pub(super) fn header_name(name: &Spanned<String>, source: &Source) -> Result<HeaderName, ConfigError> {
    parsed(name.get_ref(), name.span(), source)
}

/// Reads the name of a field.
pub(super) fn parsed(name: &str, span: Range<usize>, source: &Source) -> Result<HeaderName, ConfigError> {
    let wrong =
        |_| source.error(span, format_args!("{name:?} is not a header name: use letters, digits and !#$%&'*+-.^_`|~"));
    name.parse().map_err(wrong)
}
