use std::sync::Arc;

use crate::{endpoint::Slot, ids::Revision, view::View};

/// The states of the endpoints, by slot. Pickers share them as long as the membership is the same, so that a change of
/// availability does not have to look up each state.
pub(super) struct Memories<S> {
    by_slot: Arc<[Option<Arc<S>>]>,
    membership: Revision,
}

impl<S: Send + Sync + 'static> Memories<S> {
    pub(super) fn of(view: &View, last: Option<&Self>) -> Self {
        let membership = view.membership_revision();
        let by_slot = match last {
            Some(last) if last.membership == membership => Arc::clone(&last.by_slot),
            _ => (0..view.capacity() as u32).map(|slot| view.state(Slot(slot))).collect(),
        };
        Self { by_slot, membership }
    }

    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<&Arc<S>> {
        self.by_slot.get(slot.index())?.as_ref()
    }
}

impl<S> Clone for Memories<S> {
    fn clone(&self) -> Self {
        Self { by_slot: Arc::clone(&self.by_slot), membership: self.membership }
    }
}
