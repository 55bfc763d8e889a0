//! Changes of availability: a new snapshot with the same members.

use std::sync::Arc;

use super::{error::UpdateError, queue::Recheck, state::Pool};
use crate::{
    endpoint::Availability,
    ids::{EndpointId, Slot},
    sync::{Ordering, fence},
};

/// What a change of many endpoints did: returned by [`Pool::set_availabilities`], [`Pool::set_weight_percents`] and
/// [`Pool::set_max_in_flight_all`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppliedChanges {
    /// The endpoints that were changed, in the order of their slots. Those that had the value already are not included.
    pub changed: Vec<EndpointId>,
    /// The ids that the pool does not have, in the order given.
    pub unknown: Vec<EndpointId>,
}

impl<T> Pool<T> {
    /// Sets which requests an endpoint accepts. Returns whether that was a change.
    ///
    /// Setting [`Probation`](Availability::Probation) again is not a change, but starts a new probation. O(n). Tables
    /// of the strategy that depend on membership only are kept.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// assert!(pool.set_availability("a:80", Availability::Maintenance)?);
    /// assert_eq!(pool.pick(&PickRequest::new())?.endpoint().id().as_str(), "b:80");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the pool has no endpoint of this id, or the strategy cannot build a picker. The pool is unchanged then.
    pub fn set_availability(&self, id: impl Into<EndpointId>, availability: Availability) -> Result<bool, UpdateError> {
        let mut applied = self.set_availabilities([(id, availability)])?;
        match applied.unknown.pop() {
            Some(id) => Err(UpdateError::Unknown { id }),
            None => Ok(!applied.changed.is_empty()),
        }
    }

    /// Sets the availability of many endpoints in one change, each as [`set_availability`](Self::set_availability)
    /// does. A pick sees either all of the change or nothing of it.
    ///
    /// If an id occurs twice, the last value counts. An id that the pool does not have is not an error, because a
    /// health check may report on an endpoint that has just been removed: it is returned in
    /// [`AppliedChanges::unknown`], and the others are set. O(n) in the endpoints of the pool.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointId, EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// let unhealthy = ["a:80", "b:80", "gone:80"].map(|id| (id, Availability::Unhealthy));
    /// let applied = pool.set_availabilities(unhealthy)?;
    /// assert_eq!(applied.changed, ["a:80", "b:80"].map(EndpointId::from));
    /// assert_eq!(applied.unknown, ["gone:80"].map(EndpointId::from));
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the strategy cannot build a picker. The pool is unchanged then.
    pub fn set_availabilities(
        &self,
        all: impl IntoIterator<Item = (impl Into<EndpointId>, Availability)>,
    ) -> Result<AppliedChanges, UpdateError> {
        // Before the lock, because the iterator may use this pool.
        let all: Vec<(EndpointId, Availability)> = all.into_iter().map(|(id, wanted)| (id.into(), wanted)).collect();
        let current;
        let _writer = self.inner.write();
        current = self.inner.snapshot.load_full();
        let members = current.members();
        let mut availability: Box<[Availability]> = current.all_availability().into();
        let mut applied = AppliedChanges::default();
        let mut named: Vec<Slot> = Vec::with_capacity(all.len());
        for (id, wanted) in all {
            match members.index.get(&id) {
                None => applied.unknown.push(id),
                Some(&slot) => {
                    availability[slot.index()] = wanted;
                    named.push(slot);
                }
            }
        }
        named.sort_unstable();
        named.dedup();
        let id = |slot| members.get(slot).map(|member| member.endpoint.id().clone());
        let changed = named.iter().filter(|slot| availability[slot.index()] != current.availability(**slot));
        applied.changed = changed.filter_map(|&slot| id(slot)).collect();
        let on_probation = named.into_iter().filter(|slot| availability[slot.index()] == Availability::Probation);
        let on_probation: Vec<Slot> = on_probation.collect();
        let next = match applied.changed.is_empty() {
            true => None,
            false => Some(current.next(Arc::clone(members), availability, &self.inner.settings)?),
        };
        // After everything that can fail. The queue is served when the change is over.
        for member in on_probation.iter().filter_map(|&slot| members.get(slot)) {
            member.endpoint.probation.renew();
            fence(Ordering::SeqCst);
            if self.inner.settings.context.is_waiting(Ordering::Relaxed) {
                self.inner.queue.recheck(Recheck::Slot(member.endpoint.slot()));
            }
        }
        if let Some(next) = next {
            self.inner.publish(next);
        }
        Ok(applied)
    }

    /// Starts to drain an endpoint: it keeps its sessions and gets no other requests. The same as setting
    /// [`Availability::Draining`]. Returns whether that was a change.
    ///
    /// [`idle`](Self::idle) waits until the last lease has ended, and [`endpoints`](Self::endpoints) shows how many are
    /// out.
    ///
    /// # Errors
    ///
    /// If the pool has no endpoint of this id, or the strategy cannot build a picker. The pool is unchanged then.
    pub fn drain(&self, id: impl Into<EndpointId>) -> Result<bool, UpdateError> {
        self.set_availability(id, Availability::Draining)
    }
}
