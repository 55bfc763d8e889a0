use std::collections::{HashMap, VecDeque};

use equipoise_core::EndpointId;

use super::event::Order;

/// The maximum number of orders that are remembered for endpoints which have not joined: more than an operator gives ahead
/// of a deployment, and some 100 KiB. Mistyped ids would otherwise be kept for ever.
const MOST: usize = 1024;

/// Orders for endpoints that have not joined yet. Beyond [`MOST`], the oldest is forgotten.
#[derive(Debug, Default)]
pub(super) struct Early {
    orders: HashMap<EndpointId, Order>,
    /// Every id of `orders` once, the one that was ordered first in front.
    ids: VecDeque<EndpointId>,
}

impl Early {
    pub(super) fn remember(&mut self, id: EndpointId, order: Order) {
        if self.orders.insert(id.clone(), order).is_none() {
            self.ids.push_back(id);
        }
        if self.ids.len() > MOST
            && let Some(oldest) = self.ids.pop_front()
        {
            tracing::warn!(endpoint = %oldest, "an order for an endpoint that has not joined is forgotten");
            self.orders.remove(&oldest);
        }
    }

    pub(super) fn take(&mut self, id: &EndpointId) -> Option<Order> {
        let order = self.orders.remove(id)?;
        self.ids.retain(|other| other != id);
        Some(order)
    }
}
