//! The driver: runs a machine under tokio.

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
