//! Load signals: how many leases each endpoint has out, counted per thread.

mod handle;
mod latency;
mod traffic;

pub(crate) use self::{
    handle::{Handle, default_stripes, thread_number},
    traffic::Ended,
};

pub use self::{latency::LatencyHistogram, traffic::RequestCounts};
