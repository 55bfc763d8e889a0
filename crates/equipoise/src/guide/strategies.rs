//! Choosing a strategy.
//!
//! If you are not sure, use the default, [`PeakEwma`](crate::PeakEwma). It compares endpoints by response time, avoids
//! failing endpoints, and picks in O(1). Each of the other strategies is better for one kind of workload.
//!
//! In the tables, *a pick* is the cost of one pick among n endpoints.
//!
//! # By load and time
//!
//! | strategy | use it when | a pick | weakness |
//! | --- | --- | --- | --- |
//! | [`PeakEwma`](crate::PeakEwma) | latencies differ or change, or some endpoints fail | O(1), reads the clock | needs latencies and verdicts to be reported |
//! | [`LeastTime`](crate::LeastTime) | latencies differ constantly, and single slow responses mean nothing | O(1), reads the clock | notices changes late; a failing endpoint keeps its share |
//! | [`P2c`](crate::P2c) | many balancers share the endpoints, or latencies are not reported | O(1) | ignores latency; a failing endpoint keeps its share |
//! | [`LeastConnections`](crate::LeastConnections) | requests are long and of unequal size, and there are few balancers | O(log n), release included | counts only the requests of this balancer |
//!
//! # By turn or chance
//!
//! | strategy | use it when | a pick | weakness |
//! | --- | --- | --- | --- |
//! | [`RoundRobin`](crate::RoundRobin) | requests are short and alike, there is one balancer, or a known sequence is needed | O(1) | ignores load |
//! | [`Edf`](crate::Edf) | the same, with many balancers that must not run in step | O(1) | ignores load |
//! | [`Random`](crate::Random) | no state may be kept | O(1) | uneven over short times |
//! | [`FirstFit`](crate::FirstFit) | few busy endpoints are better than many idle ones | O(log n) | uneven by design; needs limits on concurrent requests |
//!
//! # By key
//!
//! All requests with the same key go to the same endpoint. Requests without a key are placed by the
//! [fallback](crate::Keyed::fallback) strategy.
//!
//! | strategy | use it when | a pick | weakness |
//! | --- | --- | --- | --- |
//! | [`Maglev`](crate::Maglev) | in most cases | O(1) | one table per pool; moves a few keys of other endpoints when an endpoint is removed |
//! | [`Ring`](crate::Ring) | no keys of other endpoints may move | O(1) | shares differ by several per cent |
//! | [`Rendezvous`](crate::Rendezvous) | the same, with few endpoints | O(n) | its cost |
//! | [`Jump`](crate::Jump) | endpoints are numbered shards of similar weight | O(log n × heaviest / mean weight) | only the last endpoint can be removed without moving many keys |
//! | [`BoundedLoad`](crate::BoundedLoad) around one of these | some keys get far more requests than others | one more shared counter | keys of full endpoints go to other endpoints |
//!
//! # Combinators
//!
//! A combinator wraps any of the strategies above.
//!
//! | combinator | what it does | weakness |
//! | --- | --- | --- |
//! | [`SlowStart`](crate::SlowStart) | raises the traffic of new and returning endpoints step by step | time is only an estimate of how warm an endpoint is |
//! | [`ZoneAware`](crate::ZoneAware) | prefers endpoints in the client's zone | zones must be configured |
//! | [`Subset`](crate::Subset) | limits how many endpoints one client connects to | the subsets of different clients overlap unevenly |
//! | [`Aperture`](crate::Aperture) | the same, where each client knows its number among all clients | a wrong number doubles load on some endpoints, or leaves others without |
//!
//! # Names, tiers and order
//!
//! Each strategy can be named in configuration: `"slow-start(p2c(choices=3), window=1m)"` parses to a
//! [`StrategySpec`](crate::StrategySpec). [`by_name::all`](crate::strategy::by_name::all) lists the names.
//!
//! Tiers, with or without [spillover](crate::Spillover), belong to the pool and work with every strategy. The outermost
//! combinator sees the whole tier. See [`strategy::combine`](crate::strategy::combine) for the order in which
//! combinators should be nested.
//!
//! # Example: caches
//!
//! Requests are placed by key. No cache gets far more requests than the mean, and new caches warm up slowly. Requests
//! without a key are placed by latency.
//!
//! ```
//! use equipoise::{BoundedLoad, EndpointSpec, Maglev, PeakEwma, PickRequest, Pool, SlowStart};
//!
//! let strategy = SlowStart::new(BoundedLoad::new(Maglev::new().fallback(PeakEwma::new())));
//! let pool = Pool::new(strategy);
//! pool.update(["cache-0:80", "cache-1:80", "cache-2:80"].map(EndpointSpec::new), |_| ())?;
//!
//! let request = PickRequest::new().key(b"/logo.svg");
//! let first = pool.pick(&request)?.endpoint().id().clone();
//! assert_eq!(*pool.pick(&request)?.endpoint().id(), first);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
