use super::Revision;
use super::snapshot::Snapshot;
use crate::endpoint::{Availability, EndpointId, Slot, Tier};

/// An endpoint as it is at a moment: see [`Pool::endpoints`](crate::Pool::endpoints).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Its id.
    pub id: EndpointId,
    /// With which change it joined. Tells it from one that comes under its id later, also at the same address.
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
    /// Where it is reached.
    pub address: String,
    /// Its priority class.
    pub tier: Tier,
    /// Where it stands, if the spec said so.
    pub zone: Option<String>,
    /// Its weight, as it counts [for now](crate::Pool::set_weight_percent).
    pub weight: u32,
    /// Whom it takes.
    pub availability: Availability,
    /// How many leases are out.
    pub in_flight: u32,
    /// The most leases that may be out, if there is a limit [for now](crate::Pool::set_max_in_flight).
    pub max_in_flight: Option<u32>,
}

impl EndpointStatus {
    pub(crate) fn of(snapshot: &Snapshot, slot: Slot) -> Option<Self> {
        let member = snapshot.members().get(slot)?;
        Some(Self {
            id: member.endpoint.id().clone(),
            joined: member.endpoint.joined,
            address: member.endpoint.address().to_owned(),
            tier: member.spec.tier_value(),
            zone: member.spec.zone_name().map(ToString::to_string),
            weight: member.weight(),
            availability: snapshot.availability(slot),
            in_flight: snapshot.members().in_flight(slot),
            max_in_flight: member.max_in_flight(),
        })
    }
}
