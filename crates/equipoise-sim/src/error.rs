use std::time::Duration;

use equipoise_core::{PickError, UpdateError};

use crate::scenario::InvalidScenario;

/// The reason why a run returned no report.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The scenario is impossible.
    #[error(transparent)]
    Scenario(#[from] InvalidScenario),
    /// The pool of a client refused the servers or their settings under this strategy.
    #[error("strategy {label}: client {client} cannot use it: {source}")]
    Unusable {
        /// Name of the strategy.
        label: String,
        /// Index of the client.
        client: usize,
        /// The error of the pool.
        source: UpdateError,
    },
    /// The strategy panicked in a pick, picked an invalid endpoint, or picked none although one was available.
    #[error("strategy {label}: client {client} could not pick after {after:?}: {source}")]
    Misbehaved {
        /// Name of the strategy.
        label: String,
        /// Index of the client.
        client: usize,
        /// Time of the pick, from the start of the run.
        after: Duration,
        /// The error of the pool.
        source: PickError,
    },
    /// [`Contender::strategy`](crate::Contender::strategy) panicked.
    #[error("strategy {label}: making it for client {client} panicked")]
    Panicked {
        /// Name of the strategy.
        label: String,
        /// Index of the client.
        client: usize,
    },
    /// A hook of the strategy panicked.
    #[error("strategy {label}: a hook of it panicked after {after:?}")]
    HookPanicked {
        /// Name of the strategy.
        label: String,
        /// Time of the panic, from the start of the run.
        after: Duration,
    },
    /// More attempts were open than [`Scenario::max_open_attempts`](crate::Scenario::max_open_attempts) allows.
    #[error(
        "strategy {label}: {open} attempts were open after {after:?}: the load is more than the servers can do; lower it, set a timeout, or raise max_open_attempts"
    )]
    PiledUp {
        /// Name of the strategy.
        label: String,
        /// Number of open attempts.
        open: usize,
        /// Time, from the start of the run.
        after: Duration,
    },
}
