use std::time::Duration;

use equipoise_core::{PickError, UpdateError};

use crate::scenario::InvalidScenario;

/// The reason why a run has returned no report.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A setting of the scenario is out of range, or the run would take too much memory or time. Nothing was simulated.
    #[error(transparent)]
    Scenario(#[from] InvalidScenario),
    /// The pool of a client refused one of these: its endpoints, a setting of an endpoint (such as a weight or a
    /// limit), or a change of an endpoint's availability.
    #[error("strategy {label}: the pool of client {client} refused a setting: {source}")]
    Unusable {
        /// Name of the strategy, from [`Contender::label`](crate::Contender::label).
        label: String,
        /// Index of the client whose pool refused the change, counted from 0.
        client: usize,
        /// The error that the pool returned.
        source: UpdateError,
    },
    /// The strategy of a client did one of the following in a pick: it panicked, it picked an invalid endpoint, or it
    /// picked none although an endpoint was available.
    #[error("strategy {label}: a pick of client {client} failed at simulated time {after:?}: {source}")]
    Misbehaved {
        /// Name of the strategy, from [`Contender::label`](crate::Contender::label).
        label: String,
        /// Index of the client whose strategy failed, counted from 0.
        client: usize,
        /// Simulated time of the failed pick, from the start of the run.
        after: Duration,
        /// The error that the pool returned for the pick.
        source: PickError,
    },
    /// [`Contender::strategy`](crate::Contender::strategy) panicked while it created the strategy of a client.
    #[error("strategy {label}: it panicked while it was created for client {client}")]
    Panicked {
        /// Name of the strategy, from [`Contender::label`](crate::Contender::label).
        label: String,
        /// Index of the client for which the strategy was to be created, counted from 0.
        client: usize,
    },
    /// A hook of the strategy panicked. Hooks are the methods that tell a strategy about requests, such as
    /// [`Strategy::on_outcome`](equipoise_core::Strategy::on_outcome).
    #[error("strategy {label}: a hook panicked at simulated time {after:?}")]
    HookPanicked {
        /// Name of the strategy, from [`Contender::label`](crate::Contender::label).
        label: String,
        /// Simulated time of the panic, from the start of the run.
        after: Duration,
    },
    /// More attempts were open at the same time than
    /// [`Scenario::max_open_attempts`](crate::Scenario::max_open_attempts) allows, usually because the servers get more
    /// requests than they can serve.
    #[error(
        "strategy {label}: {open} attempts were open at simulated time {after:?}, because the load exceeds the \
         capacity of the servers: use a lower load, a timeout, or a larger max_open_attempts"
    )]
    PiledUp {
        /// Name of the strategy, from [`Contender::label`](crate::Contender::label).
        label: String,
        /// Number of attempts that were open at that time.
        open: usize,
        /// Simulated time at which the limit was exceeded, from the start of the run.
        after: Duration,
    },
}
