//! The limits of memory and time that a scenario must not exceed.

/// Maximum number of servers. This limit, `MAX_CLIENTS` and `MAX_PAIRS` keep a run below 5 GiB: a client takes about 2
/// KiB, and another 0.5 KiB for each server.
pub(super) const MAX_SERVERS: usize = 1_000_000;
pub(super) const MAX_CLIENTS: usize = 1_000_000;
pub(super) const MAX_PAIRS: usize = 5_000_000;
/// Maximum number of clients times servers with a health policy, which takes another 1.2 KiB for each client and
/// server.
pub(super) const MAX_MONITORED_PAIRS: usize = 1_000_000;

/// Estimated memory in bytes that a client takes for the table of a hashing strategy: this constant, plus
/// `TABLE_BYTES_PER_SERVER` for each server. The constant is the size of Maglev's default table, the second part is for
/// the table of `ring`, which grows with the number of servers.
pub(super) const TABLE_BYTES: usize = 300 << 10;
pub(super) const TABLE_BYTES_PER_SERVER: usize = 3 << 9;
pub(super) const MAX_TABLE_BYTES: usize = 4 << 30;

/// Maximum number of requests, and of repetitions of each kind of repeated event. A run with more would take hours.
pub(super) const MAX_EVENTS: f64 = 1e9;

/// Maximum number of samples times servers in [`Report::series`](crate::Report::series): they take 240 MiB.
pub(super) const MAX_SAMPLES: u128 = 20_000_000;
