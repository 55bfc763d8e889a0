//! The load of each endpoint: its leases in flight, the counts of its requests, and a histogram of its latencies. The
//! counts are kept per stripe (a group of threads), so that threads do not contend.

mod counts;
mod handle;
mod latency;

pub(crate) use self::handle::{Ended, Handle, Load, default_stripes, thread_number};

pub use self::{counts::RequestCounts, latency::LatencyHistogram};
