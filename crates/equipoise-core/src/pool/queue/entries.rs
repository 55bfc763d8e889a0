//! The entries of the queue, indexed by the capacity that they can use. This is a data structure without locks.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    task::Waker,
};

use crate::{
    ids::EndpointId,
    lease::{AnyTarget, Lease},
    pool::error::PickError,
    request::{OwnedRequest, Wants},
};

/// The result that an entry gets when it is served.
pub(in crate::pool) type PickResult = Result<Lease<AnyTarget>, PickError>;

/// Which requests can use the free capacity of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pool) enum UsableBy {
    /// Only requests with a forced binding. The endpoint is unhealthy, in maintenance, or on probation while its pass
    /// is taken.
    Forced,
    /// Only requests that are bound to the endpoint or prefer it. The endpoint is draining or has weight 0.
    Bound,
    /// All requests. The endpoint is eligible.
    All,
}

/// The number of an entry in the order of the queue. The first entry has 1.
pub(in crate::pool) type Ticket = u64;

/// Identifies a group: the entries with equal [`Wants`]. An id is not used again after the last entry of its group has
/// left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::pool) struct GroupId(u64);

/// Which endpoints the entries of a group can use. Groups of each kind have their own index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pool) enum Kind {
    /// The entries can use any endpoint.
    Any,
    /// The entries can use any endpoint except those that they exclude.
    Except,
    /// The entries can use one endpoint only.
    Only,
}

/// All entries of a queue, with their indexes.
#[derive(Default)]
pub(super) struct Entries {
    last_ticket: Ticket,
    last_group: u64,
    entries: HashMap<Ticket, Entry>,
    groups: HashMap<GroupId, Group>,
    by_wants: HashMap<Arc<Wants>, GroupId>,
    /// For each [`Kind`], the groups of this kind, sorted by the ticket of their first entry.
    heads: [BTreeMap<Ticket, GroupId>; 3],
    /// For each endpoint, the groups that prefer it or can use only this endpoint, sorted by the ticket of their first
    /// entry.
    bound: HashMap<EndpointId, BTreeMap<Ticket, GroupId>>,
}

struct Entry {
    group: GroupId,
    request: Arc<OwnedRequest>,
    waker: Waker,
    /// The result of the pick. `None` while the entry waits. When the entry gets its result, it leaves its group.
    result: Option<PickResult>,
}

/// A group: the entries with equal wants.
struct Group {
    wants: Arc<Wants>,
    waiting: BTreeSet<Ticket>,
}

/// The next entry for which a pick is to be tried.
pub(in crate::pool) struct NextEntry {
    pub(in crate::pool) ticket: Ticket,
    pub(in crate::pool) request: Arc<OwnedRequest>,
}

/// What a removed entry leaves to the caller.
#[derive(Default)]
pub(super) struct Removed {
    /// The result of the entry, if it had been served.
    pub(super) result: Option<PickResult>,
    /// The group of the entry, if the entry was the first of the group and other entries still wait in it.
    pub(super) was_head_of: Option<GroupId>,
    /// Whether the entry was still waiting.
    pub(super) waited: bool,
    /// The waker of the entry. It is dropped outside the lock, because its drop may run user code.
    _waker: Option<Waker>,
}

impl Entries {
    /// Adds an entry at the end. Returns its ticket, and its group if the group is new.
    pub(super) fn insert(
        &mut self,
        request: Arc<OwnedRequest>,
        wants: Wants,
        waker: Waker,
    ) -> (Ticket, Option<GroupId>) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        let present = self.by_wants.get(&wants).copied();
        let group = present.unwrap_or_else(|| {
            self.last_group += 1;
            let (group, wants) = (GroupId(self.last_group), Arc::new(wants));
            self.by_wants.insert(Arc::clone(&wants), group);
            self.groups.insert(group, Group { wants, waiting: BTreeSet::new() });
            group
        });
        if let Some(members) = self.groups.get_mut(&group) {
            members.waiting.insert(ticket);
        }
        if present.is_none() {
            self.list(group, ticket);
        }
        self.entries.insert(ticket, Entry { group, request, waker, result: None });
        (ticket, present.is_none().then_some(group))
    }

    /// Takes the result of an entry that has been served, and removes the entry. If the entry still waits, stores
    /// `waker`. Also returns the waker that is no longer needed. The caller drops it outside the lock.
    pub(super) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> (Option<PickResult>, Option<Waker>) {
        match self.entries.get_mut(&ticket) {
            Some(entry) if entry.result.is_none() => {
                let stays = entry.waker.will_wake(waker);
                (None, (!stays).then(|| std::mem::replace(&mut entry.waker, waker.clone())))
            }
            _ => match self.entries.remove(&ticket) {
                Some(entry) => (entry.result, Some(entry.waker)),
                None => (None, None),
            },
        }
    }

    /// Removes an entry, whether it has been served or not.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Removed {
        let Some(entry) = self.entries.remove(&ticket) else { return Removed::default() };
        if entry.result.is_some() {
            return Removed { result: entry.result, _waker: Some(entry.waker), ..Removed::default() };
        }
        let was_head = self.leave(entry.group, ticket);
        let goes_on = self.groups.contains_key(&entry.group);
        let was_head_of = (was_head && goes_on).then_some(entry.group);
        Removed { result: None, was_head_of, waited: true, _waker: Some(entry.waker) }
    }

    /// Serves an entry: stores its result. Returns the waker of its task. If the entry has left, returns the result
    /// instead.
    pub(super) fn deliver(&mut self, ticket: Ticket, result: PickResult) -> Result<Waker, PickResult> {
        let Some(entry) = self.entries.get_mut(&ticket).filter(|entry| entry.result.is_none()) else {
            return Err(result);
        };
        entry.result = Some(result);
        let (waker, group) = (std::mem::replace(&mut entry.waker, Waker::noop().clone()), entry.group);
        self.leave(group, ticket);
        Ok(waker)
    }

    /// Returns the first entry of this group.
    pub(super) fn head(&self, group: GroupId) -> Option<NextEntry> {
        self.candidate(*self.groups.get(&group)?.waiting.first()?)
    }

    /// Returns the first entry after the ticket `after` that is the first of a group of these kinds.
    pub(super) fn next_of(&self, kinds: &[Kind], after: Ticket) -> Option<NextEntry> {
        let heads = kinds.iter().filter_map(|&kind| self.heads[kind as usize].range(after + 1..).next());
        self.candidate(heads.map(|(&ticket, _)| ticket).min()?)
    }

    /// Returns the first entry after the ticket `after` that is the first of its group and can use capacity at this
    /// endpoint. Takes O(log n) time for n groups, plus time linear in the number of groups that exclude the endpoint.
    /// If only forced requests can use the capacity, it is also linear in the number of groups that are bound to the
    /// endpoint and are not forced.
    pub(super) fn next_for(&self, id: &EndpointId, usable_by: UsableBy, after: Ticket) -> Option<NextEntry> {
        let can_use = |group: &GroupId| match self.groups.get(group).map(|members| &*members.wants) {
            // A request that excludes its only endpoint is tried so that it fails.
            Some(Wants::Only { forced, excluded, .. }) => *forced || *excluded || usable_by > UsableBy::Forced,
            Some(Wants::Any { exclude, preferred, .. }) => {
                let forced = preferred.as_ref().is_some_and(|preferred| preferred.forced);
                exclude.binary_search(id).is_err() && (forced || usable_by > UsableBy::Forced)
            }
            None => false,
        };
        let first_of = |groups: &BTreeMap<Ticket, GroupId>| {
            groups.range(after + 1..).find(|(_, group)| can_use(group)).map(|(&ticket, _)| ticket)
        };
        let others = match usable_by {
            UsableBy::All => [Kind::Any, Kind::Except].map(|kind| first_of(&self.heads[kind as usize])),
            UsableBy::Bound | UsableBy::Forced => [None, None],
        };
        let bound = self.bound.get(id).and_then(first_of);
        self.candidate(others.into_iter().chain([bound]).flatten().min()?)
    }

    fn candidate(&self, ticket: Ticket) -> Option<NextEntry> {
        Some(NextEntry { ticket, request: Arc::clone(&self.entries.get(&ticket)?.request) })
    }

    /// Removes an entry from its group. Returns whether it was the first of the group.
    fn leave(&mut self, group: GroupId, ticket: Ticket) -> bool {
        let Some(members) = self.groups.get_mut(&group) else { return false };
        let was_head = members.waiting.first() == Some(&ticket);
        members.waiting.remove(&ticket);
        let next = members.waiting.first().copied();
        if was_head {
            self.unlist(group, ticket);
            match next {
                Some(next) => self.list(group, next),
                None => {
                    if let Some(members) = self.groups.remove(&group) {
                        self.by_wants.remove(&members.wants);
                    }
                }
            }
        }
        was_head
    }

    /// Adds a group to the indexes, under the ticket of its first entry.
    fn list(&mut self, group: GroupId, head: Ticket) {
        let Some(members) = self.groups.get(&group) else { return };
        self.heads[kind(&members.wants) as usize].insert(head, group);
        if let Some(endpoint) = bound_to(&members.wants) {
            self.bound.entry(endpoint.clone()).or_default().insert(head, group);
        }
    }

    /// Removes a group from the indexes.
    fn unlist(&mut self, group: GroupId, head: Ticket) {
        let Some(members) = self.groups.get(&group) else { return };
        self.heads[kind(&members.wants) as usize].remove(&head);
        if let Some(endpoint) = bound_to(&members.wants)
            && let Some(groups) = self.bound.get_mut(endpoint)
        {
            groups.remove(&head);
            if groups.is_empty() {
                self.bound.remove(endpoint);
            }
        }
    }
}

fn kind(wants: &Wants) -> Kind {
    match wants {
        Wants::Only { .. } => Kind::Only,
        Wants::Any { exclude, .. } if exclude.is_empty() => Kind::Any,
        Wants::Any { .. } => Kind::Except,
    }
}

/// Returns the endpoint that requests with these wants prefer, or the only endpoint that they can use.
fn bound_to(wants: &Wants) -> Option<&EndpointId> {
    match wants {
        Wants::Only { endpoint, .. } => Some(endpoint),
        Wants::Any { preferred, .. } => preferred.as_ref().and_then(|preferred| preferred.endpoint.as_ref()),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Binding, PickError, PickRequest, request::KeyUse};

    fn insert(entries: &mut Entries, request: &PickRequest<'_>) -> (Ticket, Option<GroupId>) {
        let request = Arc::new(OwnedRequest::of(request));
        let wants = request.wants(KeyUse::Ignored);
        entries.insert(request, wants, Waker::noop().clone())
    }

    fn next_for(entries: &Entries, id: &str, usable_by: UsableBy, after: Ticket) -> Option<Ticket> {
        entries.next_for(&id.into(), usable_by, after).map(|candidate| candidate.ticket)
    }

    fn is_empty(entries: &Entries) -> bool {
        entries.groups.is_empty()
            && entries.by_wants.is_empty()
            && entries.heads.iter().all(BTreeMap::is_empty)
            && entries.bound.is_empty()
            && entries.entries.is_empty()
    }

    #[test]
    fn capacity_goes_to_the_first_entry_that_can_use_it() {
        let mut entries = Entries::default();
        let (strict, loose) = (Binding::to("a").strict(), Binding::to("a"));
        let excluded = ["a".into()];
        let requests = [
            PickRequest::new().bound(&strict),
            PickRequest::new().exclude(&excluded),
            PickRequest::new().bound(&loose),
            PickRequest::new(),
        ];
        let tickets = requests.map(|request| insert(&mut entries, &request).0);
        assert_eq!(next_for(&entries, "a", UsableBy::All, 0), Some(tickets[0]));
        assert_eq!(next_for(&entries, "a", UsableBy::All, tickets[0]), Some(tickets[2]));
        assert_eq!(next_for(&entries, "b", UsableBy::All, 0), Some(tickets[1]));
        assert_eq!(next_for(&entries, "b", UsableBy::All, tickets[2]), Some(tickets[3]));
        // An endpoint that accepts bound requests only.
        assert_eq!(next_for(&entries, "a", UsableBy::Bound, tickets[0]), Some(tickets[2]));
        assert_eq!(next_for(&entries, "a", UsableBy::Bound, tickets[2]), None);
        assert_eq!(next_for(&entries, "b", UsableBy::Bound, 0), None);
        for ticket in tickets {
            entries.remove(ticket);
        }
        assert!(is_empty(&entries));
    }

    #[test]
    fn the_next_of_a_group_takes_the_place_of_one_that_leaves() {
        let mut entries = Entries::default();
        let [first, second, third] = [(); 3].map(|()| insert(&mut entries, &PickRequest::new()));
        assert!(first.1.is_some() && second.1.is_none() && third.1.is_none());
        assert_eq!(entries.remove(first.0).was_head_of, first.1);
        assert_eq!(next_for(&entries, "a", UsableBy::All, 0), Some(second.0));
        assert!(entries.deliver(second.0, Err(PickError::Empty)).is_ok());
        assert_eq!(next_for(&entries, "a", UsableBy::All, 0), Some(third.0));
        assert!(entries.deliver(first.0, Err(PickError::Empty)).is_err(), "it has left");
        assert!(entries.deliver(second.0, Err(PickError::Empty)).is_err(), "it has been served");
        assert!(entries.poll(third.0, Waker::noop()).0.is_none());
        assert!(entries.poll(second.0, Waker::noop()).0.is_some());
        assert!(entries.remove(third.0).waited);
        assert!(is_empty(&entries));
    }
}
