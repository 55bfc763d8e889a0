//! Changes of the availability of endpoints. Each change publishes a new snapshot with the same members.

use std::sync::Arc;

use super::{error::UpdateError, queue::Recheck, state::Pool};
use crate::{
    endpoint::Availability,
    ids::{EndpointId, Slot},
    sync::{Ordering, fence},
};

/// The result of a method that sets the availability, the weight percentage or the maximum number of requests in flight
/// of many endpoints at once. Returned by [`Pool::set_availabilities`], [`Pool::set_weight_percents`] and
/// [`Pool::set_max_in_flight_all`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppliedChanges {
    /// The ids of the endpoints whose value has changed, in the order of their [slots](crate::Slot). The value is the
    /// availability, the weight percentage or the maximum number of requests in flight, depending on the method. An
    /// endpoint that already had the given value is not listed.
    pub changed: Vec<EndpointId>,
    /// The ids that were passed to the method although no endpoint of the pool has them, in the order of the arguments.
    /// The method has ignored them.
    pub unknown: Vec<EndpointId>,
}

impl<T> Pool<T> {
    /// Sets the availability of one endpoint: which requests it accepts. Returns whether the availability has changed.
    ///
    /// If `availability` is [`Probation`](Availability::Probation), the endpoint gets a single request, and the result
    /// of this request decides whether the endpoint has recovered. If the endpoint is on probation already, it gets
    /// another single request, and the method returns `false`.
    ///
    /// Takes O(n) time for n endpoints. The strategy builds new pickers (the parts that pick endpoints), but the
    /// hashing strategies of this crate keep their tables.
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
    /// [`UpdateError::Unknown`] if the pool has no endpoint with this id. [`UpdateError::Strategy`] if the strategy
    /// fails to build a picker (the part that picks endpoints). If an error is returned, the pool has not changed.
    pub fn set_availability(&self, id: impl Into<EndpointId>, availability: Availability) -> Result<bool, UpdateError> {
        let mut applied = self.set_availabilities([(id, availability)])?;
        match applied.unknown.pop() {
            Some(id) => Err(UpdateError::Unknown { id }),
            None => Ok(!applied.changed.is_empty()),
        }
    }

    /// Sets the availability of many endpoints in one change. The effect on each endpoint is that of
    /// [`set_availability`](Self::set_availability). A pick sees either all new values or none of them.
    ///
    /// If an id occurs twice in `all`, its last value is used. An id that no endpoint of the pool has is returned in
    /// [`AppliedChanges::unknown`]. The other endpoints get their new availability nevertheless. An unknown id is not
    /// an error, because a health check may report on an endpoint that has just been removed. Takes O(n) time for n
    /// endpoints of the pool.
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
    /// [`UpdateError::Strategy`] if the strategy fails to build a picker (the part that picks endpoints). The pool has
    /// not changed then.
    pub fn set_availabilities(
        &self,
        all: impl IntoIterator<Item = (impl Into<EndpointId>, Availability)>,
    ) -> Result<AppliedChanges, UpdateError> {
        // Collected before the lock is taken, because the iterator may use this pool.
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
        // Done after everything that can fail. The queue is served when the writer is dropped.
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

    /// Starts to drain an endpoint: it gets only requests that are [bound](crate::PickRequest::bound) to it or
    /// [prefer](crate::PickRequest::prefer) it. Returns whether the availability has changed.
    ///
    /// This is the same as setting [`Availability::Draining`]. The endpoint stays in the pool. To wait until it has no
    /// requests in flight, use [`idle`](Self::idle). To read the number of its requests in flight, use
    /// [`endpoints`](Self::endpoints).
    ///
    /// # Errors
    ///
    /// [`UpdateError::Unknown`] if the pool has no endpoint with this id. [`UpdateError::Strategy`] if the strategy
    /// fails to build a picker (the part that picks endpoints). If an error is returned, the pool has not changed.
    pub fn drain(&self, id: impl Into<EndpointId>) -> Result<bool, UpdateError> {
        self.set_availability(id, Availability::Draining)
    }
}
