//! Changes of a pool's membership. Each change builds the next snapshot from the current one and publishes it. If a
//! change fails, the pool stays as it was.

use std::{any::Any, convert::Infallible, sync::Arc};

use super::{
    changes::Changes,
    draft::Draft,
    error::{TryUpdateError, UpdateError},
    removal::removed_targets,
    state::Pool,
};
use crate::{
    endpoint::{Endpoint, EndpointSpec, InvalidAddress, InvalidSpec, validate},
    ids::EndpointId,
};

impl<T: Send + Sync + 'static> Pool<T> {
    /// Changes the pool so that it has exactly the endpoints in `all`. Calls `make` to create the target of each
    /// endpoint that joins. Endpoints are compared by id:
    ///
    /// - An endpoint that stays keeps its slot, leases, strategy state, availability and target. It also keeps the
    ///   values that were set with [`set_weight_percent`](Self::set_weight_percent) and
    ///   [`set_max_in_flight`](Self::set_max_in_flight). Its weight, tier, zone and maximum number of requests in
    ///   flight become those of its spec in `all`.
    /// - An endpoint that joins gets the [initial availability](crate::PoolBuilder::initial_availability).
    /// - An endpoint that is missing in `all` leaves the pool: it is not picked again. Its leases stay valid.
    /// - If an endpoint in `all` has another address than before, a new endpoint with the same id replaces the old one.
    ///   The new endpoint has a new target and no history, because latency and failures belong to the old address.
    ///   Leases on the old endpoint stay valid.
    ///
    /// If `all` is empty, the pool has no endpoints afterwards, and picks fail with
    /// [`PickError::Empty`](crate::PickError::Empty). Endpoints with different ids may have the same address. Takes
    /// O(n) time for n endpoints.
    ///
    /// `make` runs before the pool changes. If `make` panics, the pool does not change. `make` must not change this
    /// pool, because this would deadlock. If the update fails, the targets that `make` has created are dropped. The
    /// `Drop` of a target must not change this pool either.
    ///
    /// If creating a target can fail, use [`try_update`](Self::try_update). To change the target of an endpoint that
    /// stays, use [`replace`](Self::replace) or [`try_update_with`](Self::try_update_with).
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
    /// If an error is returned, the pool has not changed.
    ///
    /// - [`UpdateError::Invalid`] if an id or an address is invalid, an id occurs twice, a weight is above
    ///   [`MAX_WEIGHT`](crate::MAX_WEIGHT), a maximum number of requests in flight is 0, or all weights are 0.
    /// - [`UpdateError::TooMany`] if there are more than 2³² − 1 endpoints.
    /// - [`UpdateError::Strategy`] if the strategy fails to build a picker (the part that picks endpoints).
    pub fn update(
        &self,
        all: impl IntoIterator<Item = EndpointSpec>,
        mut make: impl FnMut(&EndpointSpec) -> T,
    ) -> Result<Changes, UpdateError> {
        let all = all.into_iter().collect();
        self.change_surely(|_| Ok(all), |_| false, |spec, _| Some(make(spec)))
    }

    /// Changes the pool so that it has exactly the endpoints in `all`, as [`update`](Self::update) does. `make` creates
    /// the target of each endpoint that joins, and may return an error. If `make` returns an error for one endpoint,
    /// the pool does not change.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool, TryUpdateError};
    ///
    /// let pool: Pool<u16> = Pool::default();
    /// let all = ["a:80", "b:eighty"].map(|address| EndpointSpec::new(address).with_id(&address[..1]));
    /// let error = pool.try_update(all, |spec| spec.address()[2..].parse()).unwrap_err();
    /// assert!(matches!(error, TryUpdateError::Make { ref id, .. } if id.as_str() == "b"));
    /// assert!(pool.endpoints().is_empty());
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryUpdateError::Make`] with the first error of `make`. [`TryUpdateError::Update`] for the errors of
    /// [`update`](Self::update). If an error is returned, the pool has not changed.
    pub fn try_update<E>(
        &self,
        all: impl IntoIterator<Item = EndpointSpec>,
        mut make: impl FnMut(&EndpointSpec) -> Result<T, E>,
    ) -> Result<Changes, TryUpdateError<E>> {
        let all = all.into_iter().collect();
        self.change_members(|_| Ok(all), |_| false, |spec, _| make(spec).map(Some))
    }

    /// Changes the pool so that it has exactly the endpoints in `all`, as [`try_update`](Self::try_update) does. Can
    /// also change the targets of endpoints that stay. An endpoint that gets another target stays in the pool: it can
    /// be picked before, during and after the change.
    ///
    /// `make` is called once for each spec in `all`. Its second argument is the present target of the endpoint, or
    /// `None` if the endpoint joins. `make` returns `Ok(Some(target))` to set a target, or `Ok(None)` to keep the
    /// present target. Existing leases keep the target that they got from their pick.
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
    /// The errors of [`try_update`](Self::try_update). [`UpdateError::NoTarget`] (as [`TryUpdateError::Update`]) if
    /// `make` returns `Ok(None)` for an endpoint that joins. If an error is returned, the pool has not changed.
    pub fn try_update_with<E>(
        &self,
        all: impl IntoIterator<Item = EndpointSpec>,
        make: impl FnMut(&EndpointSpec, Option<&T>) -> Result<Option<T>, E>,
    ) -> Result<Changes, TryUpdateError<E>> {
        let all = all.into_iter().collect();
        self.change_members(|_| Ok(all), |_| true, make)
    }

    /// Changes the target and the settings of one endpoint: the endpoint with the id of `spec` gets `target` and the
    /// settings in `spec`. The endpoint stays in the pool, so it can also be picked during the change.
    ///
    /// If the address is the same, the endpoint keeps its slot, leases, strategy state and availability. It also keeps
    /// the values that were set with [`set_weight_percent`](Self::set_weight_percent) and
    /// [`set_max_in_flight`](Self::set_max_in_flight). Later picks get the new target. Existing leases keep the old
    /// target and still count as in flight. The old target is dropped when the last of these leases ends.
    ///
    /// If the address differs, a new endpoint with the same id takes the place of the old endpoint, as in
    /// [`update`](Self::update).
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
    /// [`UpdateError::Unknown`] if the pool has no endpoint with this id. Otherwise the errors of
    /// [`update`](Self::update). If an error is returned, the pool has not changed.
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

    /// Adds one endpoint with its target (what requests are sent with, such as a client). Takes O(n) time for n
    /// endpoints. To add many endpoints, use [`update`](Self::update).
    ///
    /// # Errors
    ///
    /// [`UpdateError::Exists`] if the pool already has an endpoint with this id. Use [`replace`](Self::replace) to
    /// change its target and settings. Otherwise the errors of [`update`](Self::update). If an error is returned, the
    /// pool has not changed.
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

    /// Removes one endpoint from the pool: it is not picked again. Its leases stay valid. Takes O(n) time for n
    /// endpoints.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Unknown`] if the pool has no endpoint with this id. Otherwise the errors of
    /// [`update`](Self::update). If an error is returned, the pool has not changed.
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

    /// Sets the weight of one endpoint. The effect is that of an [`update`](Self::update) in which only the weight in
    /// the endpoint's spec differs. Takes O(n) time for n endpoints.
    ///
    /// Range: 0 to [`MAX_WEIGHT`](crate::MAX_WEIGHT). An endpoint of weight 0 gets only requests that are
    /// [bound](crate::PickRequest::bound) to it or [prefer](crate::PickRequest::prefer) it.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Unknown`] if the pool has no endpoint with this id. Otherwise the errors of
    /// [`update`](Self::update), for example if all weights are 0. If an error is returned, the pool has not changed.
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

    /// Sets a function that is called with each target that the pool no longer uses: when its endpoint leaves the pool,
    /// when the endpoint's address changes, and when the target is [replaced](Self::replace). The function can release
    /// what the target holds, such as idle connections, although leases may still use the target.
    ///
    /// `f` runs after the pool has changed, on the thread that changed it, before the method that changed it returns. It
    /// may change the pool itself. A panic of `f` is ignored. `f` is not called when the pool is dropped. If a function
    /// of the same Rust type was set before, the old function is kept, and `f` is not set.
    ///
    /// ```
    /// use std::sync::{
    ///     Arc,
    ///     atomic::{AtomicBool, Ordering},
    /// };
    ///
    /// use equipoise_core::{EndpointSpec, PickRequest, Pool};
    ///
    /// let pool: Pool<Arc<AtomicBool>> = Pool::default();
    /// pool.on_removed(|is_closed| is_closed.store(true, Ordering::Relaxed));
    /// pool.add(EndpointSpec::new("a:80"), Arc::default())?;
    /// let lease = pool.pick(&PickRequest::new())?;
    /// pool.remove("a:80")?;
    /// assert!(lease.target().load(Ordering::Relaxed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_removed(&self, f: impl Fn(&T) + Send + Sync + 'static) {
        self.inner.settings.removal_hooks.add(f);
    }

    /// Changes the specs as [`change_members`](Self::change_members) does, with a `make` that cannot fail.
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

    /// Changes the specs of the pool's endpoints with `change`. Calls `make` for each endpoint that joins, and for each
    /// endpoint that stays and for which `asks` returns true.
    fn change_members<E>(
        &self,
        change: impl FnOnce(Vec<EndpointSpec>) -> Result<Vec<EndpointSpec>, UpdateError>,
        asks: impl Fn(&EndpointSpec) -> bool,
        mut make: impl FnMut(&EndpointSpec, Option<&T>) -> Result<Option<T>, E>,
    ) -> Result<Changes, TryUpdateError<E>> {
        // Declared before the lock is taken, so that it is dropped after the lock is released. The drop may drop
        // targets, whose `Drop` may use this pool.
        let current;
        let writer = self.inner.write();
        current = self.inner.snapshot.load_full();
        let present = current.members().slots.iter().flatten().map(|member| member.spec.clone()).collect();
        let specs = change(present)?;
        validate(&specs).map_err(UpdateError::from)?;
        if u32::try_from(specs.len()).is_err() {
            return Err(UpdateError::TooMany { count: specs.len() }.into());
        }
        let settings = &self.inner.settings;
        let joining = specs.iter().filter(|spec| current.staying(spec).is_none());
        settings.address_checks.check(joining).map_err(UpdateError::from)?;
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
                let state = settings.strategy.state_guarded(spec)?;
                let context = Arc::clone(&settings.context);
                Ok(Arc::new(Endpoint::new(spec, slot, current.revision().next(), context, state)))
            })?;
        }
        if draft.changes.is_empty() {
            return Ok(draft.changes);
        }
        let (members, availability, changes) =
            draft.finish(&current, self.inner.stripes, settings.initial_availability);
        let next = current.next(Arc::new(members), availability, settings).map_err(UpdateError::from)?;
        self.inner.publish_members(next);
        let removed = removed_targets(current.members(), self.inner.snapshot.load().members());
        drop(writer);
        settings.removal_hooks.call(&removed);
        // The old snapshot has the last references to the endpoints that have left, unless they have leases.
        drop((removed, current));
        self.inner.departures.tidy(&*settings.context.clock, self.inner.snapshot.load().members());
        Ok(changes)
    }
}

impl<T> Pool<T> {
    /// Adds a check for the addresses of endpoints, and checks the endpoints that the pool has now. Later, the pool
    /// checks the address of each endpoint that joins or gets another address, as with
    /// [`PoolBuilder::addresses`](crate::PoolBuilder::addresses).
    ///
    /// This method is for code that gets a pool from its caller and sends requests to the addresses of the endpoints.
    /// If a check of the same Rust type was added before, the old check is kept, and `check` is not added.
    ///
    /// # Errors
    ///
    /// [`InvalidSpec::Address`] if an endpoint that the pool has now fails `check` or a check that was added before.
    /// The endpoint stays in the pool, and `check` is added nevertheless.
    pub fn demand_addresses(
        &self,
        check: impl Fn(&str) -> Result<(), InvalidAddress> + Send + Sync + 'static,
    ) -> Result<(), InvalidSpec> {
        let _writer = self.inner.writer.lock();
        let checks = &self.inner.settings.address_checks;
        checks.add(check);
        let snapshot = self.inner.snapshot.load();
        checks.check(snapshot.members().slots.iter().flatten().map(|member| &member.spec))
    }
}

fn position(specs: &[EndpointSpec], id: &EndpointId) -> Result<usize, UpdateError> {
    specs.iter().position(|spec| spec.id() == id).ok_or_else(|| UpdateError::Unknown { id: id.clone() })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{PickRequest, sync::Mutex};

    #[test]
    fn targets_that_leave_or_are_replaced_are_told_once() {
        let pool: Pool<&'static str> = Pool::default();
        let told: Arc<Mutex<Vec<&'static str>>> = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..2 {
            let told = Arc::clone(&told);
            pool.on_removed(move |target| told.lock().push(target));
        }
        pool.update(["a:80", "b:80", "c:80"].map(EndpointSpec::new), |spec| match spec.address() {
            "a:80" => "a",
            "b:80" => "b",
            _ => "c",
        })
        .unwrap();
        let id = EndpointId::from("a:80");
        let lease = pool.pick(&PickRequest::new().prefer(&id)).unwrap();
        pool.set_weight("a:80", 3).unwrap();
        assert!(told.lock().is_empty());
        pool.remove("a:80").unwrap();
        pool.replace(EndpointSpec::new("b:80"), "b2").unwrap();
        pool.replace(EndpointSpec::new("d:80").with_id("c:80"), "d").unwrap();
        pool.update([], |_| "none").unwrap();
        let mut told = told.lock().clone();
        told.sort_unstable();
        assert_eq!((*lease.target(), told), ("a", vec!["a", "b", "b2", "c", "d"]));
    }

    #[test]
    fn the_function_may_change_the_pool_and_may_panic() {
        let pool: Pool<u32> = Pool::default();
        let same = pool.clone();
        pool.on_removed(move |target| {
            same.add(EndpointSpec::new("b:80"), target + 1).unwrap();
            panic!("in the hook");
        });
        pool.add(EndpointSpec::new("a:80"), 1).unwrap();
        pool.remove("a:80").unwrap();
        assert_eq!(*pool.pick(&PickRequest::new()).unwrap().target(), 2);
    }
}
