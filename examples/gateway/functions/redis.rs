//! The Redis servers of caches and limits.

use std::{ops::Range, path::PathBuf};

use equipoise::http::Tls;
use toml::Spanned;

use super::file;
use crate::source::{ConfigError, Source};

/// A Redis server.
#[derive(Clone, PartialEq)]
pub(super) struct Server {
    pub(super) url: String,
    /// The content of the file with root certificates.
    ca: Option<String>,
}

/// The keys of a table that say which server it is.
pub(super) struct ServerKeys<'a> {
    pub(super) url: Option<&'a Spanned<String>>,
    /// A file with the URL.
    pub(super) url_file: Option<&'a Spanned<PathBuf>>,
    pub(super) ca_file: Option<&'a Spanned<PathBuf>>,
}

impl Server {
    /// Reads the keys of a table, and the files that they name.
    pub(super) fn read(keys: &ServerKeys<'_>, span: Range<usize>, source: &Source) -> Result<Self, ConfigError> {
        let url = match (keys.url, keys.url_file) {
            (Some(url), None) if has_secrets(url.get_ref()) => {
                let message =
                    "the admin interface shows the URL: write one with a password into a file, and name it in url_file";
                return Err(source.error(url.span(), message));
            }
            (Some(url), None) => url.get_ref().clone(),
            (None, Some(path)) => file::read(path, source)?.trim().to_owned(),
            _ => return Err(source.error(span, "redis has one of url and url_file")),
        };
        let ca = match keys.ca_file {
            Some(path) => {
                let ca = file::read(path, source)?;
                Tls::with_roots(ca.as_bytes()).map_err(|error| file::wrong(path, &error, source))?;
                Some(ca)
            }
            None => None,
        };
        Ok(Self { url, ca })
    }

    /// Returns what verifies the server. `None`: the public root certificates.
    pub(super) fn tls(&self) -> Option<Tls> {
        Tls::with_roots(self.ca.as_ref()?.as_bytes()).ok()
    }
}

/// Whether a URL has a user or a password, as in `redis://user:password@host` or `redis+unix:///path?pass=password`.
fn has_secrets(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    url.contains('@') || query.split('&').any(|pair| pair.starts_with("pass") || pair.starts_with("user"))
}
