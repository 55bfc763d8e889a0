use std::time::Duration;

use equipoise_health::InvalidHealth;

/// The reason why a scenario cannot be run. The message names the setting and its valid range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidScenario {
    /// The scenario has no servers.
    #[error("the scenario has no servers: give it at least one")]
    NoServers,
    /// The scenario has no clients.
    #[error("the scenario has no clients: give it at least one")]
    NoClients,
    /// The scenario has more servers than memory can hold.
    #[error("more than {max} servers are too many")]
    TooManyServers {
        /// The maximum.
        max: usize,
    },
    /// The scenario has more clients than memory can hold, because each has a hash table of its own.
    #[error(
        "{clients} clients are too many for a strategy that places by key, since each has a table of its own: at most {max} with these servers"
    )]
    TooManyTables {
        /// Number of clients.
        clients: usize,
        /// The maximum.
        max: usize,
    },
    /// The scenario has more clients than memory can hold.
    #[error("{clients} clients are too many: at most {max}")]
    TooManyClients {
        /// Number of clients.
        clients: usize,
        /// The maximum.
        max: usize,
    },
    /// The scenario has more pairs of a client and a server than memory can hold.
    #[error(
        "{clients} clients times {servers} servers are too many, since each client keeps state for each server: at most {max} in all"
    )]
    TooLarge {
        /// Number of clients.
        clients: usize,
        /// Number of servers.
        servers: usize,
        /// The maximum of the product.
        max: usize,
    },
    /// A setting of a server is out of range.
    #[error("server {at}: {what}")]
    Server {
        /// Index of the server.
        at: usize,
        /// What is wrong, and what would be right.
        what: &'static str,
    },
    /// The load is not a finite number above 0.
    #[error("load {load} is impossible: use a finite number above 0 (1.0 is all that the servers can do)")]
    Load {
        /// The given load.
        load: f64,
    },
    /// A load was set for servers that have no capacity ([`Server::delay`](crate::Server::delay)).
    #[error("servers that only delay have no capacity to load: set a rate instead of a load")]
    NoCapacity,
    /// The rate of requests, set or computed from the load, is out of range.
    #[error("rate {rate} is impossible: use from 1e-6 to 1e9 requests a second")]
    Rate {
        /// The rate in requests per second.
        rate: f64,
    },
    /// The distribution of work has an invalid parameter.
    #[error("work: {what}")]
    Work {
        /// What is wrong, and what would be right.
        what: &'static str,
    },
    /// The trace has no requests, or they are not in the order of time.
    #[error("trace: {what}")]
    Trace {
        /// What is wrong.
        what: &'static str,
    },
    /// A share of the requests is out of range.
    #[error("{setting}: a share of {share} is impossible: use from 0 to 1")]
    Share {
        /// Name of the setting.
        setting: &'static str,
        /// The given share.
        share: f64,
    },
    /// The factor or the length of bursts is out of range.
    #[error(
        "bursts of factor {factor} and length {burst:?} are impossible: use a factor above 1 and at most a million, and a length above 0"
    )]
    Bursts {
        /// The given factor.
        factor: f64,
        /// The given mean length.
        burst: Duration,
    },
    /// Bursts are so short that nearly all of them contain no request.
    #[error(
        "bursts of {burst:?} are too short for requests as rare as here: let them last {min:?} or more, raise the rate, or use Poisson arrivals, which come to the same"
    )]
    ShortBursts {
        /// The given mean length.
        burst: Duration,
        /// The minimum length: one burst in a hundred contains a request.
        min: Duration,
    },
    /// The number of keys or the exponent is out of range.
    #[error("{count} keys with exponent {exponent} are impossible: use 1 to {max} keys and an exponent from 0 to 100")]
    Keys {
        /// The given number of keys.
        count: u32,
        /// The given exponent.
        exponent: f64,
        /// The maximum number of keys.
        max: u32,
    },
    /// The probability or the hold time of antagonists is out of range.
    #[error("antagonists with probability {probability}: use a probability from 0 to 1, and a hold time above 0")]
    Antagonists {
        /// The given probability.
        probability: f64,
    },
    /// A fault has an invalid server or an invalid setting.
    #[error("fault of server {server}: {what}")]
    Fault {
        /// Index of the server.
        server: usize,
        /// What is wrong, and what would be right.
        what: &'static str,
    },
    /// The health policy is invalid.
    #[error("health: {0}")]
    Health(#[from] InvalidHealth),
    /// A setting of the run is out of range.
    #[error("{setting} is impossible: {what}")]
    Time {
        /// Name of the setting.
        setting: &'static str,
        /// The valid range.
        what: &'static str,
    },
}
