//! The model of a pool: a map from id to endpoint, with the simplest possible implementation of each change.

use std::collections::{BTreeMap, BTreeSet};

use equipoise_core::{Availability, EndpointId, InvalidSpec, MAX_WEIGHT, PickError, UpdateError};

use crate::ops::Draft;

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) draft: Draft,
    pub(crate) availability: Availability,
    /// The number of the factory call that made the endpoint's target.
    pub(crate) target: u32,
    pub(crate) in_flight: u32,
    /// The number of leases in flight that were taken while the endpoint had a limit.
    pub(crate) permits: u32,
    pub(crate) slot: usize,
    pub(crate) overlay: Overlay,
    pub(crate) trial: Trial,
}

/// The settings that override those of the draft.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Overlay {
    pub(crate) percent: u32,
    pub(crate) limit: Option<u32>,
}

/// The state of an endpoint's probation. `round` counts how often the endpoint was put on probation. `out` is whether
/// the one lease that each round allows is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Trial {
    pub(crate) round: u32,
    pub(crate) out: bool,
}

impl Entry {
    pub(crate) fn weight(&self) -> u32 {
        (u64::from(self.draft.weight) * u64::from(self.overlay.percent) / 100) as u32
    }

    pub(crate) fn limit(&self) -> Option<u32> {
        self.overlay.limit.or(self.draft.limit)
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

/// The expected result of a pick: the endpoints that may be picked, or the error.
#[derive(Debug)]
pub(crate) enum Verdict {
    Preferred(String),
    OneOf(BTreeSet<String>),
    Nobody(PickError),
}

impl Model {
    /// Returns all errors in `drafts` as the complete list of endpoints. The pool may report any one of them.
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

    /// Replaces the state by `drafts`. `targets` has, for the id of each new endpoint, the number of the factory call
    /// that made its target. `slots` has the slot of each endpoint by id.
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
                    availability: Availability::Up,
                    target: targets[&draft.id],
                    in_flight: 0,
                    permits: 0,
                    slot: slots[&draft.id].0,
                    overlay: Overlay { percent: 100, limit: None },
                    trial: Trial::default(),
                },
            };
            self.entries.insert(draft.id.clone(), entry);
        }
        self.revision += 1;
    }

    /// Returns whether the tier panics: less than half of its endpoints in service are healthy, and all tiers together
    /// have too few healthy endpoints to carry the traffic. The calculation uses fractions of integers, so that nothing
    /// is rounded.
    fn panics(&self, tier: u8) -> bool {
        let count = |tier: u8, counts: fn(&Entry) -> bool| {
            let there = self.entries.values().filter(|entry| entry.draft.tier == tier && entry.weight() > 0);
            there.filter(|entry| counts(entry)).count() as u64
        };
        let is_fit = |entry: &Entry| entry.availability == Availability::Up;
        let is_willing =
            |entry: &Entry| !matches!(entry.availability, Availability::Draining | Availability::Maintenance);
        let tiers: BTreeSet<u8> = self.entries.values().map(|entry| entry.draft.tier).collect();
        let (carried, whole) = tiers.into_iter().fold((0, 1), |(carried, whole), tier| {
            let all = 10 * count(tier, |_| true).max(1);
            (carried * all + (14 * count(tier, is_fit)).min(all) * whole, whole * all)
        });
        carried < whole && 2 * count(tier, is_fit) < count(tier, is_willing)
    }

    pub(crate) fn eligible(&self, entry: &Entry) -> bool {
        entry.weight() > 0
            && match entry.availability {
                Availability::Up | Availability::Probation => true,
                Availability::Unhealthy => self.panics(entry.draft.tier),
                _ => false,
            }
    }

    /// Returns whether a request needs the endpoint's pass to be sent there.
    pub(crate) fn on_probation(&self, entry: &Entry) -> bool {
        entry.availability == Availability::Probation && !self.panics(entry.draft.tier)
    }

    fn full(&self, entry: &Entry) -> bool {
        entry.limit().is_some_and(|limit| entry.permits >= limit) || self.on_probation(entry) && entry.trial.out
    }

    pub(crate) fn verdict(&self, exclude: &[String], prefer: Option<&String>) -> Verdict {
        let bound = prefer.and_then(|id| self.entries.get(id));
        if let Some(entry) = bound
            && entry.availability != Availability::Maintenance
            && (entry.availability != Availability::Unhealthy || self.eligible(entry))
            && !self.full(entry)
            && !exclude.contains(&entry.draft.id)
        {
            return Verdict::Preferred(entry.draft.id.clone());
        }
        let eligible: Vec<&Entry> = self.entries.values().filter(|entry| self.eligible(entry)).collect();
        let left: Vec<&&Entry> = eligible.iter().filter(|entry| !exclude.contains(&entry.draft.id)).collect();
        let usable: Vec<&&&Entry> = left.iter().filter(|entry| !self.full(entry)).collect();
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
