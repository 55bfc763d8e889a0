//! Choosing a strategy.
//!
//! If you are not sure, use the default, [`LogEwma`](crate::LogEwma). It compares endpoints by response time, avoids
//! failing endpoints, and picks in O(1). Each of the other strategies is better for one kind of workload.
//!
//! In the tables, *cost of a pick* is the time of one pick among n endpoints.
//!
//! # By load and time
//!
//! | strategy | use it when | cost of a pick | weakness |
//! | --- | --- | --- | --- |
//! | [`LogEwma`](crate::LogEwma) | in most cases; latencies differ or change, or some endpoints fail | O(1), reads the clock | needs first bytes and verdicts to be reported; ignores open streams |
//! | [`PeakEwma`](crate::PeakEwma) | the balancer must behave as linkerd or Finagle does, or each slow response must count at once | O(1), reads the clock | needs latencies and verdicts to be reported; takes long bodies for load |
//! | [`LeastTime`](crate::LeastTime) | latencies differ constantly, and single slow responses mean nothing | O(1), reads the clock | notices changes late; a failing endpoint still gets up to its share |
//! | [`P2c`](crate::P2c) | many balancers share the endpoints, or latencies are not reported | O(1) | ignores latency; a failing endpoint still gets up to its share |
//! | [`LeastConnections`](crate::LeastConnections) | requests are long and of unequal size, and there are few balancers | O(log n), release included | does not know the requests of other balancers |
//!
//! # By order or chance
//!
//! | strategy | use it when | cost of a pick | weakness |
//! | --- | --- | --- | --- |
//! | [`RoundRobin`](crate::RoundRobin) | requests are short and alike, and there is one balancer; or the sequence of endpoints must be known | O(1) | ignores load |
//! | [`Edf`](crate::Edf) | requests are short and alike, and there are many balancers: each begins at a random endpoint | O(1) | ignores load |
//! | [`Random`](crate::Random) | the strategy must keep no state | O(1) | uneven over short times |
//! | [`FirstFit`](crate::FirstFit) | few busy endpoints are better than many idle ones | O(log n) | uneven by design; needs limits on concurrent requests |
//!
//! # By key
//!
//! All requests with the same key go to the same endpoint. For a request without a key, the
//! [fallback](crate::Keyed::fallback) strategy picks.
//!
//! | strategy | use it when | cost of a pick | weakness |
//! | --- | --- | --- | --- |
//! | [`Maglev`](crate::Maglev) | in most cases | O(1) | one table per pool; moves a few keys of other endpoints when an endpoint is removed |
//! | [`Ring`](crate::Ring) | no key of another endpoint may move when an endpoint is removed | O(1) | shares differ by several per cent |
//! | [`Rendezvous`](crate::Rendezvous) | no key of another endpoint may move, and there are few endpoints | O(n) | slow with many endpoints |
//! | [`Jump`](crate::Jump) | endpoints are numbered shards of similar weight | O(log n × heaviest / mean weight) | only the last endpoint can be removed without moving many keys |
//! | [`BoundedLoad`](crate::BoundedLoad) around one of these | some keys get far more requests than others | that of the wrapped strategy, and one more shared counter | keys of full endpoints go to other endpoints |
//!
//! # Combinators
//!
//! A combinator wraps any of the strategies above.
//!
//! | combinator | what it does | weakness |
//! | --- | --- | --- |
//! | [`SlowStart`](crate::SlowStart) | raises the traffic of new and returning endpoints step by step | it knows how long an endpoint has been up, not whether its caches are warm |
//! | [`ZoneAware`](crate::ZoneAware) | prefers endpoints in the client's zone | zones must be configured |
//! | [`Subset`](crate::Subset) | limits how many endpoints one client connects to | the subsets of different clients overlap unevenly |
//! | [`Aperture`](crate::Aperture) | limits how many endpoints one client connects to, if each client knows its number among all clients; the subsets then overlap evenly | a wrong number doubles load on some endpoints, or leaves others without |
//!
//! # Names, tiers and order
//!
//! Each strategy has a name for configuration files: `"slow-start(p2c(choices=3), window=1m)"` parses to a
//! [`StrategySpec`](crate::StrategySpec). [`by_name::all`](crate::strategy::by_name::all) lists the names. The strategy
//! of a pool cannot be changed. For another strategy, create another pool with the same endpoints, and another balancer
//! over it.
//!
//! ```
//! use std::time::Duration;
//!
//! use equipoise::{LogEwma, Pool, StrategySpec};
//!
//! let spec: StrategySpec = "log-ewma(penalty=2s, max-trial-interval=5s)".parse()?;
//! let from_text: Pool<()> = Pool::new(spec.build());
//!
//! let strategy = LogEwma::new().penalty(Duration::from_secs(2)).max_trial_interval(Duration::from_secs(5));
//! let the_same: Pool<()> = Pool::new(strategy);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Tiers (priority groups of endpoints), with or without [spillover](crate::Spillover), are a setting of the pool and
//! work with every strategy. The strategy is used for each tier separately. See
//! [`strategy::combine`](crate::strategy::combine) for the order in which combinators should be nested.
//!
//! # Example: caches
//!
//! In this example, all requests with the same key go to the same cache. No cache gets far more requests than the mean,
//! and a new cache gets its share step by step. Requests without a key go to the cache with the lowest latency.
//!
//! ```
//! use equipoise::{BoundedLoad, EndpointSpec, LogEwma, Maglev, PickRequest, Pool, SlowStart};
//!
//! let strategy = SlowStart::new(BoundedLoad::new(Maglev::new().fallback(LogEwma::new())));
//! let pool = Pool::new(strategy);
//! pool.update(["cache-0:80", "cache-1:80", "cache-2:80"].map(EndpointSpec::new), |_| ())?;
//!
//! let request = PickRequest::new().key(b"/logo.svg");
//! let first = pool.pick(&request)?.endpoint().id().clone();
//! assert_eq!(*pool.pick(&request)?.endpoint().id(), first);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
