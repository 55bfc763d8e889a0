//! The state machine behind [`Health`](crate::Health): it decides on the health of one pool's endpoints, without I/O, clock
//! or threads.
//!
//! Use it directly to run health checks without tokio. [`Machine`] takes an [`Event`] and the time, and returns an
//! [`Action`] for the driver to carry out. [`Signals`](crate::Signals) collects the results of requests for it.
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
mod status;
mod timers;

pub use self::{
    action::Action,
    event::{AdminState, Event, FailureLimit, ProbeId, RequestCounts, Signal},
    state::Machine,
    status::{AvailabilityChange, CheckStatus, Condition, HealthStatus, Source},
};
