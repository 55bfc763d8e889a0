//! The entries of the queue, found by what they can use: a plain data structure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    task::Waker,
};

use super::Outcome;
use crate::{
    endpoint::EndpointId,
    request::{OwnedRequest, Wants},
};

/// The position in the queue; the first is 1. It is only compared, so a queue with priorities would put the priority
/// into the high bits.
pub(in crate::pool) type Ticket = u64;

/// The entries that wait for the same thing. Never used again after the last of them has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::pool) struct Group(u64);

/// Groups that are searched separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any endpoint.
    Any,
    /// Any endpoint except excluded ones.
    Except,
    /// One endpoint only.
    Only,
}

#[derive(Default)]
pub(super) struct Entries {
    last_ticket: Ticket,
    last_group: u64,
    entries: HashMap<Ticket, Entry>,
    groups: HashMap<Group, Members>,
    by_wants: HashMap<Arc<Wants>, Group>,
    /// By [`Kind`]: each group at the ticket of its first entry.
    heads: [BTreeMap<Ticket, Group>; 3],
    /// By the endpoint that they prefer: the groups that can also use others.
    homes: HashMap<EndpointId, BTreeMap<Ticket, Group>>,
}

struct Entry {
    group: Group,
    request: Arc<OwnedRequest>,
    waker: Waker,
    /// Set when the entry has been served; it has left its group then.
    outcome: Option<Outcome>,
}

struct Members {
    wants: Arc<Wants>,
    waiting: BTreeSet<Ticket>,
}

/// An entry whose turn it may be.
pub(in crate::pool) struct Candidate {
    pub(in crate::pool) ticket: Ticket,
    pub(in crate::pool) request: Arc<OwnedRequest>,
}

/// An entry that was taken out.
#[derive(Default)]
pub(super) struct Removed {
    /// What it was served with, if it was.
    pub(super) outcome: Option<Outcome>,
    /// Its group, if it was waiting as the first of it and others wait on.
    pub(super) was_head_of: Option<Group>,
    /// Whether it was waiting.
    pub(super) waited: bool,
    /// To be dropped outside the lock, as it may run foreign code.
    _waker: Option<Waker>,
}

impl Entries {
    /// Puts an entry at the end. The group, if no other entry waits for the same.
    pub(super) fn insert(&mut self, request: Arc<OwnedRequest>, wants: Wants, waker: Waker) -> (Ticket, Option<Group>) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        let present = self.by_wants.get(&wants).copied();
        let group = present.unwrap_or_else(|| {
            self.last_group += 1;
            let (group, wants) = (Group(self.last_group), Arc::new(wants));
            self.by_wants.insert(Arc::clone(&wants), group);
            self.groups.insert(group, Members { wants, waiting: BTreeSet::new() });
            group
        });
        if let Some(members) = self.groups.get_mut(&group) {
            members.waiting.insert(ticket);
        }
        if present.is_none() {
            self.list(group, ticket);
        }
        self.entries.insert(ticket, Entry { group, request, waker, outcome: None });
        (ticket, present.is_none().then_some(group))
    }

    /// The entry's outcome, with which it leaves; or else `waker` is what it is woken by. And the waker that is not needed
    /// any more: to be dropped outside the lock.
    pub(super) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> (Option<Outcome>, Option<Waker>) {
        match self.entries.get_mut(&ticket) {
            Some(entry) if entry.outcome.is_none() => {
                let stays = entry.waker.will_wake(waker);
                (None, (!stays).then(|| std::mem::replace(&mut entry.waker, waker.clone())))
            }
            _ => match self.entries.remove(&ticket) {
                Some(entry) => (entry.outcome, Some(entry.waker)),
                None => (None, None),
            },
        }
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Removed {
        let Some(entry) = self.entries.remove(&ticket) else { return Removed::default() };
        if entry.outcome.is_some() {
            return Removed { outcome: entry.outcome, _waker: Some(entry.waker), ..Removed::default() };
        }
        let was_head = self.leave(entry.group, ticket);
        let goes_on = self.groups.contains_key(&entry.group);
        let was_head_of = (was_head && goes_on).then_some(entry.group);
        Removed { outcome: None, was_head_of, waited: true, _waker: Some(entry.waker) }
    }

    /// Serves an entry that waits. The outcome comes back if it has left.
    pub(super) fn deliver(&mut self, ticket: Ticket, outcome: Outcome) -> Result<Waker, Outcome> {
        let Some(entry) = self.entries.get_mut(&ticket).filter(|entry| entry.outcome.is_none()) else {
            return Err(outcome);
        };
        entry.outcome = Some(outcome);
        let (waker, group) = (std::mem::replace(&mut entry.waker, Waker::noop().clone()), entry.group);
        self.leave(group, ticket);
        Ok(waker)
    }

    pub(super) fn head(&self, group: Group) -> Option<Candidate> {
        self.candidate(*self.groups.get(&group)?.waiting.first()?)
    }

    /// The first group of these kinds whose first entry came after `after`.
    pub(super) fn next_of(&self, kinds: &[Kind], after: Ticket) -> Option<Candidate> {
        let heads = kinds.iter().filter_map(|&kind| self.heads[kind as usize].range(after + 1..).next());
        self.candidate(heads.map(|(&ticket, _)| ticket).min()?)
    }

    /// The first entry after `after`, and first of its group, that a place at this endpoint would be something for.
    /// O(log n); groups that exclude the endpoint are looked at one by one.
    pub(super) fn next_for(&self, id: &EndpointId, eligible: bool, after: Ticket) -> Option<Candidate> {
        let only = self.by_wants.get(&Wants::Only(id.clone())).and_then(|group| self.groups.get(group));
        let only = only.and_then(|members| members.waiting.first()).copied().filter(|&ticket| ticket > after);
        let admits = |group: &Group| match self.groups.get(group).map(|members| &*members.wants) {
            Some(Wants::Any { exclude, .. }) => exclude.binary_search(id).is_err(),
            _ => false,
        };
        let first_of = |groups: &BTreeMap<Ticket, Group>| {
            groups.range(after + 1..).find(|(_, group)| admits(group)).map(|(&ticket, _)| ticket)
        };
        let others = if eligible {
            let [any, except] = [Kind::Any, Kind::Except].map(|kind| first_of(&self.heads[kind as usize]));
            [any, except]
        } else {
            [self.homes.get(id).and_then(first_of), None]
        };
        self.candidate(others.into_iter().chain([only]).flatten().min()?)
    }

    fn candidate(&self, ticket: Ticket) -> Option<Candidate> {
        Some(Candidate { ticket, request: Arc::clone(&self.entries.get(&ticket)?.request) })
    }

    /// The entry does not wait any more. Whether it was the first of its group.
    fn leave(&mut self, group: Group, ticket: Ticket) -> bool {
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

    fn list(&mut self, group: Group, head: Ticket) {
        let Some(members) = self.groups.get(&group) else { return };
        self.heads[kind(&members.wants) as usize].insert(head, group);
        if let Some(home) = home(&members.wants) {
            self.homes.entry(home.clone()).or_default().insert(head, group);
        }
    }

    fn unlist(&mut self, group: Group, head: Ticket) {
        let Some(members) = self.groups.get(&group) else { return };
        self.heads[kind(&members.wants) as usize].remove(&head);
        if let Some(home) = home(&members.wants)
            && let Some(groups) = self.homes.get_mut(home)
        {
            groups.remove(&head);
            if groups.is_empty() {
                self.homes.remove(home);
            }
        }
    }
}

fn kind(wants: &Wants) -> Kind {
    match wants {
        Wants::Only(_) => Kind::Only,
        Wants::Any { exclude, .. } if exclude.is_empty() => Kind::Any,
        Wants::Any { .. } => Kind::Except,
    }
}

fn home(wants: &Wants) -> Option<&EndpointId> {
    match wants {
        Wants::Any { home: Some((home, _)), .. } => Some(home),
        _ => None,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Binding, PickError, PickRequest};

    fn insert(entries: &mut Entries, request: &PickRequest<'_>) -> (Ticket, Option<Group>) {
        let request = Arc::new(OwnedRequest::of(request));
        let wants = request.wants(false);
        entries.insert(request, wants, Waker::noop().clone())
    }

    fn next_for(entries: &Entries, id: &str, eligible: bool, after: Ticket) -> Option<Ticket> {
        entries.next_for(&id.into(), eligible, after).map(|candidate| candidate.ticket)
    }

    fn is_empty(entries: &Entries) -> bool {
        entries.groups.is_empty()
            && entries.by_wants.is_empty()
            && entries.heads.iter().all(BTreeMap::is_empty)
            && entries.homes.is_empty()
            && entries.entries.is_empty()
    }

    #[test]
    fn each_place_is_for_the_first_entry_that_can_use_it() {
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
        assert_eq!(next_for(&entries, "a", true, 0), Some(tickets[0]));
        assert_eq!(next_for(&entries, "a", true, tickets[0]), Some(tickets[2]));
        assert_eq!(next_for(&entries, "b", true, 0), Some(tickets[1]));
        assert_eq!(next_for(&entries, "b", true, tickets[2]), Some(tickets[3]));
        // An endpoint that takes bound requests only.
        assert_eq!(next_for(&entries, "a", false, tickets[0]), Some(tickets[2]));
        assert_eq!(next_for(&entries, "a", false, tickets[2]), None);
        assert_eq!(next_for(&entries, "b", false, 0), None);
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
        assert_eq!(next_for(&entries, "a", true, 0), Some(second.0));
        assert!(entries.deliver(second.0, Err(PickError::Empty)).is_ok());
        assert_eq!(next_for(&entries, "a", true, 0), Some(third.0));
        assert!(entries.deliver(first.0, Err(PickError::Empty)).is_err(), "it has left");
        assert!(entries.deliver(second.0, Err(PickError::Empty)).is_err(), "it has been served");
        assert!(entries.poll(third.0, Waker::noop()).0.is_none());
        assert!(entries.poll(second.0, Waker::noop()).0.is_some());
        assert!(entries.remove(third.0).waited);
        assert!(is_empty(&entries));
    }
}
