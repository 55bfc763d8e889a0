use serde::{Serialize, ser::SerializeMap};

/// A value, and the tick at which it changed last.
#[derive(Clone, Debug)]
pub(super) struct Versioned<T> {
    value: T,
    changed: u64,
}

impl<T> Versioned<T> {
    pub(super) fn new(value: T, tick: u64) -> Self {
        Self { value, changed: tick }
    }

    pub(super) fn get(&self) -> &T {
        &self.value
    }

    pub(super) fn has_changed(&self, since: Since) -> bool {
        since.includes(self.changed)
    }
}

impl<T: PartialEq> Versioned<T> {
    pub(super) fn set(&mut self, value: T, tick: u64) {
        if self.value != value {
            *self = Self::new(value, tick);
        }
    }
}

impl<T: Serialize> Versioned<T> {
    /// Writes an entry with the value, if it has changed.
    pub(super) fn write<M: SerializeMap>(&self, map: &mut M, name: &'static str, since: Since) -> Result<(), M::Error> {
        match self.has_changed(since) {
            true => map.serialize_entry(name, &self.value),
            false => Ok(()),
        }
    }
}

/// Which values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// All values.
    Always,
    /// The values that have changed after this tick.
    Tick(u64),
}

impl Since {
    pub(super) fn includes(self, changed: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Tick(tick) => changed > tick,
        }
    }
}
