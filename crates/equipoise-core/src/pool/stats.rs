//! The totals of a pool, over all of its endpoints: those that it has, and those that have left.

use std::{sync::Arc, time::Duration};

use super::{
    departed::{Departed, Histograms, ReadDepartures, Totals},
    error::PickError,
    state::{Pool, PoolInner, Snapshot},
    status::EndpointStatus,
};
use crate::{
    ids::Revision,
    load::{LatencyHistogram, RequestCounts},
    strategy::Strategy,
    time::Timestamp,
};

/// The totals of a pool since it was built. Returned by [`Pool::stats`].
///
/// No total loses the requests of an endpoint that leaves the pool, or that is replaced by another endpoint with its id.
/// Requests that are in flight when their endpoint leaves count when they end. Except for
/// [`waiting`](Self::waiting), and for `total` and `in_flight` of [`attempts`](Self::attempts), the numbers never
/// decrease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStats {
    /// Counts of the requests of all endpoints that the pool has or had. A request that is sent to two endpoints, one
    /// after the other, counts twice.
    pub attempts: RequestCounts,
    /// The number of bytes that were sent to all endpoints that the pool has or had, as callers have
    /// [counted](crate::Lease::count_bytes) them.
    pub bytes_sent: u64,
    /// The number of bytes that were received from all endpoints that the pool has or had, as callers have
    /// [counted](crate::Lease::count_bytes) them.
    pub bytes_received: u64,
    /// The number of requests that wait in the pool's queue now.
    pub waiting: u64,
    /// The number of times that a request has entered the pool's queue, because no endpoint could take it.
    pub queued: u64,
    /// The number of retries: attempts of balancers and proxies after the first attempt of a request. An attempt that
    /// ends because the service of its endpoint is not ready counts, too.
    pub retries: u64,
    /// The number of failovers: how often a request has left an endpoint for another one, or for the queue.
    pub failovers: u64,
    /// The numbers of requests that have ended without any attempt, by reason. A reason is a label of
    /// [`PickError::as_str`], or `cancelled` if the caller gave up a request that waited. All reasons are listed, in an
    /// order that does not change. While a UDP proxy has no endpoint for a client, each datagram of the client counts
    /// as a request.
    pub unserved: Vec<(&'static str, u64)>,
    /// The highest result of [`requests`](Self::requests) so far.
    #[cfg_attr(feature = "serde", serde(rename = "requests"))]
    least_requests: u64,
}

impl PoolStats {
    /// Returns the number of requests that callers have sent to the balancers and proxies of this pool, and that have
    /// ended: the ended [attempts](Self::attempts) without the [retries](Self::retries), and the
    /// [requests without an attempt](Self::unserved).
    ///
    /// A TCP connection that ends before an endpoint is picked for it, because the client sent nothing for example, is not
    /// among them.
    ///
    /// Later readings never return a lower number. A request that ends while the pool is read may be missing. A request
    /// whose last attempt is in flight is not counted, and one whose first attempt has failed may be counted before its
    /// retry has ended.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickRequest, Pool, Verdict};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// pool.pick(&PickRequest::new())?.finish(Verdict::Success);
    /// pool.remove("a:80")?;
    /// assert_eq!(pool.stats().requests(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn requests(&self) -> u64 {
        let unserved: u64 = self.unserved.iter().map(|(_, count)| count).sum();
        let ended = self.attempts.total.saturating_sub(self.attempts.in_flight);
        // Retries that began after the attempts were read make the difference too low.
        ended.saturating_sub(self.retries).saturating_add(unserved).max(self.least_requests)
    }
}

/// An endpoint that has left the pool. Returned by [`Pool::departed`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DepartedEndpoint {
    /// The settings that the endpoint had when it left, the availability that it had then, and its counts. The counts
    /// go on while the endpoint has requests in flight. They contain the counts of endpoints with the same id that left
    /// earlier and are not [listed](Pool::departed) any more.
    pub status: EndpointStatus,
    /// The time since the endpoint has left the pool.
    pub left_ago: Duration,
}

/// All that can be read of a pool at one moment. Returned by [`Pool::status`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// The revision of the pool: the number of its changes so far.
    pub revision: Revision,
    /// The totals of the pool. [`PoolStats::attempts`] is the sum of the counts of `endpoints`, of `departed`, and of
    /// the endpoints that have left and are not listed any more.
    pub stats: PoolStats,
    /// The endpoints of the pool, in the order of their [slots](crate::Slot).
    pub endpoints: Vec<EndpointStatus>,
    /// The endpoints that have left the pool recently, in the order in which they left.
    pub departed: Vec<DepartedEndpoint>,
    /// The sum of the [latencies](EndpointStatus::latency) of the endpoints that have left and are not listed any more.
    /// Together with those of `endpoints` and of `departed`, it is the histogram of all requests of the pool. `None` if
    /// there are no such endpoints, or if the pool keeps no histograms.
    pub past_latency: Option<LatencyHistogram>,
    /// The sum of the [whole times](EndpointStatus::duration) of the endpoints that have left and are not listed any more,
    /// as `past_latency` is the sum of their latencies.
    pub past_duration: Option<LatencyHistogram>,
}

impl<T> Pool<T> {
    /// Returns the totals, the endpoints, and the endpoints that have left recently, all from one reading: each endpoint
    /// is read once, and is in one of the two lists. For metrics and status pages.
    ///
    /// Takes O(n) time for n endpoints. Allocates. Picks do not wait for it. A change of the membership may wait while the
    /// list of departed endpoints is copied, but not while endpoints are read.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickRequest, Pool, Verdict};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// pool.pick(&PickRequest::new())?.finish(Verdict::Success);
    /// pool.remove("a:80")?;
    /// let status = pool.status();
    /// assert_eq!((status.endpoints.len(), status.departed.len()), (1, 1));
    /// assert_eq!(status.stats.attempts.success, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn status(&self) -> PoolStatus {
        let reading = self.inner.read();
        let endpoints: Vec<EndpointStatus> = reading
            .snapshot
            .slots()
            .filter_map(|slot| EndpointStatus::with_histograms(&reading.snapshot, slot))
            .collect();
        let departed: Vec<DepartedEndpoint> = reading.departures.report();
        let mut totals = reading.departures.sum_of_unlisted();
        for status in endpoints.iter().chain(departed.iter().map(|departed| &departed.status)) {
            totals.add(&Totals {
                requests: status.requests,
                bytes_sent: status.bytes_sent,
                bytes_received: status.bytes_received,
            });
        }
        let (past_latency, past_duration) = reading.departures.histograms_of_unlisted().unzip();
        PoolStatus {
            revision: reading.snapshot.revision(),
            stats: self.inner.stats(totals),
            endpoints,
            departed,
            past_latency,
            past_duration,
        }
    }

    /// Returns the totals of the pool since it was built, without its endpoints. Takes O(n) time for n endpoints.
    /// Allocates little. Picks do not wait for it.
    pub fn stats(&self) -> PoolStats {
        let reading = self.inner.read();
        let mut totals = reading.departures.sum_of_unlisted();
        reading.departures.listed.iter().for_each(|departed| totals.add(&departed.totals()));
        let members = reading.snapshot.members();
        for slot in reading.snapshot.slots() {
            let (bytes_sent, bytes_received) = members.bytes(slot);
            totals.add(&Totals { requests: members.requests(slot), bytes_sent, bytes_received });
        }
        self.inner.stats(totals)
    }

    /// Returns the endpoints that have left the pool recently, with their counts, in the order in which they left. An
    /// endpoint that was removed and added again, or that has another address than before, is listed with the counts
    /// that it had then. [`EndpointStatus::joined`] tells endpoints with the same id apart.
    ///
    /// An endpoint is listed for 10 minutes, or for the time that was set with
    /// [`PoolBuilder::keep_departed`](crate::PoolBuilder::keep_departed). Then its counts are added to those of the next
    /// listed endpoint with its id. If there is none, it is listed for as long as the pool has an endpoint with its id.
    /// If more than 1 000 endpoints would be listed, the list has one endpoint for each id: of all ids of the pool, and of
    /// the last 1 000 other ids that left.
    pub fn departed(&self) -> Vec<DepartedEndpoint> {
        self.inner.read().departures.report()
    }

    /// Returns the strategy of the pool as a text for people, for example on a status page. If the strategy was built from
    /// a [`StrategySpec`](crate::StrategySpec), it is the text of the spec, such as `p2c(choices=3)`. Otherwise it is
    /// the name of the strategy's Rust type without the paths of modules, such as `LogEwma`.
    ///
    /// ```
    /// use equipoise_core::{Pool, StrategySpec};
    ///
    /// let strategy = "p2c(choices=3)".parse::<StrategySpec>()?.build();
    /// assert_eq!(Pool::<()>::new(strategy).strategy(), "p2c(choices=3)");
    /// assert_eq!(Pool::<()>::default().strategy(), "LogEwma");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strategy(&self) -> String {
        self.inner.settings.strategy.name()
    }
}

/// Counts for [`Pool::stats`]. Each call costs an atomic addition.
impl<T> Pool<T> {
    /// Counts a retry: call it for each lease of a request after its first one. [`Pool::stats`] returns the number.
    ///
    /// The balancers and proxies of this project call it. Call it in a balancer of your own that makes several attempts
    /// for a request, so that [`PoolStats::requests`] is right. A lease that is [withdrawn](crate::Lease::withdraw) is
    /// no retry.
    pub fn count_retry(&self) {
        self.inner.counters.count_retry();
    }

    /// Counts a failover: a request leaves an endpoint for another one, or for the queue. [`Pool::stats`] returns the
    /// number.
    ///
    /// The balancers and proxies of this project call it. Call it in a balancer of your own that makes several attempts
    /// for a request.
    pub fn count_failover(&self) {
        self.inner.counters.count_failover();
    }

    /// Counts a request that has ended without an attempt. `error` is the reason: the error of its last pick. If it is
    /// `None`, the caller has given up the request while it waited. [`Pool::stats`] returns the numbers, by reason.
    ///
    /// The balancers and proxies of this project call it. Call it in a balancer of your own, so that
    /// [`PoolStats::requests`] is right. Do not call it for a request that has had a lease: its attempt is counted
    /// already.
    ///
    /// ```
    /// use equipoise_core::{PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// if let Err(error) = pool.pick(&PickRequest::new()) {
    ///     pool.count_unserved(Some(&error));
    /// }
    /// let stats = pool.stats();
    /// assert_eq!(stats.requests(), 1);
    /// assert!(stats.unserved.contains(&("empty", 1)));
    /// ```
    pub fn count_unserved(&self, error: Option<&PickError>) {
        self.inner.counters.count_unserved(error);
    }
}

/// The members of a pool and the endpoints that have left it, at one moment. Each endpoint that the pool has or had is in
/// one of the two.
struct Reading {
    snapshot: Arc<Snapshot>,
    departures: ReadDepartures,
}

impl PoolInner {
    fn read(&self) -> Reading {
        let (snapshot, departures) = self.departures.read(
            &*self.settings.context.clock,
            || self.snapshot.load_full(),
            |snapshot| snapshot.members(),
        );
        Reading { snapshot, departures }
    }

    /// Returns the totals of the pool. Called after `totals` was read: an attempt is counted as a retry before it ends, so
    /// that no ended attempt is taken for a request because its retry was not counted.
    fn stats(&self, totals: Totals) -> PoolStats {
        let (waiting, queued) = self.queue.counts();
        let mut stats = PoolStats {
            attempts: totals.requests,
            bytes_sent: totals.bytes_sent,
            bytes_received: totals.bytes_received,
            waiting,
            queued,
            retries: self.counters.retries(),
            failovers: self.counters.failovers(),
            unserved: self.counters.unserved(),
            least_requests: 0,
        };
        stats.least_requests = self.counters.report_requests(stats.requests());
        stats
    }
}

impl ReadDepartures {
    fn report(&self) -> Vec<DepartedEndpoint> {
        self.listed.iter().map(|departed| departed.report(self.at)).collect()
    }

    /// Returns the totals of the endpoints that have left and are not listed.
    fn sum_of_unlisted(&self) -> Totals {
        self.unlisted.iter().fold(self.past, |mut totals, departed| {
            totals.add(&departed.totals());
            totals
        })
    }
}

impl Departed {
    fn report(&self, now: Timestamp) -> DepartedEndpoint {
        // In the order in which the counts of the pool's endpoints are read.
        let histograms: Histograms = self.histograms();
        let Totals { requests, bytes_sent, bytes_received } = self.totals();
        let (latency, duration) = histograms.unzip();
        let status = EndpointStatus {
            id: self.id.clone(),
            joined: self.joined,
            address: self.address.to_string(),
            tier: self.tier,
            zone: self.zone.as_ref().map(ToString::to_string),
            weight: self.weight,
            availability: self.availability,
            in_flight: u32::try_from(requests.in_flight).unwrap_or(u32::MAX),
            max_in_flight: self.max_in_flight,
            requests,
            bytes_sent,
            bytes_received,
            latency,
            duration,
        };
        DepartedEndpoint { status, left_ago: now.since(self.left_at) }
    }
}
