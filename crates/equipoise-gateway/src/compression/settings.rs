use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use http::response;

use super::{
    choice::{Levels, Preference},
    media::MediaTypes,
    stats::ByEncoding,
};

/// The settings of a layer.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) preference: Preference,
    pub(super) levels: Levels,
    pub(super) media_types: MediaTypes,
    pub(super) min_bytes: u64,
    pub(super) only_if: Option<Arc<Condition>>,
    pub(super) max_concurrent: usize,
    pub(super) plain_backend: bool,
}

type Condition = dyn Fn(&response::Parts) -> bool + Send + Sync;

/// What all clones of a layer and all its services share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) encodings: ByEncoding,
    pub(super) not_accepted: AtomicU64,
    pub(super) skipped_busy: AtomicU64,
    pub(super) active: AtomicUsize,
}

/// One response that is being compressed.
#[derive(Debug)]
pub(super) struct Slot(Arc<Shared>);

impl Shared {
    /// Begins to compress a response. `None` if too many are compressed at this time.
    pub(super) fn begin(self: &Arc<Self>, max: usize) -> Option<Slot> {
        if self.active.fetch_add(1, Ordering::Relaxed) < max {
            return Some(Slot(Arc::clone(self)));
        }
        self.active.fetch_sub(1, Ordering::Relaxed);
        self.skipped_busy.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Slot {
    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            preference: Preference::default(),
            levels: Levels::default(),
            media_types: MediaTypes::default(),
            min_bytes: 1024,
            only_if: None,
            max_concurrent: 1000,
            plain_backend: false,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("preference", &self.preference)
            .field("levels", &self.levels)
            .field("media_types", &self.media_types)
            .field("min_bytes", &self.min_bytes)
            .field("max_concurrent", &self.max_concurrent)
            .field("plain_backend", &self.plain_backend)
            .finish_non_exhaustive()
    }
}
