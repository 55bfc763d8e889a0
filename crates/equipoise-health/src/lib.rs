#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod agent;
#[cfg(feature = "tokio")]
mod driver;
mod machine;
pub mod probe;
mod signals;
mod watched;
mod settings;

#[cfg(feature = "tokio")]
pub use crate::driver::{Guard, Health, HealthBuilder};
pub use crate::{
    watched::{Watched, WatchedState},
    machine::{Action, Change, Counts, Event, Machine, Opinion, Order, ProbeId, Signal, Source, Standing, Trip},
    settings::{
        CheckPolicy, FailurePercentage, Growth, InvalidHealth, LatencyOutlier, Outliers, Policy, Schedule, Start,
        SuccessRate, UnknownPreset,
    },
};
