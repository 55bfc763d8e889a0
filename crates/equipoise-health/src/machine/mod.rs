//! The health state machine: it decides which availability each endpoint of one pool has. It has no I/O, no clock and
//! no threads.
//!
//! [`Health`](crate::Health) runs it under tokio. Use this module directly to run health checks under another runtime.
//! The code around a [`Machine`] is called the driver: it reports each [`Event`] together with the time, and carries
//! out each [`Action`] that the `Machine` returns. [`ResultCollector`](crate::ResultCollector) collects the results of
//! requests for the driver.
//!
//! ```
//! use equipoise_core::{Availability, EndpointId, Timestamp};
//! use equipoise_health::{CheckPolicy, HealthPolicy, Schedule};
//! use equipoise_health::{machine::{Action, Event, Machine}, probe::ProbeError};
//!
//! let policy = HealthPolicy::new().check(CheckPolicy::new("tcp", Schedule::new()));
//! let mut machine = Machine::new(policy, 1)?;
//! machine.handle(Timestamp::from_nanos(1), Event::Joined(EndpointId::from("a:80")));
//! let now = machine.poll_timeout().expect("the first probe is scheduled");
//! machine.handle_timeout(now);
//! while let Some(action) = machine.poll_action() {
//!     if let Action::Probe { probe, .. } = action {
//!         machine.handle(now, Event::Probed { probe, result: Err(ProbeError::Timeout) });
//!     }
//! }
//! let status = machine.status("a:80").expect("it has joined");
//! assert_eq!(status.availability, Availability::Unhealthy);
//! # Ok::<(), equipoise_health::InvalidHealth>(())
//! ```

mod action;
mod check;
mod checking;
mod due;
mod ejecting;
mod event;
mod outliers;
mod pending;
mod record;
mod state;
mod stats;
mod status;
mod timers;

pub use self::{
    action::Action,
    event::{AdminState, Event, FailureLimit, IntervalCounts, ProbeId, Signal},
    state::Machine,
    stats::{ChangeCount, HealthStats, ProbeCounts},
    status::{AvailabilityChange, CheckStatus, Condition, HealthStatus, Source},
};
