use std::time::Duration;

use equipoise_health::InvalidHealth;

/// Why a scenario cannot be run. Names the setting and what would be right.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidScenario {
    /// Nobody to send to.
    #[error("the scenario has no servers: give it at least one")]
    NoServers,
    /// Nobody who sends.
    #[error("the scenario has no clients: give it at least one")]
    NoClients,
    /// More than memory holds.
    #[error("more than {most} servers are too many")]
    TooManyServers {
        /// The most there can be.
        most: usize,
    },
    /// More than memory holds.
    #[error(
        "{clients} clients are too many for a strategy that places by key, since each has a table of its own: at most {most} with these servers"
    )]
    TooManyTables {
        /// How many clients.
        clients: usize,
        /// The most there can be.
        most: usize,
    },
    /// More than memory holds.
    #[error("{clients} clients are too many: at most {most}")]
    TooManyClients {
        /// How many clients.
        clients: usize,
        /// The most there can be.
        most: usize,
    },
    /// More than memory holds.
    #[error(
        "{clients} clients times {servers} servers are too many, since each client has a memory of each server: at most {most} in all"
    )]
    TooLarge {
        /// How many clients.
        clients: usize,
        /// How many servers.
        servers: usize,
        /// The largest product.
        most: usize,
    },
    /// A server that cannot work.
    #[error("server {at}: {what}")]
    Server {
        /// Its number.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A load that is none.
    #[error("load {load} is impossible: use a finite number above 0 (1.0 is all that the servers can do)")]
    Load {
        /// The load as given.
        load: f64,
    },
    /// A load of servers without a capacity.
    #[error("servers that only delay have no capacity to load: set a rate instead of a load")]
    NoCapacity,
    /// A rate that is none.
    #[error("rate {rate} is impossible: use from 1e-6 to 1e9 requests a second")]
    Rate {
        /// Requests a second.
        rate: f64,
    },
    /// Work that cannot be drawn.
    #[error("work: {what}")]
    Work {
        /// What is wrong.
        what: &'static str,
    },
    /// Bursts that are none.
    #[error(
        "bursts of factor {factor} and length {burst:?} are impossible: the factor is to be above 1 and at most a million, the length above 0"
    )]
    Bursts {
        /// The factor as given.
        factor: f64,
        /// The length as given.
        burst: Duration,
    },
    /// Bursts that nobody would notice.
    #[error(
        "bursts of {burst:?} are too short for requests as rare as here: let them last {least:?} or more, raise the rate, or use Poisson arrivals, which come to the same"
    )]
    ShortBursts {
        /// The length as given.
        burst: Duration,
        /// The shortest with which one burst in a hundred brings a request.
        least: Duration,
    },
    /// Keys that cannot be drawn.
    #[error("{count} keys with exponent {exponent} are impossible: use 1 to {most} keys and an exponent from 0 to 100")]
    Keys {
        /// How many keys.
        count: u32,
        /// The exponent.
        exponent: f64,
        /// The most keys there can be.
        most: u32,
    },
    /// Antagonists that cannot be.
    #[error("antagonists with probability {probability}: it is to be from 0 to 1, and the time between draws above 0")]
    Antagonists {
        /// The probability as given.
        probability: f64,
    },
    /// A fault that cannot be.
    #[error("fault of server {server}: {what}")]
    Fault {
        /// Which server it was for.
        server: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A health policy that cannot be gone by.
    #[error("health: {0}")]
    Health(#[from] InvalidHealth),
    /// A time, or a number, that a run cannot have.
    #[error("{setting} is impossible: {what}")]
    Time {
        /// The setting.
        setting: &'static str,
        /// What would be right.
        what: &'static str,
    },
}
