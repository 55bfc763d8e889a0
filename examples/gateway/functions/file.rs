//! Files of functions, such as those with API keys. A reload reads them again.

use std::{
    error::Error,
    fs,
    hash::{BuildHasher, Hash, RandomState},
    path::PathBuf,
    sync::LazyLock,
};

use toml::Spanned;

use crate::source::{ConfigError, Source, causes};

/// Reads a file.
pub(super) fn read(file: &Spanned<PathBuf>, source: &Source) -> Result<String, ConfigError> {
    fs::read_to_string(source.path(file.get_ref())).map_err(|error| wrong(file, &error, source))
}

/// Creates an error about a file.
pub(super) fn wrong(file: &Spanned<PathBuf>, error: &dyn Error, source: &Source) -> ConfigError {
    source.error(file.span(), format_args!("{}: {}", source.path(file.get_ref()).display(), causes(error)))
}

/// Returns a hash with a random key of this process, so that a secret itself is not kept.
pub(super) fn hash(text: &impl Hash) -> u64 {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    HASHER.hash_one(text)
}
