//! Overlays: weights and limits that override those in the specs of endpoints. An overlay stays when an update changes
//! the spec of its endpoint.

use std::{collections::BTreeMap, sync::Arc};

use super::{availability::AppliedChanges, error::UpdateError, state::Pool};
use crate::{
    endpoint::InvalidSpec,
    ids::{EndpointId, Slot},
    view::Overlay,
};

impl<T> Pool<T> {
    /// Sets the weight of an endpoint to `percent` of the weight in its spec. Returns whether the percentage has
    /// changed.
    ///
    /// Range: 0 and above. Default: 100. The resulting weight is rounded down, and is at most
    /// [`MAX_WEIGHT`](crate::MAX_WEIGHT). If the resulting weight is 0, the endpoint gets only requests that are
    /// [bound](crate::PickRequest::bound) to it or [prefer](crate::PickRequest::prefer) it. If all endpoints have
    /// weight 0, picks fail with [`PickError::Unavailable`](crate::PickError::Unavailable). Because of the rounding, a
    /// weight of 1 becomes 0 for every percentage below 100. Use weights such as 100 for finer steps.
    ///
    /// The percentage stays when an [`update`](Self::update) changes the weight in the spec, and then applies to the
    /// new weight. Set 100 to use the weight of the spec unchanged. If the address of the endpoint changes, the
    /// percentage is 100 again. Takes O(n) time for n endpoints.
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
    /// [`UpdateError::Unknown`] if the pool has no endpoint with this id. [`UpdateError::Strategy`] if the strategy
    /// fails to build a picker (the part that picks endpoints). If an error is returned, the pool has not changed.
    pub fn set_weight_percent(&self, id: impl Into<EndpointId>, percent: u32) -> Result<bool, UpdateError> {
        self.overlay(id.into(), percent, |overlay, percent| overlay.percent = percent)
    }

    /// Sets the maximum number of requests in flight at an endpoint. `max_in_flight` is used instead of the maximum in
    /// the endpoint's spec. Returns whether this setting has changed.
    ///
    /// Range: 1 and above; 0 is an error. With `None`, the maximum in the spec applies. Default: `None`. The setting
    /// stays when an [`update`](Self::update) changes the maximum in the spec. If the address of the endpoint changes,
    /// the setting is `None` again. Takes O(n) time for n endpoints.
    ///
    /// If more requests are in flight than a new maximum allows, these requests continue. Requests that were picked
    /// while the endpoint had no maximum do not count against a new maximum.
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
    /// [`InvalidSpec::Limit`] (as [`UpdateError::Invalid`]) if the maximum is 0. [`UpdateError::Unknown`] if the pool
    /// has no endpoint with this id. [`UpdateError::Strategy`] if the strategy fails to build a picker (the part that
    /// picks endpoints). If an error is returned, the pool has not changed.
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

    /// Sets the weights of many endpoints in one change. `all` contains an id and a percentage for each endpoint. The
    /// percentage is relative to the weight in the endpoint's spec. Its range and its effect are those of
    /// [`set_weight_percent`](Self::set_weight_percent).
    ///
    /// If an id occurs twice, its last value is used. An id that no endpoint of the pool has is not an error. It is
    /// returned in [`AppliedChanges::unknown`]. Takes O(n) time for n endpoints of the pool.
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
    /// [`UpdateError::Strategy`] if the strategy fails to build a picker (the part that picks endpoints). The pool has
    /// not changed then.
    pub fn set_weight_percents(
        &self,
        all: impl IntoIterator<Item = (impl Into<EndpointId>, u32)>,
    ) -> Result<AppliedChanges, UpdateError> {
        self.overlays(all, |overlay, percent| overlay.percent = percent)
    }

    /// Sets the maximum numbers of requests in flight at many endpoints in one change. `all` contains an id and a
    /// maximum for each endpoint. The range and the effect of a maximum are those of
    /// [`set_max_in_flight`](Self::set_max_in_flight). With `None`, the maximum in the endpoint's spec applies.
    ///
    /// If an id occurs twice, its last value is used. An id that no endpoint of the pool has is not an error. It is
    /// returned in [`AppliedChanges::unknown`]. Takes O(n) time for n endpoints of the pool.
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
    /// [`InvalidSpec::Limit`] (as [`UpdateError::Invalid`]) if a maximum is 0. [`UpdateError::Strategy`] if the
    /// strategy fails to build a picker (the part that picks endpoints). If an error is returned, the pool has not
    /// changed.
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
        // Collected before the lock is taken, because the iterator may use this pool.
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
