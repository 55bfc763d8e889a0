//! Files of functions, such as those with API keys. A reload reads them again.

use std::{error::Error, fs, path::PathBuf};

use toml::Spanned;

use crate::source::{ConfigError, Source, causes};

/// Reads a file.
pub(super) fn read(file: &Spanned<PathBuf>, source: &Source) -> Result<String, ConfigError> {
    fs::read_to_string(source.path(file.get_ref())).map_err(|error| wrong(file, &error, source))
}

/// Creates an error about a file.
pub(super) fn wrong(file: &Spanned<PathBuf>, error: &dyn Error, source: &Source) -> ConfigError {
    source.error(file.span(), format_args!("{}: {}", file.get_ref().display(), causes(error)))
}
