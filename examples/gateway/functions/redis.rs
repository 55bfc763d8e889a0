//! The URL of a Redis server.

use std::{ops::Range, path::PathBuf};

use toml::Spanned;

use super::file;
use crate::source::{ConfigError, Source};

/// Returns the URL in a table, or that in its file.
pub(super) fn url(
    url: Option<&Spanned<String>>,
    file: Option<&Spanned<PathBuf>>,
    span: Range<usize>,
    source: &Source,
) -> Result<String, ConfigError> {
    match (url, file) {
        (Some(url), None) if url.get_ref().contains('@') => {
            let message =
                "the admin interface shows the URL: write one with a password into a file, and name it in url_file";
            Err(source.error(url.span(), message))
        }
        (Some(url), None) => Ok(url.get_ref().clone()),
        (None, Some(path)) => Ok(file::read(path, source)?.trim().to_owned()),
        _ => Err(source.error(span, "redis has one of url and url_file")),
    }
}
