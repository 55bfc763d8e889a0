use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use equipoise_core::EndpointId;
use parking_lot::RwLock;

/// Number of locks. With this number, threads that bind different sessions rarely wait for each other.
const PARTS: usize = 16;

/// Size that a part must have before endpoints without sessions are removed from it.
const FEW: usize = 32;

/// An endpoint, from its first binding until it leaves the pool. If it joins again, it is a new member.
pub(super) struct Member {
    id: EndpointId,
    gone: AtomicBool,
}

impl Member {
    pub(super) fn id(&self) -> &EndpointId {
        &self.id
    }

    #[inline]
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// The endpoints that sessions are bound to, each once. The entries of the table point to their member, so that one
/// flag in the member makes all entries of the endpoint void. A member is freed with the last entry that points to it.
pub(super) struct Members {
    hasher: RandomState,
    parts: [RwLock<Part>; PARTS],
    departures: AtomicU64,
}

struct Part {
    present: HashMap<EndpointId, Arc<Member>>,
    /// The size at which endpoints without sessions are removed the next time.
    full: usize,
}

impl Members {
    pub(super) fn new() -> Self {
        let parts = std::array::from_fn(|_| RwLock::new(Part { present: HashMap::new(), full: FEW }));
        Self { hasher: RandomState::new(), parts, departures: AtomicU64::new(0) }
    }

    fn part(&self, id: &EndpointId) -> &RwLock<Part> {
        &self.parts[self.hasher.hash_one(id) as usize % PARTS]
    }

    pub(super) fn member(&self, id: &EndpointId) -> Arc<Member> {
        let part = self.part(id);
        if let Some(member) = part.read().present.get(id) {
            return Arc::clone(member);
        }
        let mut part = part.write();
        if part.present.len() >= part.full && !part.present.contains_key(id) {
            // Endpoints may leave without a report, so unused ones are removed here. Meanwhile the lock keeps other
            // threads from getting a member.
            part.present.retain(|_, member| Arc::strong_count(member) > 1);
            part.full = (part.present.len() * 2).max(FEW);
        }
        let new = || Arc::new(Member { id: id.clone(), gone: AtomicBool::new(false) });
        Arc::clone(part.present.entry(id.clone()).or_insert_with(new))
    }

    pub(super) fn left(&self, id: &EndpointId) {
        let left = self.part(id).write().present.remove(id);
        if let Some(member) = left {
            member.gone.store(true, Ordering::Relaxed);
            self.departures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of endpoints that have left.
    pub(super) fn departures(&self) -> u64 {
        self.departures.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.read().present.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_member_until_it_leaves() {
        let (members, id) = (Members::new(), EndpointId::from("a:80"));
        let first = members.member(&id);
        assert!(Arc::ptr_eq(&first, &members.member(&id)));
        members.left(&id);
        assert!(first.is_gone());
        assert!(!members.member(&id).is_gone());
    }

    #[test]
    fn endless_churn_of_ids_leaves_nothing_behind() {
        let members = Members::new();
        let held: Vec<_> = (0..100).map(|n| members.member(&EndpointId::from(format!("held-{n}")))).collect();
        for n in 0..100_000 {
            let id = EndpointId::from(format!("passing-{n}"));
            members.member(&id);
            if n % 3 == 0 {
                members.left(&id);
            }
        }
        assert!(members.len() <= 2 * held.len() + PARTS * FEW, "{}", members.len());
        assert!(held.iter().all(|member| Arc::ptr_eq(member, &members.member(member.id()))));
    }
}
