use std::time::Duration;

use equipoise_health::InvalidHealth;

/// The reason why a scenario cannot be run. The error message names the setting and its valid range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidScenario {
    /// The scenario has no servers.
    #[error("the scenario has no servers: use at least 1")]
    NoServers,
    /// The number of clients is 0.
    #[error("the scenario has no clients: use at least 1")]
    NoClients,
    /// The scenario has more servers than the memory for a run can hold.
    #[error("more than {max} servers are too many: use at most {max}")]
    TooManyServers {
        /// The maximum number of servers.
        max: usize,
    },
    /// The scenario has more clients than the memory for a run can hold with this strategy. The strategy keeps a hash
    /// table for each client, and each table has entries for all servers.
    #[error(
        "{clients} clients are too many for a strategy that keeps a hash table for each client: use at most {max} with \
         these servers"
    )]
    TooManyTables {
        /// Number of clients of the scenario.
        clients: usize,
        /// The maximum number of clients with such a strategy and this number of servers.
        max: usize,
    },
    /// The scenario has more clients than the memory for a run can hold.
    #[error("{clients} clients are too many: use at most {max}")]
    TooManyClients {
        /// Number of clients of the scenario.
        clients: usize,
        /// The maximum number of clients.
        max: usize,
    },
    /// The number of clients times the number of servers is more than the memory for a run can hold, because each
    /// client keeps state for each server.
    #[error(
        "{clients} clients times {servers} servers are too many, because each client keeps state for each server: the \
         product can be at most {max}"
    )]
    TooLarge {
        /// Number of clients of the scenario.
        clients: usize,
        /// Number of servers of the scenario.
        servers: usize,
        /// The maximum of the product: clients times servers. 5 000 000, or 1 000 000 with a health policy.
        max: usize,
    },
    /// A setting of a server is out of range.
    #[error("server {at}: {what}")]
    Server {
        /// Index of the server, counted from 0.
        at: usize,
        /// The invalid setting of the server, and its valid range. A part of the error message.
        what: String,
    },
    /// The load set by [`Scenario::load`](crate::Scenario::load) is not a finite number above 0.
    #[error("load cannot be {load}: use a finite number above 0 (1.0 is the capacity of all servers)")]
    Load {
        /// The load that was set.
        load: f64,
    },
    /// The scenario has a load, but one of its servers has unlimited capacity
    /// ([`Server::delay`](crate::Server::delay)). No rate of requests can be computed from this load. Set
    /// [`Scenario::rate`](crate::Scenario::rate) instead.
    #[error("a load needs servers with a limited capacity, and delay servers have none: set a rate instead of a load")]
    NoCapacity,
    /// The rate of requests is outside the range from 10⁻⁶ to 10⁹ per second. It was set by
    /// [`Scenario::rate`](crate::Scenario::rate), or computed from the load, the capacity of the servers and the mean
    /// work of a request.
    #[error("rate cannot be {rate}: use from 1e-6 to 1e9 requests per second")]
    Rate {
        /// The rate of all clients together, in requests per second.
        rate: f64,
    },
    /// A parameter of a distribution is out of range. The distribution is that of the work of requests, or that of the
    /// duration of [bodies](crate::Bodies).
    #[error("work: {what}")]
    Work {
        /// The invalid parameter of the distribution, and its valid range. A part of the error message.
        what: String,
    },
    /// The [trace](crate::Trace) has no requests, or its requests are not in the order of their arrival times.
    #[error("trace: {what}")]
    Trace {
        /// What is wrong with the trace. A part of the error message.
        what: &'static str,
    },
    /// A share of the requests or responses is out of range. It must be from 0 to 1.
    #[error("the share of {setting} cannot be {share}: use from 0 to 1")]
    Share {
        /// Name of the setting that contains the share: `bodies` or `impatience`.
        setting: &'static str,
        /// The share that was set.
        share: f64,
    },
    /// A parameter of [`Arrivals::Bursts`](crate::Arrivals::Bursts) is out of range. The factor must be above 1 and at
    /// most 10⁶. The length of a burst must be above 0.
    #[error(
        "bursts cannot have factor {factor} and length {burst:?}: use a factor above 1 and at most 1e6, and a length \
         above 0"
    )]
    Bursts {
        /// The factor that was set; it must be above 1 and at most 10⁶.
        factor: f64,
        /// The mean length of a burst that was set; it must be above 0.
        burst: Duration,
    },
    /// The bursts of [`Arrivals::Bursts`](crate::Arrivals::Bursts) are so short that fewer than one burst in a hundred
    /// contains a request.
    #[error(
        "bursts of {burst:?} are too short, because fewer than one in a hundred contains a request: use at least \
         {min:?}, a higher rate, or Arrivals::Poisson"
    )]
    ShortBursts {
        /// The mean length of a burst that was set.
        burst: Duration,
        /// The minimum of the mean length. Of bursts with this mean length, one in a hundred contains a request.
        min: Duration,
    },
    /// The number of [keys](crate::Keys) or the exponent of their distribution is out of range. The exponent must be
    /// from 0 to 100.
    #[error("{count} keys with exponent {exponent} are invalid: use 1 to {max} keys, and an exponent from 0 to 100")]
    Keys {
        /// The number of keys that was set.
        count: u32,
        /// The exponent that was set.
        exponent: f64,
        /// The maximum number of keys. The minimum is 1.
        max: u32,
    },
    /// The probability of [antagonists](crate::Antagonists) is outside the range from 0 to 1, or the mean time between
    /// two changes of the usable cores is 0.
    #[error(
        "antagonists cannot have probability {probability} and hold time {hold:?}: use a probability from 0 to 1, and \
         a hold time above 0"
    )]
    Antagonists {
        /// The probability that was set.
        probability: f64,
        /// The value that was set for the mean time between two changes of the number of usable cores.
        hold: Duration,
    },
    /// A [fault](crate::Fault) names a server that does not exist, or a setting of the fault is out of range.
    #[error("fault of server {server}: {what}")]
    Fault {
        /// Index of the server of the fault, counted from 0.
        server: usize,
        /// The invalid setting of the fault, and its valid values. A part of the error message.
        what: String,
    },
    /// The health policy set by [`Scenario::health`](crate::Scenario::health) is invalid.
    #[error("health: {0}")]
    Health(#[from] InvalidHealth),
    /// A setting of the run is out of range, or the run would take too much memory or time with this setting.
    #[error("{setting} cannot be {value}: {expected}")]
    Setting {
        /// Name of the setting, such as `lasting`, `timeout` or `retry_budget`.
        setting: &'static str,
        /// The value that was set.
        value: String,
        /// The valid range of the setting. A part of the error message.
        expected: &'static str,
    },
}
