use std::{any::TypeId, collections::HashSet, fmt, sync::Arc};

use super::address::{self, InvalidAddress};
use crate::{
    ids::{EndpointId, Tier},
    sync::Mutex,
};

/// The maximum weight of an endpoint: 1 000 000. A share of less than one request in a million has no effect in
/// practice.
pub const MAX_WEIGHT: u32 = 1_000_000;

/// The settings of one endpoint, for [`Pool::update`](crate::Pool::update) and [`Pool::add`](crate::Pool::add). These
/// methods of the pool validate the settings.
///
/// With the feature `serde`, a spec is deserialized from its address (`"10.0.0.7:8080"`) or from a table with the
/// fields `address`, `id`, `weight`, `tier`, `max_in_flight` and `zone`. Only `address` is required, and unknown fields
/// are an error. A spec is serialized as such a table.
///
/// ```
/// use equipoise_core::{EndpointSpec, Tier};
///
/// let spec = EndpointSpec::new("10.0.0.7:8080").with_id("web-7").weight(3).tier(Tier::BACKUP).max_in_flight(100);
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
    /// Creates the spec of an endpoint at `address`. By default, its id is the address, its weight is 1, its tier
    /// (priority group) is [`Tier::PRIMARY`], and it has no zone and no maximum number of requests in flight.
    ///
    /// The address is `host:port`, a URL, the path of a socket, or any other text from which the application can
    /// reach the endpoint, such as `shard-7`. The pool does not connect to the address. A pool refuses only addresses that no transport
    /// can use:
    ///
    /// - an empty address;
    /// - an address with control characters;
    /// - an address with white space (permitted in paths, which begin with `/`, `.` or `unix:`);
    /// - a text that contains `://` and has an invalid scheme, host or port;
    /// - a text that looks like `host:port` and has an invalid host or port, such as `a:99999` or `:80`.
    ///
    /// A host without a port is accepted. If clients need a port, check for it with
    /// [`PoolBuilder::addresses`](crate::PoolBuilder::addresses).
    pub fn new(address: impl AsRef<str>) -> Self {
        let id = EndpointId::from(address.as_ref());
        let address = Arc::clone(id.shared());
        Self { id, address, weight: 1, tier: Tier::PRIMARY, max_in_flight: None, zone: None }
    }

    /// Sets the id of the endpoint. Default: the address. Several endpoints can have the same address if their ids
    /// differ.
    pub fn with_id(mut self, id: impl Into<EndpointId>) -> Self {
        self.id = id.into();
        self
    }

    /// Sets the weight of the endpoint: its share of the requests, relative to the other endpoints of its tier
    /// (priority group). Range: 0 to [`MAX_WEIGHT`]; a pool rejects other values with [`InvalidSpec::Weight`].
    /// Default: 1. An endpoint of weight 0 gets only requests that are [bound](crate::PickRequest::bound) to it or
    /// [prefer](crate::PickRequest::prefer) it.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the tier (priority group) of the endpoint. Default: [`Tier::PRIMARY`].
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// Sets the maximum number of requests in flight (concurrent leases) on the endpoint. Range: 1 and above; a pool
    /// rejects 0 with [`InvalidSpec::Limit`]. Default: no maximum.
    ///
    /// The maximum is never exceeded, with one exception: if an update gives a maximum to an endpoint that had none,
    /// the leases that already exist are not counted.
    pub fn max_in_flight(mut self, max_in_flight: u32) -> Self {
        self.max_in_flight = Some(max_in_flight);
        self
    }

    /// Sets the zone of the endpoint, such as the name of its availability zone or rack. Strategies such as
    /// [`ZoneAware`](crate::ZoneAware) prefer endpoints in the client's zone. Default: no zone. An empty name also
    /// means no zone.
    pub fn zone(mut self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        self.zone = (!name.is_empty()).then(|| Arc::from(name));
        self
    }

    /// Returns the id of the endpoint.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// Returns the address of the endpoint.
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

/// Why the spec of an endpoint, or a set of specs, is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSpec {
    /// The id of an endpoint is empty, has more than 255 bytes, or contains a control character.
    #[error("endpoint id {id:?} is not usable: an id has 1 to 255 bytes and no control characters")]
    Id {
        /// The invalid id.
        id: EndpointId,
    },
    /// The address of an endpoint is invalid: no transport can use the address, or the function set by
    /// [`PoolBuilder::addresses`](crate::PoolBuilder::addresses) refuses the address.
    #[error("endpoint {id:?} cannot be reached")]
    Address {
        /// The id of the endpoint with the invalid address.
        id: EndpointId,
        /// The invalid address, and why it is invalid.
        source: InvalidAddress,
    },
    /// Two specs of endpoints have the same id.
    #[error(
        "endpoint id {id:?} occurs twice: ids are unique in a pool (give endpoints that share an address ids of their own)"
    )]
    DuplicateId {
        /// The id that two specs have.
        id: EndpointId,
    },
    /// The weight of an endpoint is above [`MAX_WEIGHT`].
    #[error("endpoint {id:?} has weight {weight}: weights go from 0 to {MAX_WEIGHT}, and only their ratio counts")]
    Weight {
        /// The id of the endpoint with the invalid weight.
        id: EndpointId,
        /// The invalid weight.
        weight: u32,
    },
    /// The `max_in_flight` of an endpoint is 0.
    #[error(
        "endpoint {id:?} has a limit of 0, which would never admit a request: use at least 1, or drain the endpoint"
    )]
    Limit {
        /// The id of the endpoint with the invalid limit.
        id: EndpointId,
    },
    /// All endpoints in the set of specs have weight 0, so that no strategy could pick an endpoint.
    #[error(
        "all {count} endpoints have weight 0, so none could take work: give at least one a weight of 1 or more, or set them to draining or maintenance"
    )]
    NoWeight {
        /// The number of endpoints in the set of specs.
        count: usize,
    },
}

/// Checks a complete set of specs.
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

type AddressCheck = Arc<dyn Fn(&str) -> Result<(), InvalidAddress> + Send + Sync>;

/// The functions with which users of the pool check the addresses of endpoints. There is at most one check of each Rust
/// type. A check that is added again, for example whenever a client is created, is therefore kept once.
pub(crate) struct AddressChecks(Mutex<Vec<(TypeId, AddressCheck)>>);

impl AddressChecks {
    pub(crate) fn add<C: Fn(&str) -> Result<(), InvalidAddress> + Send + Sync + 'static>(&self, check: C) {
        let mut checks = self.0.lock();
        if checks.iter().all(|(kind, _)| *kind != TypeId::of::<C>()) {
            checks.push((TypeId::of::<C>(), Arc::new(check)));
        }
    }

    pub(crate) fn check<'a>(&self, mut specs: impl Iterator<Item = &'a EndpointSpec>) -> Result<(), InvalidSpec> {
        // Copied, because checks are user code and must not run under the lock.
        let checks = self.0.lock().clone();
        let of = |spec: &EndpointSpec| checks.iter().try_for_each(|(_, check)| check(spec.address()));
        specs.try_for_each(|spec| of(spec).map_err(|source| InvalidSpec::Address { id: spec.id().clone(), source }))
    }
}

impl Default for AddressChecks {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl fmt::Debug for AddressChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AddressChecks").field(&self.0.lock().len()).finish()
    }
}
