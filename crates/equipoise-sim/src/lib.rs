#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod compare;
mod contender;
mod control;
mod engine;
mod error;
mod feed;
mod report;
mod run;
mod scenario;

/// The crate `equipoise-health`: the settings of health checks and outlier detection that [`Scenario::health`] takes.
#[doc(inline)]
pub use equipoise_health as health;

pub use crate::{
    compare::{Comparison, Spread},
    contender::{Contender, named},
    control::Control,
    error::RunError,
    feed::{Feed, ServerLoad},
    report::{Ends, HealthChange, HealthReport, InFlight, KeyMoves, Latency, Report, Sample, Series},
    scenario::{
        Antagonists, Arrivals, Bodies, Fault, Impatience, InvalidScenario, Keys, Network, Scenario, Server, Trace, Work,
    },
};
