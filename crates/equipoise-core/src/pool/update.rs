//! Changes: each makes the next snapshot from the current one, whole, or is refused and leaves everything as it was.

use std::{any::Any, collections::HashMap, convert::Infallible, sync::Arc};

use super::{Pool, TryUpdateError, UpdateError, snapshot::Snapshot};
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
    /// Stayed with another target.
    pub retargeted: Vec<EndpointId>,
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
    /// ([`set_weight_percent`](Self::set_weight_percent), [`set_max_in_flight`](Self::set_max_in_flight)); new ones join [open](crate::PoolBuilder::initial_availability), with a target from `make`; those that are
    /// missing leave: no pick finds them any more, and the leases that are out stay valid.
    ///
    /// An id that comes with another address is a new endpoint: latency and failures were the old address's. It gets a
    /// new target and starts with nothing remembered; leases on the old one stay valid.
    ///
    /// An empty `all` is allowed: picks then say [`Empty`](crate::PickError::Empty). Addresses may repeat under
    /// different ids.
    ///
    /// `make` runs before anything changes, so if it panics the pool is as it was. Neither it nor the
    /// drop of a target that is refused after all may change this pool. Where it can fail, use
    /// [`try_update`](Self::try_update); to give an endpoint that stays another target, [`replace`](Self::replace) or
    /// [`try_update_with`](Self::try_update_with).
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
    /// When an id or an address is unusable, an id occurs twice, a weight is above [`MAX_WEIGHT`](crate::MAX_WEIGHT), a
    /// limit is 0, all weights are 0, or the strategy refuses. Nothing has changed then.
    pub fn update(
        &self,
        all: impl IntoIterator<Item = EndpointSpec>,
        mut make: impl FnMut(&EndpointSpec) -> T,
    ) -> Result<Changes, UpdateError> {
        let all = all.into_iter().collect();
        self.change_surely(|_| Ok(all), |_| false, |spec, _| Some(make(spec)))
    }

    /// [`update`](Self::update) with a `make` that can fail: all or nothing.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool, TryUpdateError};
    ///
    /// let pool: Pool<u16> = Pool::default();
    /// let all = ["a:80", "b:eighty"].map(|address| EndpointSpec::new(address).named(&address[..1]));
    /// let error = pool.try_update(all, |spec| spec.address()[2..].parse()).unwrap_err();
    /// assert!(matches!(error, TryUpdateError::Make { ref id, .. } if id.as_str() == "b"));
    /// assert!(pool.endpoints().is_empty());
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryUpdateError::Make`] with the error of `make`, which is not called again then, or
    /// [`TryUpdateError::Update`] for the reasons of [`update`](Self::update). Nothing has changed then.
    pub fn try_update<E>(
        &self,
        all: impl IntoIterator<Item = EndpointSpec>,
        mut make: impl FnMut(&EndpointSpec) -> Result<T, E>,
    ) -> Result<Changes, TryUpdateError<E>> {
        let all = all.into_iter().collect();
        self.change_members(|_| Ok(all), |_| false, |spec, _| make(spec).map(Some))
    }

    /// [`try_update`](Self::try_update) that may also give the endpoints that stay other targets, without a moment in
    /// which they cannot be picked.
    ///
    /// `make` is called for each spec, with the endpoint's present target if it stays. `Ok(Some(target))` sets the
    /// target as [`replace`](Self::replace) does, `Ok(None)` keeps the present one.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool: Pool<u32> = Pool::default();
    /// let all = || ["a:80", "b:80"].map(EndpointSpec::new);
    /// pool.update(all(), |_| 1)?;
    /// let changes = pool.try_update_with(all(), |spec, present| match present {
    ///     Some(1) if spec.id().as_str() == "b:80" => "2".parse().map(Some),
    ///     Some(_) => Ok(None),
    ///     None => "1".parse().map(Some),
    /// })?;
    /// assert_eq!(changes.retargeted, [equipoise_core::EndpointId::from("b:80")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`try_update`](Self::try_update), and [`UpdateError::NoTarget`] when `make` says `Ok(None)` of an endpoint that
    /// has no target yet. Nothing has changed then.
    pub fn try_update_with<E>(
        &self,
        all: impl IntoIterator<Item = EndpointSpec>,
        make: impl FnMut(&EndpointSpec, Option<&T>) -> Result<Option<T>, E>,
    ) -> Result<Changes, TryUpdateError<E>> {
        let all = all.into_iter().collect();
        self.change_members(|_| Ok(all), |_| true, make)
    }

    /// Gives an endpoint another target, and the settings of `spec`, without a moment in which it cannot be picked.
    ///
    /// At the same address it stays the endpoint that it was: slot, load, limit and permits, what the strategy remembers
    /// of it, its availability, a trial that is under way and what was set over its spec are kept. Picks from now on
    /// lease the new target. Leases that are out keep the old one, count as the endpoint's load until they end, and the
    /// last of them drops the old target. At another address it is a new endpoint, as in [`update`](Self::update).
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickRequest, Pool};
    ///
    /// let pool = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), "old client")?;
    /// let old = pool.pick(&PickRequest::new())?;
    /// pool.replace(EndpointSpec::new("a:80"), "new client")?;
    /// let new = pool.pick(&PickRequest::new())?;
    /// assert_eq!((*old.target(), *new.target()), ("old client", "new client"));
    /// assert_eq!(pool.endpoints()[0].in_flight, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When no endpoint has this id ([`add`](Self::add) it), or for the reasons of [`update`](Self::update). Nothing has
    /// changed then.
    pub fn replace(&self, spec: EndpointSpec, target: T) -> Result<Changes, UpdateError> {
        let (id, mut target) = (spec.id().clone(), Some(target));
        let replaced = |mut specs: Vec<EndpointSpec>| {
            position(&specs, spec.id()).map(|at| {
                specs[at] = spec;
                specs
            })
        };
        self.change_surely(replaced, |spec| *spec.id() == id, |_, _| target.take())
    }

    /// Adds one endpoint.
    ///
    /// # Errors
    ///
    /// When its id is taken (then [`replace`](Self::replace) gives the endpoint another target, and
    /// [`update`](Self::update) only other settings), or for the reasons of [`update`](Self::update).
    pub fn add(&self, spec: EndpointSpec, target: T) -> Result<Changes, UpdateError> {
        let mut target = Some(target);
        let append = |mut specs: Vec<EndpointSpec>| {
            if specs.iter().any(|present| present.id() == spec.id()) {
                return Err(UpdateError::Exists { id: spec.id().clone() });
            }
            specs.push(spec);
            Ok(specs)
        };
        self.change_surely(append, |_| false, |_, _| target.take())
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
        self.change_surely(without, |_| false, |_, _| None)
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
        self.change_surely(weighted, |_| false, |_, _| None)
    }

    /// [`change_members`](Self::change_members) with a `make` that cannot fail.
    fn change_surely(
        &self,
        change: impl FnOnce(Vec<EndpointSpec>) -> Result<Vec<EndpointSpec>, UpdateError>,
        asks: impl Fn(&EndpointSpec) -> bool,
        mut make: impl FnMut(&EndpointSpec, Option<&T>) -> Option<T>,
    ) -> Result<Changes, UpdateError> {
        self.change_members(change, asks, |spec, present| Ok::<_, Infallible>(make(spec, present))).map_err(|error| {
            match error {
                TryUpdateError::Update(error) => error,
                TryUpdateError::Make { source, .. } => match source {},
            }
        })
    }

    /// `make` is called for endpoints that join, and for those that stay and of which `asks` says so.
    fn change_members<E>(
        &self,
        change: impl FnOnce(Vec<EndpointSpec>) -> Result<Vec<EndpointSpec>, UpdateError>,
        asks: impl Fn(&EndpointSpec) -> bool,
        mut make: impl FnMut(&EndpointSpec, Option<&T>) -> Result<Option<T>, E>,
    ) -> Result<Changes, TryUpdateError<E>> {
        // The old snapshot may hold the last of a target: it goes after the lock, in case its `Drop` comes back here.
        let current;
        let _writer = self.shared.write();
        current = self.shared.snapshot.load_full();
        let present = current.members().slots.iter().flatten().map(|member| member.spec.clone()).collect();
        let specs = change(present)?;
        validate(&specs).map_err(UpdateError::from)?;
        if u32::try_from(specs.len()).is_err() {
            return Err(UpdateError::TooMany { count: specs.len() }.into());
        }
        let hooks = &self.shared.hooks;
        hooks.demands.check(specs.iter().filter(|spec| current.staying(spec).is_none())).map_err(UpdateError::from)?;
        let mut draft = Draft::new(&current, &specs);
        if draft.changes.is_empty() && !specs.iter().any(&asks) {
            return Ok(draft.changes);
        }
        for spec in specs {
            let stays = current.staying(&spec);
            let target: Option<Arc<dyn Any + Send + Sync>> = if stays.is_none() || asks(&spec) {
                let present = stays.and_then(|(slot, _)| current.members().handle(slot, 0)?.target.downcast_ref());
                let made = make(&spec, present);
                let made = made.map_err(|source| TryUpdateError::Make { id: spec.id().clone(), source })?;
                made.map(|target| Arc::new(target) as _)
            } else {
                None
            };
            if stays.is_none() && target.is_none() {
                return Err(UpdateError::NoTarget { id: spec.id().clone() }.into());
            }
            draft.place(&current, spec, target, |spec, slot| {
                let state = hooks.strategy.state_guarded(spec)?;
                Ok(Arc::new(Endpoint::new(spec, slot, current.revision().next(), Arc::clone(hooks), state)))
            })?;
        }
        if draft.changes.is_empty() {
            return Ok(draft.changes);
        }
        let (members, availability, changes) = draft.finish(&current, self.shared.stripes, hooks.initial_availability);
        let next = current.next(Arc::new(members), availability, hooks).map_err(UpdateError::from)?;
        self.shared.publish_members(next);
        Ok(changes)
    }
}

impl Snapshot {
    /// The member that this spec leaves what it is, at most with other settings, and its slot.
    fn staying(&self, spec: &EndpointSpec) -> Option<(Slot, &Member)> {
        let slot = *self.members().index.get(spec.id())?;
        let member = self.members().get(slot).filter(|member| member.spec.address() == spec.address())?;
        Some((slot, member))
    }
}

fn position(specs: &[EndpointSpec], id: &EndpointId) -> Result<usize, UpdateError> {
    specs.iter().position(|spec| spec.id() == id).ok_or_else(|| UpdateError::Unknown { id: id.clone() })
}

/// The next membership while it is being laid out.
struct Draft {
    slots: Vec<Option<Member>>,
    /// By slot: the targets that are new.
    targets: Vec<Option<Arc<dyn Any + Send + Sync>>>,
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
        let slots: Vec<Option<Member>> = current.slots().map(|_| None).collect();
        Self { targets: slots.iter().map(|_| None).collect(), slots, free, changes }
    }

    /// Gives `spec` its slot: the one that its id has, the lowest free one, or a new one.
    fn place(
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

    fn finish(
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
