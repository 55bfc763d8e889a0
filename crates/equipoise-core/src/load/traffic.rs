//! How the requests of an endpoint ended: counts by verdict, and an optional histogram of latencies.

// Not part of any loom model: only reports depend on these counts.
use std::sync::atomic::{AtomicU64, Ordering};

use super::latency::{Latencies, LatencyHistogram};
use crate::{
    sync::Mutex,
    verdict::{Failure, Verdict},
};

/// The numbers of requests that an endpoint has had, by their outcome. Returned in
/// [`EndpointStatus::requests`](crate::EndpointStatus::requests).
///
/// Each lease that a caller got from the pool is one request. Until the lease is dropped, the request counts as in
/// flight. Then it counts under the first [verdict](crate::Lease::record) that was recorded. If no verdict was
/// recorded, it counts as cancelled. `total` is therefore always the sum of the other fields.
///
/// Counting starts when the endpoint is added. It continues through updates that keep the endpoint, even if they
/// [replace](crate::Pool::replace) its target. `total` and `in_flight` may decrease. The other fields never decrease,
/// so that metrics can export them as counters. A request that ends while the counts are read may be missing from them,
/// but is never counted twice.
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

    fn of_kind(&mut self, kind: usize) -> &mut u64 {
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

    /// Adds the requests of another stripe.
    pub(crate) fn add(&mut self, mut other: Self) {
        self.total += other.total;
        self.in_flight += other.in_flight;
        self.success += other.success;
        for kind in 0..KINDS {
            *self.of_kind(kind) += *other.of_kind(kind);
        }
    }
}

/// How a lease ended, for the counts.
///
/// It is a byte, so that leases stay small: the index in [`RequestCounts::of_kind`], or one of two other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended(u8);

impl Ended {
    /// The lease ended without a verdict.
    pub(crate) const CANCELLED: Self = Self(KINDS as u8 - 1);
    pub(crate) const SUCCESS: Self = Self(u8::MAX - 1);
    /// The lease ended before a caller got it.
    pub(crate) const WITHDRAWN: Self = Self(u8::MAX);

    #[inline]
    pub(crate) fn with(verdict: Verdict) -> Self {
        if verdict == Verdict::Success { Self::SUCCESS } else { Self::with_other(verdict) }
    }

    #[cold]
    const fn with_other(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Success => Self::SUCCESS,
            Verdict::Failure(Failure::Connect) => Self(0),
            Verdict::Failure(Failure::Transport) => Self(1),
            Verdict::Failure(Failure::Timeout) => Self(2),
            Verdict::Failure(Failure::Gateway) => Self(3),
            Verdict::Failure(Failure::Server) => Self(4),
            Verdict::Overloaded { .. } => Self(5),
            Verdict::Unavailable { .. } => Self(6),
            Verdict::Neutral => Self(7),
        }
    }
}

const KINDS: usize = 9;

/// The counts of one stripe of an endpoint, for all of its targets.
///
/// Successes are counted in the handle, by the atomic operation that ends the lease, so that counting them costs
/// nothing. The counts here are those of the other outcomes, and the successes of handles that no longer exist.
pub(crate) struct Traffic {
    ended: [AtomicU64; KINDS],
    successes: AtomicU64,
    latencies: Option<Box<Latencies>>,
    /// The highest number of successes that was reported so far. The lock lets only one reader count at a time.
    reported: Mutex<u64>,
}

impl Traffic {
    pub(crate) fn new(with_latencies: bool) -> Self {
        Self {
            ended: std::array::from_fn(|_| AtomicU64::new(0)),
            successes: AtomicU64::new(0),
            latencies: with_latencies.then(Box::default),
            reported: Mutex::new(0),
        }
    }

    /// Counts the end of a lease that is no longer in flight. Because of this order, no reader counts the lease twice.
    #[cold]
    pub(crate) fn count(&self, ended: Ended) {
        if let Some(count) = self.ended.get(usize::from(ended.0)) {
            count.fetch_add(1, Ordering::Release);
        }
    }

    /// Adds the successes of a handle that no longer counts them.
    #[cold]
    pub(crate) fn keep_successes(&self, successes: u64) {
        self.successes.fetch_add(successes, Ordering::Release);
    }

    pub(crate) fn latencies(&self) -> Option<&Latencies> {
        self.latencies.as_deref()
    }

    pub(crate) fn histogram(&self) -> Option<LatencyHistogram> {
        self.latencies.as_ref().map(|latencies| latencies.read())
    }

    /// Reads the counts. `handles` returns the leases in flight and the successes that the stripe's handles count.
    pub(crate) fn read(&self, handles: impl FnOnce() -> (u64, u64)) -> RequestCounts {
        let mut reported = self.reported.lock();
        let mut counts = RequestCounts::default();
        // These counts are read before the handles, because leases change the handles first.
        for (kind, count) in self.ended.iter().enumerate() {
            *counts.of_kind(kind) = count.load(Ordering::Acquire);
        }
        let kept = self.successes.load(Ordering::Acquire);
        let (in_flight, successes) = handles();
        // Successes that move from a handle to here are in neither place for a moment.
        *reported = (*reported).max(kept.wrapping_add(successes));
        (counts.success, counts.in_flight) = (*reported, in_flight);
        counts.total = counts.by_outcome().iter().map(|(_, count)| count).sum::<u64>() + in_flight;
        counts
    }
}
