//! What is laid over the specs: weights and limits as they are for now, whatever the next update says they should be.

use std::{collections::BTreeMap, sync::Arc};

use super::{AppliedChanges, Pool, UpdateError};
use crate::{
    endpoint::{EndpointId, InvalidSpec, Slot},
    view::Overlay,
};

impl<T> Pool<T> {
    /// Gives an endpoint a part of the weight that its spec says: `percent` of it, rounded down and at most
    /// [`MAX_WEIGHT`](crate::MAX_WEIGHT). Answers whether that was a change.
    ///
    /// It stays when an update brings another weight, until it is set to 100 again; an endpoint that is replaced starts
    /// with 100. What comes to 0 takes no new work, as a weight of 0 says, and a weight of 1 has no smaller part than
    /// that: for finer steps give specs weights such as 100. Also all endpoints together may be brought to 0: picks then
    /// say [`Unavailable`](crate::PickError::Unavailable). Costs as much as an [`update`](Self::update).
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
    /// When nobody has this id, or the strategy refuses. Nothing has changed then.
    pub fn set_weight_percent(&self, id: impl Into<EndpointId>, percent: u32) -> Result<bool, UpdateError> {
        self.overlay(id.into(), percent, |overlay, percent| overlay.percent = percent)
    }

    /// Gives an endpoint another limit than its spec says, or with `None` that one again. Answers whether that was a
    /// change.
    ///
    /// It stays when an update brings another limit; an endpoint that is replaced starts without. Leases that are out
    /// stay valid, and those taken while there was no limit do not count. Costs as much as an [`update`](Self::update).
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickError, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// assert!(pool.set_limit("a:80", Some(1))?);
    /// let lease = pool.pick(&PickRequest::new())?;
    /// assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
    /// assert!(pool.set_limit("a:80", None)?);
    /// assert_eq!(pool.endpoints()[0].max_in_flight, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When nobody has this id, the limit is 0, or the strategy refuses. Nothing has changed then.
    pub fn set_max_in_flight(&self, id: impl Into<EndpointId>, limit: Option<u32>) -> Result<bool, UpdateError> {
        let id = id.into();
        if limit == Some(0) {
            return Err(InvalidSpec::Limit { id }.into());
        }
        self.overlay(id, limit, |overlay, limit| overlay.limit = limit)
    }

    /// [Gives](Self::set_weight_percent) many endpoints parts of their weights, for the price of one change. Where an id
    /// occurs twice, the last one counts; ids that the pool does not have are named in the answer.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.update(["a:80", "b:80"].map(|id| EndpointSpec::new(id).weight(100)), |_| ())?;
    /// let flips = pool.set_weight_percents([("a:80", 50), ("b:80", 100), ("gone:80", 10)])?;
    /// assert_eq!((flips.changed.len(), flips.unknown.len()), (1, 1));
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the strategy refuses. Nothing has changed then.
    pub fn set_weight_percents(
        &self,
        all: impl IntoIterator<Item = (impl Into<EndpointId>, u32)>,
    ) -> Result<AppliedChanges, UpdateError> {
        self.overlays(all, |overlay, percent| overlay.percent = percent)
    }

    /// [Gives](Self::set_max_in_flight) many endpoints other limits, for the price of one change. Where an id occurs twice, the last
    /// one counts; ids that the pool does not have are named in the answer.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// pool.set_limits(["a:80", "b:80"].map(|id| (id, Some(10))))?;
    /// assert!(pool.endpoints().iter().all(|endpoint| endpoint.max_in_flight == Some(10)));
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When a limit is 0, or the strategy refuses. Nothing has changed then.
    pub fn set_max_in_flight_all(
        &self,
        all: impl IntoIterator<Item = (impl Into<EndpointId>, Option<u32>)>,
    ) -> Result<AppliedChanges, UpdateError> {
        let all: Vec<(EndpointId, Option<u32>)> = all.into_iter().map(|(id, limit)| (id.into(), limit)).collect();
        if let Some((id, _)) = all.iter().find(|(_, limit)| *limit == Some(0)) {
            return Err(InvalidSpec::Limit { id: id.clone() }.into());
        }
        self.overlays(all, |overlay, limit| overlay.limit = limit)
    }

    fn overlays<V>(
        &self,
        all: impl IntoIterator<Item = (impl Into<EndpointId>, V)>,
        change: impl Fn(&mut Overlay, V),
    ) -> Result<AppliedChanges, UpdateError> {
        // Before the lock: the iterator may be anything, also one that looks at this pool.
        let all: Vec<(EndpointId, V)> = all.into_iter().map(|(id, value)| (id.into(), value)).collect();
        let current;
        let _writer = self.shared.write();
        current = self.shared.snapshot.load_full();
        let members = current.members();
        let mut flips = AppliedChanges::default();
        let mut overlays: BTreeMap<Slot, Overlay> = BTreeMap::new();
        let of = |slot| members.get(slot).map(|member| member.overlay).unwrap_or_default();
        for (id, value) in all {
            match members.index.get(&id) {
                None => flips.unknown.push(id),
                Some(&slot) => change(overlays.entry(slot).or_insert_with(|| of(slot)), value),
            }
        }
        overlays.retain(|slot, overlay| *overlay != of(*slot));
        let id = |slot: &Slot| members.get(*slot).map(|member| member.endpoint.id().clone());
        flips.changed = overlays.keys().filter_map(id).collect();
        if !overlays.is_empty() {
            let members = members.overlaid(overlays, current.revision().next());
            let next = current.next(Arc::new(members), current.all_availability().into(), &self.shared.hooks)?;
            self.shared.publish_members(next);
        }
        Ok(flips)
    }

    fn overlay<V>(&self, id: EndpointId, value: V, change: impl Fn(&mut Overlay, V)) -> Result<bool, UpdateError> {
        let mut flips = self.overlays([(id, value)], change)?;
        match flips.unknown.pop() {
            Some(id) => Err(UpdateError::Unknown { id }),
            None => Ok(!flips.changed.is_empty()),
        }
    }
}
