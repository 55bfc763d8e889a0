#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod agent;
#[cfg(feature = "tokio")]
mod driver;
mod machine;
pub mod probe;
mod settings;
mod signals;
#[cfg(feature = "serde")]
mod text;
mod watched;

pub(crate) use equipoise_core::__private::saturating_nanos;

#[cfg(feature = "tokio")]
pub use crate::driver::{Drained, Guard, Health, HealthBuilder};
pub use crate::{
    machine::{Action, Change, Counts, Event, Looks, Machine, Opinion, Order, ProbeId, Signal, Source, Standing, Trip},
    settings::{
        CheckPolicy, FailurePercentage, Growth, InvalidHealth, LatencyOutlier, OnTrip, Outliers, Policy, Schedule,
        Start, SuccessRate, UnknownPreset,
    },
    signals::Signals,
    watched::{Watched, WatchedState},
};
