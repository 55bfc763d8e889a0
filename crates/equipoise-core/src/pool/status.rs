//! What can be read from a pool: its revision, and the status of its endpoints.

use std::{fmt, sync::Arc};

use super::state::{Pool, Snapshot};
use crate::{
    endpoint::Availability,
    ids::{EndpointId, Revision, Slot, Tier},
    load::{LatencyHistogram, RequestCounts},
    time::Timestamp,
};

impl<T> Pool<T> {
    /// Returns the current time of the pool's [clock](crate::PoolBuilder::clock).
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use equipoise_core::{ManualClock, P2c, Pool, Timestamp};
    ///
    /// let clock = Arc::new(ManualClock::new());
    /// let pool = Pool::<()>::builder(P2c::new()).clock(clock.clone()).build();
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(pool.now(), Timestamp::ZERO + Duration::from_secs(1));
    /// ```
    pub fn now(&self) -> Timestamp {
        self.inner.settings.context.clock.now()
    }

    /// Returns the revision of the pool: the number of its changes so far. A new pool has the revision 0. Changes of
    /// endpoints, weights, limits and availability count. If the strategy [asks the pool to build new
    /// pickers](crate::Strategy::on_refresh) (the parts that pick endpoints), this also counts as a change.
    pub fn revision(&self) -> Revision {
        self.inner.snapshot.load().revision()
    }

    /// Returns the revision of the pool at which its membership last changed. The membership includes the id, the
    /// address, the weight, the tier, the zone and the maximum number of requests in flight of each endpoint. It does
    /// not include the availability.
    ///
    /// Code that keeps a copy of the membership can store this revision, and compare it with a later result of this
    /// method. If both are equal, the copy is still right.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// pool.set_availability("a:80", Availability::Maintenance)?;
    /// assert!(pool.membership() < pool.revision());
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    pub fn membership(&self) -> Revision {
        self.inner.snapshot.load().members().revision
    }

    /// Returns whether the pool's strategy uses the [key](crate::PickRequest::key) of requests, as hashing strategies
    /// do. If not, requests need no key.
    pub fn places_by_key(&self) -> bool {
        self.inner.settings.needs.key
    }

    /// Returns a future that waits until the pool has a later revision than `since`, and returns this later revision.
    /// Every change of the pool makes a new revision, for example a change of membership, weights or availability. The
    /// future ends at once if the pool already has a later revision than `since`. It works on every async runtime.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// let before = pool.revision();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// assert!(futures::executor::block_on(pool.changed(before)) > before);
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    pub fn changed(&self, since: Revision) -> impl Future<Output = Revision> + Send + Sync + use<T> {
        let inner = Arc::clone(&self.inner);
        async move {
            loop {
                let listener = inner.changed.listen();
                let revision = inner.snapshot.load().revision();
                if revision > since {
                    return revision;
                }
                listener.await;
            }
        }
    }

    /// Returns the availability of an endpoint: which requests it accepts. `None` if the pool has no endpoint with this
    /// id. Takes O(1) time.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// pool.drain("a:80")?;
    /// assert_eq!(pool.availability("a:80"), Some(Availability::Draining));
    /// assert_eq!(pool.availability("b:80"), None);
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    pub fn availability(&self, id: impl AsRef<str>) -> Option<Availability> {
        let snapshot = self.inner.snapshot.load();
        let slot = *snapshot.members().index.get(id.as_ref())?;
        Some(snapshot.availability(slot))
    }

    /// Returns a clone of the target of an endpoint, for example to read the state of its connections. `None` if the pool
    /// has no endpoint with this id. Takes O(1) time.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), "a client")?;
    /// assert_eq!(pool.target("a:80"), Some("a client"));
    /// assert_eq!(pool.target("b:80"), None);
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    pub fn target(&self, id: impl AsRef<str>) -> Option<T>
    where
        T: Clone + Send + Sync + 'static,
    {
        let snapshot = self.inner.snapshot.load();
        let members = snapshot.members();
        let slot = *members.index.get(id.as_ref())?;
        members.handle(slot, 0)?.target.downcast_ref().cloned()
    }

    /// Returns the ids of all endpoints with clones of their targets, in the order of their [slots](crate::Slot): all of
    /// the same moment. Takes O(n) time for n endpoints, less than a call of [`target`](Self::target) for each of them.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), "a client")?;
    /// for (id, target) in pool.targets() {
    ///     assert_eq!((id.as_str(), target), ("a:80", "a client"));
    /// }
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    pub fn targets(&self) -> Vec<(EndpointId, T)>
    where
        T: Clone + Send + Sync + 'static,
    {
        let snapshot = self.inner.snapshot.load();
        let members = snapshot.members();
        let target = |slot| {
            let id = members.get(slot)?.endpoint.id().clone();
            Some((id, members.handle(slot, 0)?.target.downcast_ref::<T>()?.clone()))
        };
        snapshot.slots().filter_map(target).collect()
    }

    /// Returns the current state of all endpoints, in the order of their [slots](crate::Slot), for status pages and
    /// metrics. Takes O(n) time for n endpoints. Allocates.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let snapshot = self.inner.snapshot.load();
        snapshot.slots().filter_map(|slot| EndpointStatus::with_histograms(&snapshot, slot)).collect()
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("strategy", &self.inner.settings.strategy)
            .field("revision", &self.revision())
            .field("endpoints", &self.endpoints())
            .finish()
    }
}

/// The state of one endpoint at one moment. Returned by [`Pool::endpoints`](crate::Pool::endpoints).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EndpointStatus {
    /// The id of the endpoint.
    pub id: EndpointId,
    /// The [revision](crate::Pool::revision) of the pool at which the endpoint joined. An endpoint that is removed and
    /// added again gets a higher value. The value therefore distinguishes the new endpoint from the old endpoint with
    /// the same id and address.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// let joined = || pool.endpoints()[0].joined;
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// let first = joined();
    /// pool.set_weight("a:80", 5)?;
    /// assert_eq!(joined(), first);
    /// pool.remove("a:80")?;
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// assert!(joined() > first);
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    pub joined: Revision,
    /// The address of the endpoint, as given in its spec.
    pub address: String,
    /// The tier (priority group) of the endpoint.
    pub tier: Tier,
    /// The zone of the endpoint. `None` if its spec has no zone.
    pub zone: Option<String>,
    /// The effective weight of the endpoint: the weight in its spec, multiplied by the percentage that was set with
    /// [`Pool::set_weight_percent`](crate::Pool::set_weight_percent) (default: 100 %), and rounded down.
    pub weight: u32,
    /// The availability of the endpoint: which requests it accepts.
    pub availability: Availability,
    /// The number of requests in flight at the endpoint. A request is in flight from its pick until its lease ends.
    pub in_flight: u32,
    /// The maximum number of requests in flight at the endpoint. It is the maximum that was set with
    /// [`Pool::set_max_in_flight`](crate::Pool::set_max_in_flight), otherwise the maximum in the endpoint's spec.
    /// `None`: no limit.
    pub max_in_flight: Option<u32>,
    /// Counts of the endpoint's requests since it joined the pool: how many have ended in each way (such as success or
    /// failure), how many are in flight, and the total.
    pub requests: RequestCounts,
    /// The number of bytes that were sent to the endpoint since it joined the pool, as callers have
    /// [counted](crate::Lease::count_bytes) them. The balancers of HTTP requests count none. Never decreases.
    pub bytes_sent: u64,
    /// The number of bytes that were received from the endpoint since it joined the pool, as callers have
    /// [counted](crate::Lease::count_bytes) them. The balancers of HTTP requests count none. Never decreases.
    pub bytes_received: u64,
    /// A histogram of the endpoint's latencies to the first byte of the response, since it joined the pool. It does not
    /// have responses whose status is a failure, such as 500 or 429 (see [`Lease::response_head`](crate::Lease::response_head)). `None` if
    /// the pool keeps no [histograms](crate::PoolBuilder::latency_histograms). Also `None` in explanations of picks.
    pub latency: Option<LatencyHistogram>,
    /// A histogram of the whole times of the endpoint's requests, from the pick to the end of the lease, since it joined
    /// the pool. It has the requests that are in [`latency`](Self::latency), once they have ended. Times that were
    /// [excluded](crate::Lease::exclude_latency) from the latency are not part of them. `None` if the pool keeps no
    /// [histograms](crate::PoolBuilder::latency_histograms). Also `None` in explanations of picks.
    pub duration: Option<LatencyHistogram>,
}

impl EndpointStatus {
    /// Returns the status of the endpoint in this slot. `None` for an empty slot.
    pub(super) fn with_histograms(snapshot: &Snapshot, slot: Slot) -> Option<Self> {
        let (latency, duration) = snapshot.members().histograms(slot).unzip();
        Some(Self { latency, duration, ..Self::of(snapshot, slot)? })
    }

    /// Returns the status of the endpoint in this slot, without histograms. `None` for an empty slot.
    pub(super) fn of(snapshot: &Snapshot, slot: Slot) -> Option<Self> {
        let member = snapshot.members().get(slot)?;
        let requests = snapshot.members().requests(slot);
        let (bytes_sent, bytes_received) = snapshot.members().bytes(slot);
        Some(Self {
            id: member.endpoint.id().clone(),
            joined: member.endpoint.joined,
            address: member.endpoint.address().to_owned(),
            tier: member.spec.tier_value(),
            zone: member.spec.zone_name().map(ToString::to_string),
            weight: member.weight(),
            availability: snapshot.availability(slot),
            in_flight: u32::try_from(requests.in_flight).unwrap_or(u32::MAX),
            max_in_flight: member.max_in_flight(),
            requests,
            bytes_sent,
            bytes_received,
            latency: None,
            duration: None,
        })
    }
}
