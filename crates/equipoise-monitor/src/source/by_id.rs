//! Looks up what was read of each endpoint.

use std::{collections::HashMap, iter::Peekable, vec};

use equipoise_core::EndpointId;

/// Values of endpoints, from which each is taken once. If they are taken in the order of the list, no id is hashed.
#[derive(Debug)]
pub(super) struct ById<V> {
    in_order: Peekable<vec::IntoIter<(EndpointId, V)>>,
    /// The rest of the list, after an id was asked for that is not the next one.
    others: HashMap<EndpointId, V>,
}

impl<V> ById<V> {
    pub(super) fn new(values: Vec<(EndpointId, V)>) -> Self {
        Self { in_order: values.into_iter().peekable(), others: HashMap::new() }
    }

    pub(super) fn take(&mut self, id: &EndpointId) -> Option<V> {
        if let Some((_, value)) = self.in_order.next_if(|(next, _)| next == id) {
            return Some(value);
        }
        self.others.extend(self.in_order.by_ref());
        self.others.remove(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_found_once_in_any_order() {
        let values = || ["a", "b", "c", "d"].map(|id| (EndpointId::from(id), id)).to_vec();
        for order in [["a", "b", "c", "d"], ["a", "c", "b", "d"], ["d", "c", "b", "a"], ["b", "b", "a", "-"]] {
            let mut by_id = ById::new(values());
            for (at, id) in order.into_iter().enumerate() {
                let expected = (id != "-" && !order[..at].contains(&id)).then_some(id);
                assert_eq!(by_id.take(&id.into()), expected, "{order:?}");
            }
        }
    }
}
