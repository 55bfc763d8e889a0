#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod agent;
#[cfg(feature = "tokio")]
mod driver;
#[cfg(feature = "serde")]
mod format;
pub mod machine;
pub mod probe;
mod requests;
mod settings;

#[cfg(feature = "tokio")]
pub use crate::driver::{AvailabilityChanges, DrainOutcome, Health, HealthBuilder, HealthGuard};
pub use crate::{
    machine::{
        AdminState, AvailabilityChange, ChangeCount, CheckStatus, Condition, HealthStats, HealthStatus, ProbeCounts,
        Source,
    },
    requests::{CollectingState, CollectingStrategy, ResultCollector},
    settings::{
        CheckPolicy, EjectionGrowth, FailurePercentage, HealthPolicy, InitialState, InvalidHealth, LatencyOutlier,
        OnFailureLimit, Outliers, Schedule, SuccessRate, UnknownPreset,
    },
};
