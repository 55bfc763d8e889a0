//! The driver: runs the health state machine under tokio. It starts probes, reports events to the state machine, and
//! sets the availability of the pool's endpoints.

mod changes;
mod drain;
mod health;
mod run;
mod shared;

pub use self::{
    changes::AvailabilityChanges,
    drain::DrainOutcome,
    health::{Health, HealthBuilder, HealthGuard},
};
