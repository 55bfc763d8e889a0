//! The numbers of requests of an endpoint by outcome, as they are reported.

use crate::verdict::{Failure, Verdict};

/// The numbers of requests that an endpoint has had, by their outcome. Returned in
/// [`EndpointStatus::requests`](crate::EndpointStatus::requests).
///
/// Each lease that a caller got from the pool is one request. Until the lease is dropped, the request counts as in
/// flight. Then it counts under the first [verdict](crate::Lease::record) that was recorded. If no verdict was
/// recorded, it counts as cancelled. `total` is therefore always the sum of the other fields.
///
/// Counting starts when the endpoint is added. It continues through updates that keep the endpoint, even if they
/// [replace](crate::Pool::replace) its target. `total` and `in_flight` may decrease. The other fields never decrease,
/// so that metrics can export them as counters. A request that ends while the counts are read may be missing from the
/// counts, but is never counted twice.
///
/// ```
/// use equipoise_core::{EndpointSpec, Failure, PickRequest, Pool, Verdict};
///
/// let pool: Pool<()> = Pool::default();
/// pool.add(EndpointSpec::new("a:80"), ())?;
/// pool.pick(&PickRequest::new())?.finish(Verdict::Success);
/// pool.pick(&PickRequest::new())?.finish(Verdict::Failure(Failure::Timeout));
/// drop(pool.pick(&PickRequest::new())?);
/// let lease = pool.pick(&PickRequest::new())?;
///
/// let requests = pool.endpoints()[0].requests;
/// assert_eq!((requests.total, requests.success, requests.failure_timeout), (4, 1, 1));
/// assert_eq!((requests.cancelled, requests.in_flight), (1, 1));
/// # drop(lease);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RequestCounts {
    /// The number of all requests: the sum of the other fields.
    pub total: u64,
    /// The number of requests whose lease has not been dropped yet.
    pub in_flight: u64,
    /// The number of requests that ended with [`Verdict::Success`].
    pub success: u64,
    /// The number of requests that ended with [`Failure::Connect`].
    pub failure_connect: u64,
    /// The number of requests that ended with [`Failure::Transport`].
    pub failure_transport: u64,
    /// The number of requests that ended with [`Failure::Timeout`].
    pub failure_timeout: u64,
    /// The number of requests that ended with [`Failure::Gateway`].
    pub failure_gateway: u64,
    /// The number of requests that ended with [`Failure::Server`].
    pub failure_server: u64,
    /// The number of requests that ended with [`Verdict::Overloaded`].
    pub overloaded: u64,
    /// The number of requests that ended with [`Verdict::Unavailable`].
    pub unavailable: u64,
    /// The number of requests that ended with [`Verdict::Neutral`].
    pub neutral: u64,
    /// The number of requests whose lease was dropped without a verdict.
    pub cancelled: u64,
}

impl RequestCounts {
    /// Returns the numbers of ended requests by outcome, as pairs of a label and a number. The labels are those of
    /// [`Verdict::as_str`], and `cancelled` for requests without a verdict.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickRequest, Pool, Verdict};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// pool.pick(&PickRequest::new())?.finish(Verdict::Success);
    /// for endpoint in pool.endpoints() {
    ///     for (outcome, count) in endpoint.requests.by_outcome() {
    ///         println!("requests_total{{endpoint={:?},outcome={outcome:?}}} {count}", endpoint.id.as_str());
    ///         // The first line is: requests_total{endpoint="a:80",outcome="success"} 1
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn by_outcome(&self) -> [(&'static str, u64); 10] {
        [
            (Verdict::Success.as_str(), self.success),
            (Verdict::Failure(Failure::Connect).as_str(), self.failure_connect),
            (Verdict::Failure(Failure::Transport).as_str(), self.failure_transport),
            (Verdict::Failure(Failure::Timeout).as_str(), self.failure_timeout),
            (Verdict::Failure(Failure::Gateway).as_str(), self.failure_gateway),
            (Verdict::Failure(Failure::Server).as_str(), self.failure_server),
            (Verdict::Overloaded { retry_after: None }.as_str(), self.overloaded),
            (Verdict::Unavailable { retry_after: None }.as_str(), self.unavailable),
            (Verdict::Neutral.as_str(), self.neutral),
            ("cancelled", self.cancelled),
        ]
    }

    /// Returns the number of requests with the outcome of number `kind`, which is below [`KINDS`].
    /// [`Ended`](super::Ended) assigns numbers to outcomes.
    pub(super) fn of_kind(&mut self, kind: usize) -> &mut u64 {
        match kind {
            0 => &mut self.failure_connect,
            1 => &mut self.failure_transport,
            2 => &mut self.failure_timeout,
            3 => &mut self.failure_gateway,
            4 => &mut self.failure_server,
            5 => &mut self.overloaded,
            6 => &mut self.unavailable,
            7 => &mut self.neutral,
            _ => &mut self.cancelled,
        }
    }

    /// Adds the requests of `other`, for example those of another endpoint.
    pub fn add(&mut self, mut other: Self) {
        self.total += other.total;
        self.in_flight += other.in_flight;
        self.success += other.success;
        for kind in 0..KINDS {
            *self.of_kind(kind) += *other.of_kind(kind);
        }
    }
}

/// The number of outcomes other than success.
pub(super) const KINDS: usize = 9;
