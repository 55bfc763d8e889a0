use equipoise_core::EndpointId;

use super::{Shared, passage::takes};
use crate::mode::Members;

impl Members for Shared {
    fn has(&self, id: &EndpointId) -> bool {
        self.roster.pool().availability(id).is_some()
    }

    fn takes(&self, id: &EndpointId) -> bool {
        takes(self.roster.pool().availability(id))
    }

    fn knows(&self, id: &EndpointId) -> bool {
        self.has(id) || self.roster.has_departed(id)
    }

    fn catch_up(&self) {
        let Self { mode, roster, .. } = self;
        if let Err(unfit) = roster.follow(true, |id| mode.left(id), |endpoints| mode.there(endpoints)) {
            tracing::warn!("{unfit}");
        }
    }
}

/// The members for a request that is forced: each takes what is bound to it.
pub(super) struct Forced<'a>(pub(super) &'a Shared);

impl Members for Forced<'_> {
    fn has(&self, id: &EndpointId) -> bool {
        self.0.has(id)
    }

    fn takes(&self, id: &EndpointId) -> bool {
        self.0.has(id)
    }

    fn knows(&self, id: &EndpointId) -> bool {
        self.0.knows(id)
    }

    fn catch_up(&self) {
        self.0.catch_up();
    }
}
