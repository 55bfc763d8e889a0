use equipoise_core::{Availability, EndpointId};

use super::{AvailabilityChange, ProbeId};

/// An output of a [`Machine`](super::Machine), which its driver must carry out. See
/// [`Machine::poll_action`](super::Machine::poll_action).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Start a probe, and report its result as [`Event::Probed`](super::Event::Probed). The machine enforces the timeout.
    Probe {
        /// The id of the probe. [`ProbeId::check`] tells which check it belongs to.
        probe: ProbeId,
        /// The endpoint to probe.
        id: EndpointId,
        /// The port to probe. `None` means the endpoint's own.
        port: Option<u16>,
    },
    /// Drop a probe that exceeded its timeout or whose endpoint has left. Its result would be ignored.
    CancelProbe(ProbeId),
    /// Set the availability of an endpoint. A second [`Probation`](Availability::Probation) in a row must be set as well: it
    /// admits another request.
    SetAvailability {
        /// The endpoint.
        id: EndpointId,
        /// The new availability.
        availability: Availability,
    },
    /// Set the weight of an endpoint, as its agent reports it.
    SetWeightPercent {
        /// The endpoint.
        id: EndpointId,
        /// The weight in percent of the configured weight, from 0 to 25 600.
        percent: u32,
    },
    /// Set the maximum number of requests in flight of an endpoint, as its agent reports it.
    SetMaxInFlight {
        /// The endpoint.
        id: EndpointId,
        /// The maximum. `None` means no limit.
        max_in_flight: Option<u32>,
    },
    /// Report the results of all requests since the last report as [`Event::Counted`](super::Event::Counted).
    CollectCounts,
    /// Report a change of availability to listeners.
    Notify(AvailabilityChange),
}
