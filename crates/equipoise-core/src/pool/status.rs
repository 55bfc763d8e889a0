use super::snapshot::Snapshot;
use crate::{
    endpoint::Availability,
    ids::{EndpointId, Revision, Slot, Tier},
    load::{LatencyHistogram, RequestCounts},
};

/// The state of one endpoint at one moment. Returned by [`Pool::endpoints`](crate::Pool::endpoints).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EndpointStatus {
    /// The id of the endpoint.
    pub id: EndpointId,
    /// The [revision](crate::Pool::revision) of the pool at which the endpoint joined. If an endpoint is removed and
    /// added again, it gets a higher value. The value therefore distinguishes it from the old endpoint with the same id
    /// and address.
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
    /// A histogram of the endpoint's latencies to the first byte of the response, since it joined the pool. `None` if
    /// the pool keeps no [histograms](crate::PoolBuilder::latency_histograms). Also `None` in explanations of picks.
    pub latency: Option<LatencyHistogram>,
}

impl EndpointStatus {
    pub(super) fn of(snapshot: &Snapshot, slot: Slot) -> Option<Self> {
        let member = snapshot.members().get(slot)?;
        let requests = snapshot.members().requests(slot);
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
            latency: None,
        })
    }
}
