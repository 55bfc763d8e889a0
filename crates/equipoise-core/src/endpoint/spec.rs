use std::{collections::HashSet, sync::Arc};

use super::{EndpointId, InvalidAddress, Tier, address};

/// The largest weight a spec may have: finer shares than one in a million mean nothing in practice.
pub const MAX_WEIGHT: u32 = 1_000_000;

/// What an endpoint should be: the unit of [`Pool::update`](crate::Pool::update).
///
/// Settings are checked where they take effect, when a pool is given the spec.
///
/// With the feature `serde` a spec is read from its address alone (`"10.0.0.7:8080"`) or from a table with the fields
/// `address`, `id`, `weight`, `tier`, `max_in_flight` and `zone`, of which only `address` is required; unknown fields are
/// refused. It is written as a table.
///
/// ```
/// use equipoise_core::{EndpointSpec, Tier};
///
/// let spec = EndpointSpec::new("10.0.0.7:8080").named("web-7").weight(3).tier(Tier::BACKUP).max_in_flight(100);
/// assert_eq!(spec.id().as_str(), "web-7");
/// assert_eq!(spec.address(), "10.0.0.7:8080");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    id: EndpointId,
    address: Arc<str>,
    weight: u32,
    tier: Tier,
    max_in_flight: Option<u32>,
    zone: Option<Arc<str>>,
}

impl EndpointSpec {
    /// An endpoint at `address` whose id is that address, of weight 1, in the primary tier, without a limit or a zone.
    ///
    /// The address is `host:port`, a URL, the path of a socket, or any other text if the endpoint's target knows what it
    /// means (`shard-7`); the core passes it on as it is. A pool refuses what no transport can use: an empty address,
    /// control characters, white space (except in paths, which begin with `/`, `.` or `unix:`), a text with `://` whose
    /// scheme, host or port is not one, and a text such as `a:99999` or `:80` whose port or host is not one. A name
    /// without a port is such an other text; clients that need a port demand it with
    /// [`PoolBuilder::addresses`](crate::PoolBuilder::addresses).
    pub fn new(address: impl AsRef<str>) -> Self {
        let id = EndpointId::from(address.as_ref());
        let address = Arc::clone(id.shared());
        Self { id, address, weight: 1, tier: Tier::PRIMARY, max_in_flight: None, zone: None }
    }

    /// Gives it an id of its own, so that several endpoints may share an address.
    pub fn with_id(mut self, id: impl Into<EndpointId>) -> Self {
        self.id = id.into();
        self
    }

    /// Its share of the work relative to the others of its tier, at most [`MAX_WEIGHT`]. Weight 0 means no new work:
    /// only requests that [prefer](crate::PickRequest::prefer) it get there.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Its priority class.
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// At most this many leases at a time, exactly; at least 1. Leases taken while there was no limit do not count.
    pub fn max_in_flight(mut self, max_in_flight: u32) -> Self {
        self.max_in_flight = Some(max_in_flight);
        self
    }

    /// Where it stands, for strategies that [prefer what is near](crate::ZoneAware): an availability zone, a rack, any
    /// name that clients know their own of. An empty name is none.
    pub fn zone(mut self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        self.zone = (!name.is_empty()).then(|| Arc::from(name));
        self
    }

    /// The id.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// The address.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn shared_address(&self) -> &Arc<str> {
        &self.address
    }

    pub(crate) fn weight_value(&self) -> u32 {
        self.weight
    }

    pub(crate) fn tier_value(&self) -> Tier {
        self.tier
    }

    pub(crate) fn zone_name(&self) -> Option<&Arc<str>> {
        self.zone.as_ref()
    }

    pub(crate) fn max_in_flight_value(&self) -> Option<u32> {
        self.max_in_flight
    }
}

/// Why a spec, or a set of them, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSpec {
    /// The id is empty, longer than 255 bytes or has a control character.
    #[error("endpoint id {id:?} is not usable: an id has 1 to 255 bytes and no control characters")]
    Id {
        /// The id as given.
        id: EndpointId,
    },
    /// The address is one that no transport can use, or not of the form that the pool
    /// [demands](crate::PoolBuilder::addresses).
    #[error("endpoint {id:?} cannot be reached")]
    Address {
        /// Whose address.
        id: EndpointId,
        /// What is wrong with it.
        source: InvalidAddress,
    },
    /// Two endpoints have the same id.
    #[error(
        "endpoint id {id:?} occurs twice: ids are unique in a pool (give endpoints that share an address ids of their own)"
    )]
    DuplicateId {
        /// The id that occurs twice.
        id: EndpointId,
    },
    /// The weight is above [`MAX_WEIGHT`].
    #[error("endpoint {id:?} has weight {weight}: weights go from 0 to {MAX_WEIGHT}, and only their ratio counts")]
    Weight {
        /// Whose weight.
        id: EndpointId,
        /// The weight as given.
        weight: u32,
    },
    /// A limit of zero.
    #[error(
        "endpoint {id:?} has a limit of 0, which would never admit a request: use at least 1, or drain the endpoint"
    )]
    Limit {
        /// Whose limit.
        id: EndpointId,
    },
    /// There are endpoints, but none may be given work.
    #[error(
        "all {count} endpoints have weight 0, so none could take work: give at least one a weight of 1 or more, or drain or close them"
    )]
    NoWeight {
        /// How many endpoints there are.
        count: usize,
    },
}

/// Checks a full desired state.
pub(crate) fn validate(specs: &[EndpointSpec]) -> Result<(), InvalidSpec> {
    let mut seen = HashSet::with_capacity(specs.len());
    for spec in specs {
        let id = || spec.id.clone();
        if spec.id.as_str().is_empty() || spec.id.as_str().len() > 255 || spec.id.as_str().chars().any(char::is_control)
        {
            return Err(InvalidSpec::Id { id: id() });
        }
        address::check(&spec.address).map_err(|source| InvalidSpec::Address { id: id(), source })?;
        if !seen.insert(spec.id.as_str()) {
            return Err(InvalidSpec::DuplicateId { id: id() });
        }
        if spec.weight > MAX_WEIGHT {
            return Err(InvalidSpec::Weight { id: id(), weight: spec.weight });
        }
        if spec.max_in_flight == Some(0) {
            return Err(InvalidSpec::Limit { id: id() });
        }
    }
    if !specs.is_empty() && specs.iter().all(|spec| spec.weight == 0) {
        return Err(InvalidSpec::NoWeight { count: specs.len() });
    }
    Ok(())
}
