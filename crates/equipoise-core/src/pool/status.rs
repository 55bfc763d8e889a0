use super::snapshot::Snapshot;
use crate::{
    endpoint::Availability,
    ids::{EndpointId, Revision, Slot, Tier},
    load::{LatencyHistogram, RequestCounts},
};

/// The state of an endpoint at one moment: returned by [`Pool::endpoints`](crate::Pool::endpoints).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EndpointStatus {
    /// The id of the endpoint.
    pub id: EndpointId,
    /// The revision at which the endpoint joined. An endpoint that is removed and added again has another one, so it
    /// can be told from the earlier endpoint of the same id and address.
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
    /// The address, as given in the spec.
    pub address: String,
    /// The priority of the endpoint.
    pub tier: Tier,
    /// The zone, or `None` if the spec has none.
    pub zone: Option<String>,
    /// The weight that counts: that of the spec, multiplied by
    /// [`Pool::set_weight_percent`](crate::Pool::set_weight_percent).
    pub weight: u32,
    /// Which requests the endpoint accepts.
    pub availability: Availability,
    /// The number of leases that have not ended.
    pub in_flight: u32,
    /// The maximum number of leases: that of [`Pool::set_max_in_flight`](crate::Pool::set_max_in_flight), otherwise
    /// that of the spec. `None`: no limit.
    pub max_in_flight: Option<u32>,
    /// How many requests it has had since it joined, by their ends.
    pub requests: RequestCounts,
    /// How long it took to the first byte of its responses, since it joined. `None` if the pool keeps no
    /// [histograms](crate::PoolBuilder::latency_histograms), and in explanations.
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
