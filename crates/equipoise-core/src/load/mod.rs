//! The load of endpoints: leases in flight, counted per stripe of threads, and requests by outcome.

mod handle;
mod latency;
mod traffic;

pub(crate) use self::{
    handle::{Handle, default_stripes, thread_number},
    traffic::Ended,
};

pub use self::{latency::LatencyHistogram, traffic::RequestCounts};
