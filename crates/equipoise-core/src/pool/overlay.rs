//! Overlays: weights and limits that override those of the specs and stay when an update brings other specs.

use std::{collections::BTreeMap, sync::Arc};

use super::{availability::AppliedChanges, error::UpdateError, state::Pool};
use crate::{
    endpoint::InvalidSpec,
    ids::{EndpointId, Slot},
    view::Overlay,
};

impl<T> Pool<T> {
    /// Scales the weight of an endpoint to `percent` of that in its spec. Returns whether that was a change.
    ///
    /// The result is rounded down and is at most [`MAX_WEIGHT`](crate::MAX_WEIGHT). If it is 0, the endpoint gets only
    /// requests that are bound to it. A spec of weight 1 knows only 0 and 1 below 200 %, so use weights such as 100 for
    /// finer steps. If all endpoints have weight 0, picks fail with
    /// [`PickError::Unavailable`](crate::PickError::Unavailable).
    ///
    /// The percentage stays when an update brings another weight. Set 100, the default, to remove it. An endpoint that
    /// is replaced starts with 100. O(n), like an [`update`](Self::update).
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80").weight(50), ())?;
    /// assert!(pool.set_weight_percent("a:80", 75)?);
    /// assert_eq!(pool.endpoints()[0].weight, 37);
    /// pool.update([EndpointSpec::new("a:80").weight(100)], |_| ())?;
    /// assert_eq!(pool.endpoints()[0].weight, 75);
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the pool has no endpoint of this id, or the strategy cannot build a picker. The pool is unchanged then.
    pub fn set_weight_percent(&self, id: impl Into<EndpointId>, percent: u32) -> Result<bool, UpdateError> {
        self.overlay(id.into(), percent, |overlay, percent| overlay.percent = percent)
    }

    /// Sets the maximum number of leases that an endpoint may have out, in place of the limit in its spec. `None`
    /// removes the override. Returns whether that was a change.
    ///
    /// The limit stays when an update brings another one. An endpoint that is replaced starts with the limit of its
    /// spec. Leases that are out stay valid, and leases taken while there was no limit do not count against it. O(n),
    /// like an [`update`](Self::update).
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickError, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// assert!(pool.set_max_in_flight("a:80", Some(1))?);
    /// let lease = pool.pick(&PickRequest::new())?;
    /// assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
    /// assert!(pool.set_max_in_flight("a:80", None)?);
    /// assert_eq!(pool.endpoints()[0].max_in_flight, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the pool has no endpoint of this id, the limit is 0, or the strategy cannot build a picker. The pool is
    /// unchanged then.
    pub fn set_max_in_flight(
        &self,
        id: impl Into<EndpointId>,
        max_in_flight: Option<u32>,
    ) -> Result<bool, UpdateError> {
        let id = id.into();
        if max_in_flight == Some(0) {
            return Err(InvalidSpec::Limit { id }.into());
        }
        self.overlay(id, max_in_flight, |overlay, max_in_flight| overlay.max_in_flight = max_in_flight)
    }

    /// Scales the weights of many endpoints in one change, each as [`set_weight_percent`](Self::set_weight_percent)
    /// does.
    ///
    /// If an id occurs twice, the last value counts. Ids that the pool does not have are returned in
    /// [`AppliedChanges::unknown`] and are not an error. O(n) in the endpoints of the pool.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.update(["a:80", "b:80"].map(|id| EndpointSpec::new(id).weight(100)), |_| ())?;
    /// let applied = pool.set_weight_percents([("a:80", 50), ("b:80", 100), ("gone:80", 10)])?;
    /// assert_eq!((applied.changed.len(), applied.unknown.len()), (1, 1));
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the strategy cannot build a picker. The pool is unchanged then.
    pub fn set_weight_percents(
        &self,
        all: impl IntoIterator<Item = (impl Into<EndpointId>, u32)>,
    ) -> Result<AppliedChanges, UpdateError> {
        self.overlays(all, |overlay, percent| overlay.percent = percent)
    }

    /// Sets the limits of many endpoints in one change, each as [`set_max_in_flight`](Self::set_max_in_flight) does.
    ///
    /// If an id occurs twice, the last value counts. Ids that the pool does not have are returned in
    /// [`AppliedChanges::unknown`] and are not an error. O(n) in the endpoints of the pool.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// pool.set_max_in_flight_all(["a:80", "b:80"].map(|id| (id, Some(10))))?;
    /// assert!(pool.endpoints().iter().all(|endpoint| endpoint.max_in_flight == Some(10)));
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a limit is 0, or the strategy cannot build a picker. The pool is unchanged then.
    pub fn set_max_in_flight_all(
        &self,
        all: impl IntoIterator<Item = (impl Into<EndpointId>, Option<u32>)>,
    ) -> Result<AppliedChanges, UpdateError> {
        let all: Vec<(EndpointId, Option<u32>)> = all.into_iter().map(|(id, limit)| (id.into(), limit)).collect();
        if let Some((id, _)) = all.iter().find(|(_, limit)| *limit == Some(0)) {
            return Err(InvalidSpec::Limit { id: id.clone() }.into());
        }
        self.overlays(all, |overlay, max_in_flight| overlay.max_in_flight = max_in_flight)
    }

    fn overlays<V>(
        &self,
        all: impl IntoIterator<Item = (impl Into<EndpointId>, V)>,
        change: impl Fn(&mut Overlay, V),
    ) -> Result<AppliedChanges, UpdateError> {
        // Before the lock, because the iterator may use this pool.
        let all: Vec<(EndpointId, V)> = all.into_iter().map(|(id, value)| (id.into(), value)).collect();
        let current;
        let _writer = self.inner.write();
        current = self.inner.snapshot.load_full();
        let members = current.members();
        let mut applied = AppliedChanges::default();
        let mut overlays: BTreeMap<Slot, Overlay> = BTreeMap::new();
        let of = |slot| members.get(slot).map(|member| member.overlay).unwrap_or_default();
        for (id, value) in all {
            match members.index.get(&id) {
                None => applied.unknown.push(id),
                Some(&slot) => change(overlays.entry(slot).or_insert_with(|| of(slot)), value),
            }
        }
        overlays.retain(|slot, overlay| *overlay != of(*slot));
        let id = |slot: &Slot| members.get(*slot).map(|member| member.endpoint.id().clone());
        applied.changed = overlays.keys().filter_map(id).collect();
        if !overlays.is_empty() {
            let members = members.overlaid(overlays, current.revision().next());
            let next = current.next(Arc::new(members), current.all_availability().into(), &self.inner.settings)?;
            self.inner.publish_members(next);
        }
        Ok(applied)
    }

    fn overlay<V>(&self, id: EndpointId, value: V, change: impl Fn(&mut Overlay, V)) -> Result<bool, UpdateError> {
        let mut applied = self.overlays([(id, value)], change)?;
        match applied.unknown.pop() {
            Some(id) => Err(UpdateError::Unknown { id }),
            None => Ok(!applied.changed.is_empty()),
        }
    }
}
