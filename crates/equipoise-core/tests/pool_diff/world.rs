//! A pool and its model side by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use equipoise_core::{
    Availability, Changes, EndpointId, EndpointSpec, InvalidSpec, Lease, ManualClock, P2c, PeakEwma, PickRequest, Pool,
    PoolBuilder, Random, RoundRobin, SeededEntropy, UpdateError, Verdict as Ending,
};
use proptest::{prelude::*, test_runner::TestCaseError};

use crate::{
    model::{Entry, Expected, Model, Overlay, Trial, Verdict},
    ops::{Draft, Op},
    watched::{Observed, Watched},
};

type Done = Result<(), TestCaseError>;

pub(crate) const STRATEGIES: usize = 4;

/// A lease in flight, and the values that must not change while it is.
struct Out {
    lease: Lease<u32>,
    id: String,
    target: u32,
    permit: bool,
    /// The round of the endpoint's probation whose pass the lease holds, if it holds one.
    pass: Option<u32>,
}

pub(crate) struct World {
    pool: Pool<u32>,
    model: Model,
    leases: Vec<Out>,
    observed: Arc<Observed>,
    /// The number of factory calls so far.
    made: u32,
}

impl World {
    pub(crate) fn new(strategy: usize, seed: u64) -> Self {
        let observed = Arc::new(Observed::default());
        let watch = |inner: usize| -> PoolBuilder<u32> {
            let observed = Arc::clone(&observed);
            match inner {
                0 => Pool::<u32>::builder(Watched { inner: RoundRobin::new(), observed }),
                1 => Pool::<u32>::builder(Watched { inner: Random::new(), observed }),
                2 => Pool::<u32>::builder(Watched { inner: P2c::new(), observed }),
                _ => Pool::<u32>::builder(Watched { inner: PeakEwma::new(), observed }),
            }
        };
        let builder = watch(strategy).entropy(Arc::new(SeededEntropy::new(seed))).clock(Arc::new(ManualClock::new()));
        Self { pool: builder.build(), model: Model::default(), leases: Vec::new(), observed, made: 0 }
    }

    pub(crate) fn apply(&mut self, op: Op) -> Done {
        self.observed.members.lock().clear();
        match op {
            Op::Update(drafts) => self.update(&drafts),
            Op::Add(draft) => self.add(draft),
            Op::Remove(id) => {
                let result = self.pool.remove(&id);
                let mut drafts = self.model.drafts();
                drafts.retain(|draft| draft.id != id);
                self.changed(&id, drafts, result)
            }
            Op::SetWeight(id, weight) => {
                let result = self.pool.set_weight(&id, weight);
                let mut drafts = self.model.drafts();
                drafts.iter_mut().filter(|draft| draft.id == id).for_each(|draft| draft.weight = weight);
                self.changed(&id, drafts, result)
            }
            Op::SetAvailability(id, availability) => {
                let result = self.pool.set_availability(&id, availability);
                match self.model.entries.get_mut(&id) {
                    None => prop_assert_eq!(result, Err(UpdateError::Unknown { id: EndpointId::from(&id) })),
                    Some(entry) => {
                        if availability == Availability::Probation {
                            entry.trial = Trial { round: entry.trial.round + 1, out: false };
                        }
                        let changes = std::mem::replace(&mut entry.availability, availability) != availability;
                        prop_assert_eq!(result, Ok(changes));
                        self.model.revision += u64::from(changes);
                    }
                }
                Ok(())
            }
            Op::Pick { exclude, prefer } => self.pick(&exclude, prefer.as_ref()),
            Op::SetPercent(id, percent) => {
                let result = self.pool.set_weight_percent(&id, percent);
                self.overlaid(&id, result, |overlay| overlay.percent = percent)
            }
            Op::SetLimit(id, limit) => {
                let result = self.pool.set_max_in_flight(&id, limit);
                if limit == Some(0) {
                    let id = EndpointId::from(&id);
                    prop_assert_eq!(result, Err(UpdateError::Invalid(InvalidSpec::Limit { id })));
                    return Ok(());
                }
                self.overlaid(&id, result, |overlay| overlay.limit = limit)
            }
            Op::Release(n, verdict) => {
                if !self.leases.is_empty() {
                    let out = self.leases.swap_remove(n % self.leases.len());
                    self.release(out, verdict);
                }
                Ok(())
            }
        }
    }

    fn overlaid(&mut self, id: &str, result: Result<bool, UpdateError>, set: impl Fn(&mut Overlay)) -> Done {
        match self.model.entries.get_mut(id) {
            None => prop_assert_eq!(result, Err(UpdateError::Unknown { id: EndpointId::from(id) })),
            Some(entry) => {
                let before = entry.overlay;
                set(&mut entry.overlay);
                prop_assert_eq!(result, Ok(entry.overlay != before));
                self.model.revision += u64::from(entry.overlay != before);
            }
        }
        Ok(())
    }

    fn update(&mut self, drafts: &[Draft]) -> Done {
        let mut asked = Vec::new();
        let made = &mut self.made;
        let make = |spec: &EndpointSpec| {
            asked.push((spec.id().to_string(), *made));
            *made += 1;
            *made - 1
        };
        let result = self.pool.update(drafts.iter().map(Draft::spec), make);
        let faults = Model::faults(drafts);
        self.settle(drafts, &faults, asked, result)
    }

    fn add(&mut self, draft: Draft) -> Done {
        let target = self.made;
        self.made += 1;
        let result = self.pool.add(draft.spec(), target);
        let mut drafts = self.model.drafts();
        drafts.push(draft.clone());
        let mut faults = Model::faults(&drafts);
        let mut made = vec![(draft.id.clone(), target)];
        if self.model.entries.contains_key(&draft.id) {
            faults = vec![UpdateError::Exists { id: EndpointId::from(&draft.id) }];
        }
        if !faults.is_empty() {
            made.clear();
        }
        self.settle(&drafts, &faults, made, result)
    }

    /// Checks the result of a change to one endpoint. `drafts` are the endpoints after the same change in the model.
    fn changed(&mut self, id: &str, drafts: Vec<Draft>, result: Result<Changes, UpdateError>) -> Done {
        let faults = match self.model.entries.contains_key(id) {
            false => vec![UpdateError::Unknown { id: EndpointId::from(id) }],
            true => Model::faults(&drafts),
        };
        self.settle(&drafts, &faults, Vec::new(), result)
    }

    /// Compares the result of a membership change with the expected one, and updates the model.
    fn settle(
        &mut self,
        drafts: &[Draft],
        faults: &[UpdateError],
        made: Vec<(String, u32)>,
        result: Result<Changes, UpdateError>,
    ) -> Done {
        if !faults.is_empty() {
            let error = result.expect_err("a faulty change is refused");
            prop_assert!(faults.contains(&error), "{:?} is none of {:?}", error, faults);
            prop_assert!(made.is_empty(), "targets were made for a refused change");
            return Ok(());
        }
        let changes = result.expect("a valid change is taken");
        let expected = self.model.differences(drafts);
        prop_assert_eq!(&names(&changes), &expected);
        let new: BTreeSet<String> = expected.added.union(&expected.replaced).cloned().collect();
        prop_assert_eq!(made.len(), new.len(), "one target for each new endpoint");
        let targets: BTreeMap<String, u32> = made.into_iter().collect();
        prop_assert_eq!(targets.keys().cloned().collect::<BTreeSet<_>>(), new);
        if !expected.is_empty() {
            let seen = self.observed.members.lock().clone();
            self.check_slots(drafts, &seen, &expected)?;
            self.model.become_(drafts, &targets, &seen);
        }
        Ok(())
    }

    fn check_slots(&self, drafts: &[Draft], seen: &BTreeMap<String, (usize, u32)>, expected: &Expected) -> Done {
        prop_assert_eq!(seen.len(), drafts.len());
        let distinct: BTreeSet<usize> = seen.values().map(|&(slot, _)| slot).collect();
        prop_assert_eq!(distinct.len(), seen.len(), "one slot each");
        let used = self.model.entries.values().map(|entry| entry.slot + 1).max().unwrap_or(0).max(drafts.len());
        prop_assert!(distinct.iter().all(|&slot| slot < used), "new endpoints take free slots first");
        for (id, &(slot, weight)) in seen {
            let draft = drafts.iter().find(|draft| draft.id == *id).expect("only members are in a view");
            match self.model.entries.get(id).filter(|_| !expected.replaced.contains(id)) {
                None => prop_assert_eq!(weight, draft.weight),
                Some(entry) => {
                    prop_assert_eq!(slot, entry.slot, "{} moved", id);
                    prop_assert_eq!(weight, Entry { draft: draft.clone(), ..entry.clone() }.weight());
                }
            }
        }
        Ok(())
    }

    fn pick(&mut self, exclude: &[String], prefer: Option<&String>) -> Done {
        let ids: Vec<EndpointId> = exclude.iter().map(EndpointId::from).collect();
        let bound = prefer.map(EndpointId::from);
        let mut request = PickRequest::new().exclude(&ids);
        if let Some(bound) = &bound {
            request = request.prefer(bound);
        }
        let explained = self.pool.explain(&request).picked;
        let result = self.pool.pick(&request);
        let (lease, preferred) = match (self.model.verdict(exclude, prefer), result) {
            (Verdict::Nobody(why), Err(error)) => {
                prop_assert_eq!(&error, &why);
                prop_assert_eq!(explained, Err(why));
                return Ok(());
            }
            (Verdict::Preferred(id), Ok(lease)) => {
                prop_assert_eq!(lease.endpoint().id().as_str(), id);
                prop_assert_eq!(explained.as_ref().map(EndpointId::as_str), Ok(lease.endpoint().id().as_str()));
                (lease, true)
            }
            (Verdict::OneOf(ids), Ok(lease)) => {
                prop_assert!(ids.contains(lease.endpoint().id().as_str()), "{:?} not in {:?}", lease, ids);
                prop_assert!(ids.contains(explained.expect("a pick would succeed").as_str()));
                (lease, false)
            }
            (verdict, result) => {
                return Err(TestCaseError::fail(format!("{result:?} where {verdict:?} was due")));
            }
        };
        prop_assert_eq!(lease.is_preferred(), preferred);
        let id = lease.endpoint().id().to_string();
        let others = self.model.entries.values();
        let others = others.filter(|entry| self.model.eligible(entry) && entry.draft.id != id).count();
        prop_assert_eq!(lease.has_alternatives(), others > 0);
        // In a panic a pass is not needed, but the first request gets it.
        let entry = &self.model.entries[&id];
        let tries = entry.availability == Availability::Probation && !entry.trial.out;
        let entry = self.model.entries.get_mut(&id).expect("members are picked");
        let permit = entry.limit().is_some();
        let pass = tries.then_some(entry.trial.round);
        entry.trial.out |= tries;
        entry.in_flight += 1;
        entry.permits += u32::from(permit);
        self.leases.push(Out { target: entry.target, id, lease, permit, pass });
        Ok(())
    }

    fn release(&mut self, mut out: Out, verdict: Option<Ending>) {
        verdict.into_iter().for_each(|verdict| out.lease.record(verdict));
        drop(out.lease);
        if let Some(entry) = self.model.entries.get_mut(&out.id).filter(|entry| entry.target == out.target) {
            entry.in_flight -= 1;
            entry.permits -= u32::from(out.permit);
            if out.pass == Some(entry.trial.round) && matches!(verdict, None | Some(Ending::Neutral)) {
                entry.trial.out = false;
            }
        }
    }

    /// Checks that the pool is in the same state as the model.
    pub(crate) fn check(&self) -> Done {
        prop_assert_eq!(self.pool.revision().get(), self.model.revision);
        let endpoints = self.pool.endpoints();
        prop_assert_eq!(endpoints.len(), self.model.entries.len());
        let mut by_slot: Vec<_> = self.model.entries.values().collect();
        by_slot.sort_by_key(|entry| entry.slot);
        for (status, entry) in endpoints.iter().zip(by_slot) {
            prop_assert_eq!(status.id.as_str(), &entry.draft.id);
            prop_assert_eq!(&status.address, &entry.draft.address);
            prop_assert_eq!(status.weight, entry.weight());
            prop_assert_eq!(status.tier.get(), entry.draft.tier);
            prop_assert_eq!(status.availability, entry.availability);
            prop_assert_eq!(status.in_flight, entry.in_flight);
            prop_assert_eq!(status.max_in_flight, entry.limit());
        }
        for out in &self.leases {
            prop_assert_eq!(out.lease.endpoint().id().as_str(), &out.id);
            prop_assert_eq!(*out.lease.target(), out.target, "a live target was replaced");
        }
        let acquired = self.observed.acquired.load(Ordering::Relaxed);
        let released = self.observed.released.load(Ordering::Relaxed);
        prop_assert_eq!((acquired - released) as usize, self.leases.len());
        Ok(())
    }

    /// Ends all leases.
    pub(crate) fn end(mut self) -> Done {
        while let Some(out) = self.leases.pop() {
            self.release(out, None);
        }
        self.check()?;
        prop_assert!(self.pool.endpoints().iter().all(|status| status.in_flight == 0));
        Ok(())
    }
}

fn names(changes: &Changes) -> Expected {
    let set = |ids: &[EndpointId]| ids.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    Expected {
        added: set(&changes.added),
        removed: set(&changes.removed),
        replaced: set(&changes.replaced),
        changed: set(&changes.changed),
    }
}
