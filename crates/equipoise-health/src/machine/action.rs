use equipoise_core::{Availability, EndpointId};

use super::{AvailabilityChange, ProbeId};

/// A task from a [`Machine`](super::Machine), which the driver (the code that runs the machine) must carry out.
/// [`Machine::poll_action`](super::Machine::poll_action) returns it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// The driver must start a probe of an endpoint, and report the result of the probe as
    /// [`Event::Probed`](super::Event::Probed). If the probe exceeds its timeout, the machine returns
    /// [`CancelProbe`](Self::CancelProbe).
    Probe {
        /// The id of the probe. [`ProbeId::check`] returns which check the probe belongs to.
        probe: ProbeId,
        /// The id of the endpoint to probe.
        id: EndpointId,
        /// The port to which the probe connects. `None` means the port of the endpoint's address.
        port: Option<u16>,
    },
    /// The driver must drop the probe with this id. The probe has exceeded its timeout, or its endpoint has left the
    /// pool. The machine ignores a later result of this probe.
    CancelProbe(ProbeId),
    /// The driver must set the availability of an endpoint in the pool. Carry out each `SetAvailability` action, even
    /// if the endpoint already has this availability. On [`Probation`](Availability::Probation), an endpoint gets a
    /// single request; setting `Probation` again lets the endpoint get another request.
    SetAvailability {
        /// The id of the endpoint.
        id: EndpointId,
        /// The new availability of the endpoint.
        availability: Availability,
    },
    /// The driver must set the weight of an endpoint in the pool to the value that the endpoint's agent has reported.
    SetWeightPercent {
        /// The id of the endpoint.
        id: EndpointId,
        /// The new weight of the endpoint in percent of its configured weight. Range: 0 to 25 600.
        percent: u32,
    },
    /// The driver must set the maximum number of requests in flight of an endpoint in the pool to the value that the
    /// endpoint's agent has reported.
    SetMaxInFlight {
        /// The id of the endpoint.
        id: EndpointId,
        /// The new maximum number of requests in flight of the endpoint. `None` means that there is no maximum.
        max_in_flight: Option<u32>,
    },
    /// The driver must collect the results of all endpoints' requests since the last `CollectCounts`, and report them
    /// as [`Event::Counted`](super::Event::Counted).
    CollectCounts,
    /// The driver must report this change of an endpoint's availability to listeners, such as logs. Before that, the
    /// driver must apply the change to the pool.
    Notify(AvailabilityChange),
}

impl Action {
    /// Returns the name of this kind of action in snake case, such as `set_availability`. The name never changes.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Probe { .. } => "probe",
            Self::CancelProbe(_) => "cancel_probe",
            Self::SetAvailability { .. } => "set_availability",
            Self::SetWeightPercent { .. } => "set_weight_percent",
            Self::SetMaxInFlight { .. } => "set_max_in_flight",
            Self::CollectCounts => "collect_counts",
            Self::Notify(_) => "notify",
        }
    }
}
