//! Changes: each makes the next snapshot from the current one, whole, or is refused and leaves everything as it was.

use std::{collections::HashMap, sync::Arc};

use super::{Pool, UpdateError, snapshot::Snapshot};
use crate::{
    endpoint::{Availability, Endpoint, EndpointId, EndpointSpec, Slot, validate},
    load::Handle,
    view::{Member, Members, Overlay, is_limited},
};

/// What an update changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Joined.
    pub added: Vec<EndpointId>,
    /// Left. Their last leases may still be out.
    pub removed: Vec<EndpointId>,
    /// Came back under an old id with another address, as a new endpoint with nothing remembered.
    pub replaced: Vec<EndpointId>,
    /// Stayed with another weight, tier, zone or limit.
    pub changed: Vec<EndpointId>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl<T: Send + Sync + 'static> Pool<T> {
    /// Makes the pool's endpoints exactly `all`.
    ///
    /// The difference is taken by id. Endpoints that stay keep their slot, their load, whatever the strategy remembers
    /// of them, their availability, their target, and what was set over their specs
    /// ([`set_weight_percent`](Self::set_weight_percent), [`set_limit`](Self::set_limit)); new ones join [open](crate::PoolBuilder::newcomers), with a target from `make`; those that are
    /// missing leave: no pick finds them any more, and the leases that are out stay valid.
    ///
    /// An id that comes with another address is a new endpoint: latency and failures were the old address's. It gets a
    /// new target and starts with nothing remembered; leases on the old one stay valid.
    ///
    /// An empty `all` is allowed: picks then say [`Empty`](crate::PickError::Empty). Addresses may repeat under
    /// different ids.
    ///
    /// `make` runs before anything changes, so if it panics the pool is as it was. Neither it nor the
    /// drop of a target that is refused after all may change this pool.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// let changes = pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// assert_eq!(changes.added.len(), 2);
    /// let changes = pool.update([EndpointSpec::new("a:80").weight(2)], |_| ())?;
    /// assert_eq!((changes.changed.len(), changes.removed.len()), (1, 1));
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When an id is unusable or occurs twice, a weight is above [`MAX_WEIGHT`](crate::MAX_WEIGHT), a limit is 0, all
    /// weights are 0, or the strategy refuses. Nothing has changed then.
    pub fn update(
        &self,
        all: impl IntoIterator<Item = EndpointSpec>,
        mut make: impl FnMut(&EndpointSpec) -> T,
    ) -> Result<Changes, UpdateError> {
        let all = all.into_iter().collect();
        self.change_members(|_| Ok(all), |spec| Some(make(spec)))
    }

    /// Adds one endpoint.
    ///
    /// # Errors
    ///
    /// When its id is taken, or for the reasons of [`update`](Self::update).
    pub fn add(&self, spec: EndpointSpec, target: T) -> Result<Changes, UpdateError> {
        let mut target = Some(target);
        let append = |mut specs: Vec<EndpointSpec>| {
            if specs.iter().any(|present| present.id() == spec.id()) {
                return Err(UpdateError::Exists { id: spec.id().clone() });
            }
            specs.push(spec);
            Ok(specs)
        };
        self.change_members(append, |_| target.take())
    }

    /// Removes one endpoint. Leases that are out stay valid.
    ///
    /// # Errors
    ///
    /// When nobody has this id, or for the reasons of [`update`](Self::update).
    pub fn remove(&self, id: impl Into<EndpointId>) -> Result<Changes, UpdateError> {
        let id = id.into();
        let without = |mut specs: Vec<EndpointSpec>| {
            position(&specs, &id).map(|at| {
                specs.remove(at);
                specs
            })
        };
        self.change_members(without, |_| None)
    }

    /// Gives one endpoint another weight.
    ///
    /// # Errors
    ///
    /// When nobody has this id, or for the reasons of [`update`](Self::update).
    pub fn set_weight(&self, id: impl Into<EndpointId>, weight: u32) -> Result<Changes, UpdateError> {
        let id = id.into();
        let weighted = |mut specs: Vec<EndpointSpec>| {
            position(&specs, &id).map(|at| {
                specs[at] = specs[at].clone().weight(weight);
                specs
            })
        };
        self.change_members(weighted, |_| None)
    }

    fn change_members(
        &self,
        change: impl FnOnce(Vec<EndpointSpec>) -> Result<Vec<EndpointSpec>, UpdateError>,
        mut make: impl FnMut(&EndpointSpec) -> Option<T>,
    ) -> Result<Changes, UpdateError> {
        // The old snapshot may hold the last of a target: it goes after the lock, in case its `Drop` comes back here.
        let current;
        let _writer = self.shared.writer.lock();
        current = self.shared.snapshot.load_full();
        let present = current.members().slots.iter().flatten().map(|member| member.spec.clone()).collect();
        let specs = change(present)?;
        validate(&specs)?;
        if u32::try_from(specs.len()).is_err() {
            return Err(UpdateError::TooMany { count: specs.len() });
        }
        let mut draft = Draft::new(&current, &specs);
        if draft.changes.is_empty() {
            return Ok(draft.changes);
        }
        for spec in specs {
            draft.place(&current, spec, |spec, slot| {
                let hooks = &self.shared.hooks;
                let target = make(spec).ok_or_else(|| UpdateError::Unknown { id: spec.id().clone() })?;
                let state = hooks.strategy.state_guarded(spec)?;
                let joined = current.revision().next();
                Ok(Arc::new(Endpoint::new(spec, slot, joined, Box::new(target), Arc::clone(hooks), state)))
            })?;
        }
        let (members, availability, changes) = draft.finish(&current, self.shared.stripes, self.shared.hooks.newcomers);
        let next = current.next(Arc::new(members), availability, &self.shared.hooks)?;
        self.shared.publish_members(next);
        Ok(changes)
    }
}

fn position(specs: &[EndpointSpec], id: &EndpointId) -> Result<usize, UpdateError> {
    specs.iter().position(|spec| spec.id() == id).ok_or_else(|| UpdateError::Unknown { id: id.clone() })
}

/// The next membership while it is being laid out.
struct Draft {
    slots: Vec<Option<Member>>,
    /// Slots that nobody keeps, lowest last.
    free: Vec<Slot>,
    changes: Changes,
}

impl Draft {
    /// Takes the difference between what is and what shall be.
    fn new(current: &Snapshot, specs: &[EndpointSpec]) -> Self {
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
        let slots = current.slots().map(|_| None).collect();
        Self { slots, free, changes }
    }

    /// Gives `spec` its slot: the one that its id has, the lowest free one, or a new one.
    fn place(
        &mut self,
        current: &Snapshot,
        spec: EndpointSpec,
        make: impl FnOnce(&EndpointSpec, Slot) -> Result<Arc<Endpoint>, UpdateError>,
    ) -> Result<(), UpdateError> {
        let present = current.members().index.get(spec.id()).copied();
        let slot = present.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.slots.push(None);
            Slot(self.slots.len() as u32 - 1)
        });
        let stays = present.and_then(|slot| current.members().get(slot));
        let (overlay, endpoint) = match stays.filter(|member| member.spec.address() == spec.address()) {
            Some(member) => (member.overlay, Arc::clone(&member.endpoint)),
            None => (Overlay::default(), make(&spec, slot)?),
        };
        self.slots[slot.index()] = Some(Member { spec, overlay, endpoint });
        Ok(())
    }

    fn finish(
        mut self,
        current: &Snapshot,
        stripes: usize,
        newcomers: Availability,
    ) -> (Members, Box<[Availability]>, Changes) {
        while self.slots.last().is_some_and(Option::is_none) {
            self.slots.pop();
        }
        let stays = |slot: Slot, member: &Member| {
            current.members().get(slot).is_some_and(|now| Arc::ptr_eq(&now.endpoint, &member.endpoint))
        };
        let by_slot = || self.slots.iter().enumerate().map(|(at, member)| (Slot(at as u32), member.as_ref()));
        let handles = (0..stripes).flat_map(|stripe| {
            by_slot().map(move |(slot, member)| {
                member.map(|member| match current.members().handle(slot, stripe) {
                    Some(handle) if stays(slot, member) => Arc::clone(handle),
                    _ => Arc::new(Handle::new(Arc::clone(&member.endpoint))),
                })
            })
        });
        let availability = by_slot().map(|(slot, member)| match member {
            None => Availability::Closed,
            Some(member) if stays(slot, member) => current.availability(slot),
            Some(_) => newcomers,
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
