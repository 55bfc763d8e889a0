use std::collections::{BTreeMap, HashMap};

use equipoise_core::EndpointId;

use super::AdminState;

/// The administrative states of endpoints that have not joined yet.
///
/// An operator may set a state before the endpoint joins. The id may be misspelt, so that its endpoint never joins.
/// The number of states is therefore limited: if there are too many, the oldest one is dropped.
#[derive(Debug, Default)]
pub(super) struct PendingAdminStates {
    by_id: HashMap<EndpointId, (u64, AdminState)>,
    /// The ids in the order in which their states were set.
    ids: BTreeMap<u64, EndpointId>,
    next: u64,
}

/// The maximum number of states. It is more than an operator sets before a deployment. Each state takes about 200
/// bytes.
const MAX: usize = 1024;

impl PendingAdminStates {
    /// Sets the state of an id. If there are already [`MAX`] states of other ids, the oldest one is dropped.
    pub(super) fn insert(&mut self, id: EndpointId, state: AdminState) {
        self.remove(&id);
        if self.by_id.len() >= MAX
            && let Some((_, oldest)) = self.ids.pop_first()
        {
            tracing::warn!(endpoint = %oldest, "dropped the administrative state of an endpoint that has not joined");
            self.by_id.remove(&oldest);
        }
        self.by_id.insert(id.clone(), (self.next, state));
        self.ids.insert(self.next, id);
        self.next += 1;
    }

    pub(super) fn remove(&mut self, id: &EndpointId) -> Option<AdminState> {
        let (number, state) = self.by_id.remove(id)?;
        self.ids.remove(&number);
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_ids_that_never_join_are_limited_and_the_oldest_is_dropped_first() {
        let id = |n: usize| EndpointId::from(format!("e{n}"));
        let mut pending = PendingAdminStates::default();
        pending.insert(id(0), AdminState::Maintenance);
        pending.insert(id(1), AdminState::Maintenance);
        for n in (2..MAX).chain([0]).chain(MAX..3 * MAX / 2) {
            pending.insert(id(n), AdminState::Drain { deadline: None });
        }
        assert_eq!((pending.by_id.len(), pending.ids.len()), (MAX, MAX));
        assert_eq!(pending.remove(&id(1)), None, "it was the oldest");
        assert_eq!(pending.remove(&id(0)), Some(AdminState::Drain { deadline: None }), "it was set again");
        assert_eq!(pending.remove(&id(3 * MAX / 2 - 1)), Some(AdminState::Drain { deadline: None }));
        assert_eq!((pending.by_id.len(), pending.ids.len()), (MAX - 2, MAX - 2));
    }
}
