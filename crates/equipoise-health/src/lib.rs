#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod agent;
mod machine;
pub mod probe;
mod settings;

pub use crate::{
    machine::{Action, Change, Counts, Event, Machine, Opinion, Order, ProbeId, Signal, Source, Standing, Trip},
    settings::{
        CheckPolicy, FailurePercentage, Growth, InvalidHealth, LatencyOutlier, Outliers, Policy, Schedule, Start,
        SuccessRate, UnknownPreset,
    },
};
