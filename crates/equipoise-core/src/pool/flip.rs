//! Changes of availability: a new snapshot over the same members.

use std::sync::Arc;

use super::{Pool, UpdateError};
use crate::endpoint::{Availability, EndpointId, Slot};

/// What [`Pool::set_availabilities`], [`Pool::set_weight_percents`] or [`Pool::set_max_in_flight_all`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppliedChanges {
    /// For whom it was a change, in the order of their slots.
    pub changed: Vec<EndpointId>,
    /// Whom the pool does not have, in the order given.
    pub unknown: Vec<EndpointId>,
}

impl<T> Pool<T> {
    /// Says whom an endpoint takes. Answers whether that was a change.
    ///
    /// O(n) off the request's path; tables that depend on membership alone are kept. Setting
    /// [`Trial`](Availability::Probation) where it is set already is no change, but starts another trial.
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
    /// When nobody has this id, or the strategy refuses. Nothing has changed then.
    pub fn set_availability(&self, id: impl Into<EndpointId>, availability: Availability) -> Result<bool, UpdateError> {
        let mut flips = self.set_availabilities([(id, availability)])?;
        match flips.unknown.pop() {
            Some(id) => Err(UpdateError::Unknown { id }),
            None => Ok(!flips.changed.is_empty()),
        }
    }

    /// [Says](Self::set_availability) of many endpoints at once whom they take: all of it is seen by the next pick, for
    /// the price of one change. Where an id occurs twice, the last one counts.
    ///
    /// Whoever watches endpoints races with whoever updates them, so ids that the pool does not have are no error: the
    /// others are set, and the answer names the unknown.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointId, EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// let unfit = ["a:80", "b:80", "gone:80"].map(|id| (id, Availability::Unhealthy));
    /// let flips = pool.set_availabilities(unfit)?;
    /// assert_eq!(flips.changed, ["a:80", "b:80"].map(EndpointId::from));
    /// assert_eq!(flips.unknown, ["gone:80"].map(EndpointId::from));
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the strategy refuses. Nothing has changed then.
    pub fn set_availabilities(
        &self,
        all: impl IntoIterator<Item = (impl Into<EndpointId>, Availability)>,
    ) -> Result<AppliedChanges, UpdateError> {
        // Before the lock: the iterator may be anything, also one that looks at this pool.
        let all: Vec<(EndpointId, Availability)> = all.into_iter().map(|(id, wanted)| (id.into(), wanted)).collect();
        let current;
        let _writer = self.shared.write();
        current = self.shared.snapshot.load_full();
        let members = current.members();
        let mut availability: Box<[Availability]> = current.all_availability().into();
        let mut flips = AppliedChanges::default();
        let mut named: Vec<Slot> = Vec::with_capacity(all.len());
        for (id, wanted) in all {
            match members.index.get(&id) {
                None => flips.unknown.push(id),
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
        flips.changed = changed.filter_map(|&slot| id(slot)).collect();
        let tried = named.into_iter().filter(|slot| availability[slot.index()] == Availability::Probation);
        let tried: Vec<Slot> = tried.collect();
        let next = match flips.changed.is_empty() {
            true => None,
            false => Some(current.next(Arc::clone(members), availability, &self.shared.hooks)?),
        };
        // Nothing can fail any more.
        for member in tried.iter().filter_map(|&slot| members.get(slot)) {
            member.endpoint.trial.renew();
            self.shared.hooks.renewed(member.endpoint.slot());
        }
        if let Some(next) = next {
            self.shared.publish(next);
        }
        Ok(flips)
    }

    /// Lets an endpoint finish: it keeps the clients bound to it and takes no new ones. The same as setting
    /// [`Availability::Draining`]. [`endpoints`](Self::endpoints) tells how many leases are still out.
    ///
    /// # Errors
    ///
    /// When nobody has this id, or the strategy refuses. Nothing has changed then.
    pub fn drain(&self, id: impl Into<EndpointId>) -> Result<bool, UpdateError> {
        self.set_availability(id, Availability::Draining)
    }
}
