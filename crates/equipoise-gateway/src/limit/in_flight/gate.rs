use std::{fmt, sync::Arc, time::Duration};

use equipoise_core::__private::seconds_rounded_up;
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::RequestHead;
use http::{StatusCode, header::RETRY_AFTER};

use super::{
    super::{
        LimitKey, MissingKey,
        key::{KeyHasher, KeyId},
    },
    permits::{Permit, Permits},
};
use crate::Denial;

/// What decides whether a request may be in flight: shared by the clones of a layer and its services.
pub(super) struct Gate {
    pub(super) key: LimitKey,
    pub(super) missing: MissingKey,
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) errors: ErrorResponses,
    pub(super) hasher: KeyHasher,
    pub(super) permits: Arc<Permits>,
}

impl Gate {
    /// Takes a permit for a request. `None` if the request needs none.
    pub(super) fn admit(&self, head: RequestHead<'_>) -> Result<Option<Permit>, Box<Denial>> {
        let key: KeyId = match self.hasher.hash(&self.key, head) {
            Some(key) => key,
            None => {
                self.permits.missing_key.count();
                match self.missing {
                    MissingKey::Shared => KeyHasher::MISSING,
                    MissingKey::Skip => return Ok(None),
                    MissingKey::Deny => return Err(Box::new(MissingKey::denial())),
                }
            }
        };
        self.permits.take(key).map(Some).ok_or_else(|| {
            let denial = Denial::new(self.status, "too_many_in_flight", "too many requests at the same time");
            Box::new(match self.retry_after {
                Some(after) => denial.field(RETRY_AFTER, seconds_rounded_up(after).into()),
                None => denial,
            })
        })
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("key", &self.key).field("missing", &self.missing).finish_non_exhaustive()
    }
}
