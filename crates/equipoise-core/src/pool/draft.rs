//! Computes the next membership of a pool from the current one and a list of endpoint specs.

use std::{any::Any, collections::HashMap, sync::Arc};

use super::{changes::Changes, error::UpdateError, state::Snapshot};
use crate::{
    endpoint::{Availability, Endpoint, EndpointSpec},
    ids::{EndpointId, Slot},
    load::Handle,
    view::{Member, Members, Overlay, is_limited},
};

impl Snapshot {
    /// Returns the member that is the same endpoint under this spec: it has the same id and the same address.
    pub(super) fn staying(&self, spec: &EndpointSpec) -> Option<(Slot, &Member)> {
        let slot = *self.members().index.get(spec.id())?;
        let member = self.members().get(slot).filter(|member| member.spec.address() == spec.address())?;
        Some((slot, member))
    }
}

/// The next membership of a pool while it is being built.
pub(super) struct Draft {
    slots: Vec<Option<Member>>,
    /// The new target of each slot. `None` if the endpoint keeps its target.
    targets: Vec<Option<Arc<dyn Any + Send + Sync>>>,
    /// The free slots in descending order. The lowest one is at the end.
    free: Vec<Slot>,
    pub(super) changes: Changes,
}

impl Draft {
    /// Creates a draft: compares the current members with the specs of the next membership.
    pub(super) fn new(current: &Snapshot, specs: &[EndpointSpec]) -> Self {
        let wanted: HashMap<&EndpointId, &EndpointSpec> = specs.iter().map(|spec| (spec.id(), spec)).collect();
        let mut changes = Changes::default();
        let mut free = Vec::new();
        for slot in current.slots() {
            match current.members().get(slot) {
                None => free.push(slot),
                Some(Member { spec: now, .. }) => match wanted.get(now.id()) {
                    None => {
                        changes.removed.push(now.id().clone());
                        free.push(slot);
                    }
                    Some(then) if then.address() != now.address() => changes.replaced.push(now.id().clone()),
                    Some(then) if **then != *now => changes.changed.push(now.id().clone()),
                    Some(_) => {}
                },
            }
        }
        let present = &current.members().index;
        changes.added = specs.iter().map(EndpointSpec::id).filter(|&id| !present.contains_key(id)).cloned().collect();
        free.reverse();
        let slots: Vec<Option<Member>> = current.slots().map(|_| None).collect();
        Self { targets: slots.iter().map(|_| None).collect(), slots, free, changes }
    }

    /// Puts a spec into a slot: the slot that the endpoint with its id has now, otherwise the lowest free slot,
    /// otherwise a new slot.
    pub(super) fn place(
        &mut self,
        current: &Snapshot,
        spec: EndpointSpec,
        target: Option<Arc<dyn Any + Send + Sync>>,
        make: impl FnOnce(&EndpointSpec, Slot) -> Result<Arc<Endpoint>, UpdateError>,
    ) -> Result<(), UpdateError> {
        let present = current.members().index.get(spec.id()).copied();
        let slot = present.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.slots.push(None);
            self.targets.push(None);
            Slot(self.slots.len() as u32 - 1)
        });
        let (overlay, endpoint) = match current.staying(&spec) {
            Some((_, member)) => {
                self.changes.retargeted.extend(target.is_some().then(|| spec.id().clone()));
                (member.overlay, Arc::clone(&member.endpoint))
            }
            None => (Overlay::default(), make(&spec, slot)?),
        };
        self.targets[slot.index()] = target;
        self.slots[slot.index()] = Some(Member { spec, overlay, endpoint });
        Ok(())
    }

    /// Builds the members, the availability of each slot, and the list of changes.
    pub(super) fn finish(
        mut self,
        current: &Snapshot,
        stripes: usize,
        initial_availability: Availability,
    ) -> (Members, Box<[Availability]>, Changes) {
        while self.slots.last().is_some_and(Option::is_none) {
            self.slots.pop();
        }
        let stays = |slot: Slot, member: &Member| {
            current.members().get(slot).is_some_and(|now| Arc::ptr_eq(&now.endpoint, &member.endpoint))
        };
        let by_slot = || self.slots.iter().enumerate().map(|(at, member)| (Slot(at as u32), member.as_ref()));
        let handles = (0..stripes).flat_map(|stripe| {
            by_slot().zip(&self.targets).map(move |((slot, member), target)| {
                let member = member?;
                let present = current.members().handle(slot, stripe).filter(|_| stays(slot, member));
                match (present, target) {
                    (Some(handle), None) => Some(Arc::clone(handle)),
                    (Some(handle), Some(target)) => Some(Arc::new(handle.retargeted(Arc::clone(target)))),
                    (None, target) => {
                        Some(Arc::new(Handle::new(Arc::clone(&member.endpoint), Arc::clone(target.as_ref()?))))
                    }
                }
            })
        });
        let availability = by_slot().map(|(slot, member)| match member {
            None => Availability::Maintenance,
            Some(member) if stays(slot, member) => current.availability(slot),
            Some(_) => initial_availability,
        });
        let (handles, availability) = (handles.collect(), availability.collect());
        let members = Members {
            handles,
            index: by_slot().filter_map(|(slot, member)| Some((member?.spec.id().clone(), slot))).collect(),
            limited: is_limited(&self.slots),
            revision: current.revision().next(),
            slots: self.slots.into(),
        };
        (members, availability, self.changes)
    }
}
