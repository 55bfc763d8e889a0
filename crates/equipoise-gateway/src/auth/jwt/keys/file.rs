use std::{
    fs::File,
    io::{Error, ErrorKind, Read},
    path::{Path, PathBuf},
};

use super::{
    fetch::{Fetch, FetchError},
    jwks::Origin,
    set::{KeySet, MAX_TEXT},
};

/// Reads a file of at most 256 KiB. It blocks.
pub(super) fn read(path: &Path) -> Result<KeySet, FetchError> {
    let file = File::open(path).map_err(FetchError::File)?;
    // Reading from a pipe could block without end.
    if !file.metadata().map_err(FetchError::File)?.is_file() {
        return Err(FetchError::File(Error::new(ErrorKind::InvalidInput, "it is no regular file")));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(FetchError::File)?;
    Ok(KeySet::read_from(&bytes, Origin::Private)?)
}

pub(super) fn fetch(path: PathBuf) -> Fetch {
    Box::new(move || {
        let path = path.clone();
        Box::pin(async move {
            let reading = tokio::task::spawn_blocking(move || read(&path));
            reading.await.unwrap_or(Err(FetchError::Panicked))
        })
    })
}
