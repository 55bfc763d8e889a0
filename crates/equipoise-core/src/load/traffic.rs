//! Counts of an endpoint's requests by outcome, and an optional histogram of their latencies.

// Not part of any model: nothing but reports depends on these counts.
use std::sync::atomic::{AtomicU64, Ordering};

use super::latency::{Latencies, LatencyHistogram};
use crate::{
    sync::Mutex,
    verdict::{Failure, Verdict},
};

/// How many requests an endpoint has had, by their ends: see [`EndpointStatus::requests`](crate::EndpointStatus::requests).
///
/// Each lease that a caller got from the pool is one request. It is counted once, when it is dropped: by the first
/// [verdict](crate::Lease::record) that was recorded, or as cancelled. So `total` is always the sum of the other fields.
///
/// Counting starts when the endpoint joins. It goes on through updates that keep the endpoint, also those that
/// [replace](crate::Pool::replace) its target. Every field except `total` and `in_flight` only grows, so that metrics can
/// export it as a counter. A request that ends while the counts are read may be missing from them; it is never counted
/// twice.
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
    /// All requests: the sum of the other fields.
    pub total: u64,
    /// Requests whose lease is still held.
    pub in_flight: u64,
    /// Requests with [`Verdict::Success`].
    pub success: u64,
    /// Requests with [`Failure::Connect`].
    pub failure_connect: u64,
    /// Requests with [`Failure::Transport`].
    pub failure_transport: u64,
    /// Requests with [`Failure::Timeout`].
    pub failure_timeout: u64,
    /// Requests with [`Failure::Gateway`].
    pub failure_gateway: u64,
    /// Requests with [`Failure::Server`].
    pub failure_server: u64,
    /// Requests with [`Verdict::Overloaded`].
    pub overloaded: u64,
    /// Requests with [`Verdict::Unavailable`].
    pub unavailable: u64,
    /// Requests with [`Verdict::Neutral`].
    pub neutral: u64,
    /// Requests whose lease was dropped without a verdict.
    pub cancelled: u64,
}

impl RequestCounts {
    /// Returns the number of ended requests by outcome. The labels are those of [`Verdict::as_str`], and `cancelled`.
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

/// How a lease ended, as far as it is counted.
///
/// A byte, so that leases do not grow: the index in [`RequestCounts::of_kind`], or one of two others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended(u8);

impl Ended {
    /// Without a verdict.
    pub(crate) const CANCELLED: Self = Self(KINDS as u8 - 1);
    pub(crate) const SUCCESS: Self = Self(u8::MAX - 1);
    /// The caller never got the lease.
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
/// Successes are counted in the handle, in the atomic operation that ends the lease, so that they cost nothing more. Here
/// are the other ends, and the successes that no handle counts any longer.
pub(crate) struct Traffic {
    ended: [AtomicU64; KINDS],
    successes: AtomicU64,
    latencies: Option<Box<Latencies>>,
    /// The number of successes that were reported last. Readers take turns here.
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

    /// Counts the end of a lease that is no longer in flight. (In this order, no reader sees it in both places.)
    #[cold]
    pub(crate) fn count(&self, ended: Ended) {
        if let Some(count) = self.ended.get(usize::from(ended.0)) {
            count.fetch_add(1, Ordering::Release);
        }
    }

    /// Counts successes that a handle counts no longer.
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
        // Before the handles, which are changed before this is.
        for (kind, count) in self.ended.iter().enumerate() {
            *counts.of_kind(kind) = count.load(Ordering::Acquire);
        }
        let kept = self.successes.load(Ordering::Acquire);
        let (in_flight, successes) = handles();
        // Successes on their way from a handle to here are in neither place for a moment.
        *reported = (*reported).max(kept.wrapping_add(successes));
        (counts.success, counts.in_flight) = (*reported, in_flight);
        counts.total = counts.by_outcome().iter().map(|(_, count)| count).sum::<u64>() + in_flight;
        counts
    }
}
