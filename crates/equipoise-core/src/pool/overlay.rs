//! What is laid over the specs: weights and limits as they are for now, whatever the next update says they should be.

use std::sync::Arc;

use super::{Pool, UpdateError};
use crate::{
    endpoint::{EndpointId, InvalidSpec},
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
        self.overlay(id.into(), |overlay| overlay.percent = percent)
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
    pub fn set_limit(&self, id: impl Into<EndpointId>, limit: Option<u32>) -> Result<bool, UpdateError> {
        let id = id.into();
        if limit == Some(0) {
            return Err(InvalidSpec::Limit { id }.into());
        }
        self.overlay(id, |overlay| overlay.limit = limit)
    }

    fn overlay(&self, id: EndpointId, change: impl FnOnce(&mut Overlay)) -> Result<bool, UpdateError> {
        let current;
        let _writer = self.shared.writer.lock();
        current = self.shared.snapshot.load_full();
        let members = current.members();
        let Some(&slot) = members.index.get(&id) else { return Err(UpdateError::Unknown { id }) };
        let before = members.get(slot).map(|member| member.overlay).unwrap_or_default();
        let mut overlay = before;
        change(&mut overlay);
        if overlay == before {
            return Ok(false);
        }
        let members = members.overlaid(slot, overlay, current.revision().next());
        let next = current.next(Arc::new(members), current.all_availability().into(), &self.shared.hooks)?;
        self.shared.publish_members(next);
        Ok(true)
    }
}
