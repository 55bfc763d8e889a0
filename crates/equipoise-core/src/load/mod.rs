//! The load of each endpoint: its leases in flight, the counts of its requests, and a histogram of its latencies. The
//! counts are kept per stripe (a group of threads), so that threads do not contend.

mod handle;
mod latency;
mod traffic;

pub(crate) use self::{
    handle::{Handle, Load, default_stripes, thread_number},
    traffic::Ended,
};

pub use self::{latency::LatencyHistogram, traffic::RequestCounts};
