use tower_http::CompressionLevel;

use super::{
    InvalidCompression,
    encoding::{COUNT, Encoding},
};

/// The level of each encoding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels([u8; COUNT]);

impl Default for Levels {
    fn default() -> Self {
        // In the order of `Encoding::index`.
        Self([3, 4, 5, 5])
    }
}

impl Levels {
    pub(super) fn set(&mut self, encoding: Encoding, level: u8) -> Result<(), InvalidCompression> {
        let (min, max) = encoding.levels();
        if !(min..=max).contains(&level) {
            return Err(InvalidCompression::Level { encoding, level, min, max });
        }
        if let Some(slot) = self.0.get_mut(encoding.index()) {
            *slot = level;
        }
        Ok(())
    }

    pub(super) fn of(&self, encoding: Encoding) -> CompressionLevel {
        self.0
            .get(encoding.index())
            .map_or(CompressionLevel::Default, |level| CompressionLevel::Precise((*level).into()))
    }
}

/// A list of encodings, the preferred one first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preference {
    list: [Encoding; COUNT],
    length: usize,
}

impl Default for Preference {
    fn default() -> Self {
        Self { list: Encoding::ALL, length: COUNT }
    }
}

impl Preference {
    pub(super) fn new(encodings: impl IntoIterator<Item = Encoding>) -> Result<Self, InvalidCompression> {
        let mut new = Self { list: Encoding::ALL, length: 0 };
        for encoding in encodings {
            if new.iter().any(|listed| listed == encoding) {
                return Err(InvalidCompression::Repeated(encoding));
            }
            if let Some(slot) = new.list.get_mut(new.length) {
                *slot = encoding;
                new.length += 1;
            }
        }
        if new.length == 0 { Err(InvalidCompression::NoEncoding) } else { Ok(new) }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Encoding> {
        self.list.into_iter().take(self.length)
    }
}
