use std::collections::{BTreeMap, HashMap};

use equipoise_core::EndpointId;

use super::Order;

/// Orders for endpoints that have not joined yet.
///
/// They may come before their endpoints do, and ids that never join may be misspelt or of endpoints that have left: what
/// is kept is bounded, and the oldest order is the least likely to be waited for.
#[derive(Debug, Default)]
pub(super) struct Early {
    by_id: HashMap<EndpointId, (u64, Order)>,
    /// The ids in the order in which they were given.
    ids: BTreeMap<u64, EndpointId>,
    next: u64,
}

/// The maximum number of remembered orders: more than an operator gives ahead of a deployment. Some 200 bytes each.
const MOST: usize = 1024;

impl Early {
    /// Keeps the order in place of an earlier one for this id; one more than [`MOST`] takes the place of the oldest.
    pub(super) fn insert(&mut self, id: EndpointId, order: Order) {
        self.remove(&id);
        if self.by_id.len() >= MOST
            && let Some((_, oldest)) = self.ids.pop_first()
        {
            tracing::warn!(endpoint = %oldest, "an order for an endpoint that has not joined is forgotten");
            self.by_id.remove(&oldest);
        }
        self.by_id.insert(id.clone(), (self.next, order));
        self.ids.insert(self.next, id);
        self.next += 1;
    }

    pub(super) fn remove(&mut self, id: &EndpointId) -> Option<Order> {
        let (number, order) = self.by_id.remove(id)?;
        self.ids.remove(&number);
        Some(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_for_ids_that_never_join_are_bounded_and_the_oldest_goes_first() {
        let id = |n: usize| EndpointId::from(format!("e{n}"));
        let mut early = Early::default();
        early.insert(id(0), Order::Maintenance);
        early.insert(id(1), Order::Maintenance);
        for n in (2..MOST).chain([0]).chain(MOST..3 * MOST / 2) {
            early.insert(id(n), Order::Drain { deadline: None });
        }
        assert_eq!((early.by_id.len(), early.ids.len()), (MOST, MOST));
        assert_eq!(early.remove(&id(1)), None, "it was the oldest");
        assert_eq!(early.remove(&id(0)), Some(Order::Drain { deadline: None }), "it was given again");
        assert_eq!(early.remove(&id(3 * MOST / 2 - 1)), Some(Order::Drain { deadline: None }));
        assert_eq!((early.by_id.len(), early.ids.len()), (MOST - 2, MOST - 2));
    }
}
