//! Settings: plain values that are validated when a [machine](crate::machine::Machine) is built.

#[cfg(feature = "serde")]
mod config;
mod error;
mod outliers;
mod policy;
mod rules;
mod schedule;

pub use self::{
    error::{InvalidHealth, UnknownPreset},
    outliers::Outliers,
    policy::{CheckPolicy, HealthPolicy},
    rules::{EjectionGrowth, FailurePercentage, LatencyOutlier, OnFailureLimit, SuccessRate},
    schedule::{InitialState, Schedule},
};
