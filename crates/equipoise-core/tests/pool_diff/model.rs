//! What a pool should be: a map by id, changed in the plainest way.

use std::collections::{BTreeMap, BTreeSet};

use equipoise_core::{Availability, EndpointId, InvalidSpec, MAX_WEIGHT, PickError, UpdateError};

use crate::ops::Draft;

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) draft: Draft,
    pub(crate) availability: Availability,
    /// Which call of the factory made its target.
    pub(crate) target: u32,
    pub(crate) in_flight: u32,
    /// The leases among those in flight that were taken under a limit.
    pub(crate) permits: u32,
    pub(crate) slot: usize,
}

impl Entry {
    pub(crate) fn eligible(&self) -> bool {
        self.availability == Availability::Open && self.draft.weight > 0
    }

    fn full(&self) -> bool {
        self.draft.limit.is_some_and(|limit| self.permits >= limit)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) revision: u64,
}

/// The ids of [`Changes`](equipoise_core::Changes), as sets.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expected {
    pub(crate) added: BTreeSet<String>,
    pub(crate) removed: BTreeSet<String>,
    pub(crate) replaced: BTreeSet<String>,
    pub(crate) changed: BTreeSet<String>,
}

impl Expected {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Who may be picked, or why nobody can.
#[derive(Debug)]
pub(crate) enum Verdict {
    Preferred(String),
    OneOf(BTreeSet<String>),
    Nobody(PickError),
}

impl Model {
    /// All that is wrong with `drafts` as a full desired state: any of these may be the answer.
    pub(crate) fn faults(drafts: &[Draft]) -> Vec<UpdateError> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for draft in drafts {
            let id = EndpointId::from(&draft.id);
            if draft.id.is_empty() || draft.id.len() > 255 || draft.id.contains(char::is_control) {
                faults.push(InvalidSpec::Id { id: id.clone() });
            }
            if !seen.insert(&draft.id) {
                faults.push(InvalidSpec::DuplicateId { id: id.clone() });
            }
            if draft.weight > MAX_WEIGHT {
                faults.push(InvalidSpec::Weight { id: id.clone(), weight: draft.weight });
            }
            if draft.limit == Some(0) {
                faults.push(InvalidSpec::Limit { id });
            }
        }
        if !drafts.is_empty() && drafts.iter().all(|draft| draft.weight == 0) {
            faults.push(InvalidSpec::NoWeight { count: drafts.len() });
        }
        faults.into_iter().map(UpdateError::Invalid).collect()
    }

    pub(crate) fn drafts(&self) -> Vec<Draft> {
        self.entries.values().map(|entry| entry.draft.clone()).collect()
    }

    pub(crate) fn differences(&self, drafts: &[Draft]) -> Expected {
        let mut expected = Expected::default();
        for draft in drafts {
            let id = draft.id.clone();
            match self.entries.get(&id) {
                None => expected.added.insert(id),
                Some(entry) if entry.draft.address != draft.address => expected.replaced.insert(id),
                Some(entry) if entry.draft != *draft => expected.changed.insert(id),
                Some(_) => continue,
            };
        }
        let wanted: BTreeSet<&String> = drafts.iter().map(|draft| &draft.id).collect();
        expected.removed = self.entries.keys().filter(|id| !wanted.contains(id)).cloned().collect();
        expected
    }

    /// Takes `drafts` for the new state; `targets` says which call of the factory made whose target, `slots` who lives
    /// where.
    pub(crate) fn become_(
        &mut self,
        drafts: &[Draft],
        targets: &BTreeMap<String, u32>,
        slots: &BTreeMap<String, (usize, u32)>,
    ) {
        let old = std::mem::take(&mut self.entries);
        for draft in drafts {
            let stays = old.get(&draft.id).filter(|entry| entry.draft.address == draft.address);
            let entry = match stays {
                Some(entry) => Entry { draft: draft.clone(), ..entry.clone() },
                None => Entry {
                    draft: draft.clone(),
                    availability: Availability::Open,
                    target: targets[&draft.id],
                    in_flight: 0,
                    permits: 0,
                    slot: slots[&draft.id].0,
                },
            };
            self.entries.insert(draft.id.clone(), entry);
        }
        self.revision += 1;
    }

    pub(crate) fn verdict(&self, exclude: &[String], prefer: Option<&String>) -> Verdict {
        let bound = prefer.and_then(|id| self.entries.get(id));
        if let Some(entry) = bound
            && entry.availability != Availability::Closed
            && !entry.full()
            && !exclude.contains(&entry.draft.id)
        {
            return Verdict::Preferred(entry.draft.id.clone());
        }
        let eligible: Vec<&Entry> = self.entries.values().filter(|entry| entry.eligible()).collect();
        let left: Vec<&&Entry> = eligible.iter().filter(|entry| !exclude.contains(&entry.draft.id)).collect();
        let usable: Vec<&&&Entry> = left.iter().filter(|entry| !entry.full()).collect();
        if let Some(tier) = usable.iter().map(|entry| entry.draft.tier).min() {
            let best = usable.iter().filter(|entry| entry.draft.tier == tier);
            return Verdict::OneOf(best.map(|entry| entry.draft.id.clone()).collect());
        }
        Verdict::Nobody(match (self.entries.len(), eligible.len(), left.len()) {
            (0, ..) => PickError::Empty,
            (members, 0, _) => PickError::Unavailable { members },
            (_, _, 0) => PickError::Excluded,
            _ => PickError::Saturated,
        })
    }
}
