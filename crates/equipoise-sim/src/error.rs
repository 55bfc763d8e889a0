use std::time::Duration;

use equipoise_core::{PickError, UpdateError};

use crate::scenario::InvalidScenario;

/// Why a run gave no report.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The scenario is impossible.
    #[error(transparent)]
    Scenario(#[from] InvalidScenario),
    /// The strategy cannot serve these servers.
    #[error("strategy {label}: client {client} cannot use it: {source}")]
    Unusable {
        /// The strategy.
        label: String,
        /// Whose pool.
        client: usize,
        /// What the pool says.
        source: UpdateError,
    },
    /// The strategy panicked, or picked nobody or a wrong one although somebody could be picked.
    #[error("strategy {label}: client {client} could not pick after {after:?}: {source}")]
    Misbehaved {
        /// The strategy.
        label: String,
        /// Whose pool.
        client: usize,
        /// When, from the start of the run.
        after: Duration,
        /// What the pool says.
        source: PickError,
    },
    /// Making the strategy panicked.
    #[error("strategy {label}: making it for client {client} panicked")]
    Panicked {
        /// The strategy.
        label: String,
        /// For whom.
        client: usize,
    },
    /// The strategy panicked while it was told something.
    #[error("strategy {label}: a hook of it panicked after {after:?}")]
    HookPanicked {
        /// The strategy.
        label: String,
        /// When, from the start of the run.
        after: Duration,
    },
    /// Requests pile up.
    #[error(
        "strategy {label}: {open} attempts were open after {after:?}: the load is more than the servers can do; lower it, set a timeout, or raise most_open"
    )]
    PiledUp {
        /// The strategy.
        label: String,
        /// How many.
        open: usize,
        /// When, from the start of the run.
        after: Duration,
    },
}
