//! The settings of health checks and outlier detection. They are plain values, which are validated when a health
//! state machine ([`Machine`](crate::machine::Machine)) is created with them.

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
