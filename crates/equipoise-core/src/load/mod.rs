//! The load of each endpoint: its leases in flight, the counts of its requests, and a histograms of its latencies.
//! The counts are kept per stripe (a group of threads), so that threads do not contend.

mod buckets;
mod counts;
mod handle;
mod latency;

pub(crate) use self::handle::{Ended, Handle, Load, StripeReader, default_stripes, read_histograms, thread_number};

pub use self::{counts::RequestCounts, latency::LatencyHistogram};
