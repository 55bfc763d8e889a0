//! Which strategy?
//!
//! If in doubt, take the default, [`PeakEwma`](crate::PeakEwma): it looks at what matters to a caller (time), notices
//! failures, and costs O(1). The others are better at one thing each.
//!
//! # By load and time
//!
//! | strategy | choose it when | a pick | its weakness |
//! | --- | --- | --- | --- |
//! | [`PeakEwma`](crate::PeakEwma) | latencies differ or change, some fail | O(1), reads the clock | needs latencies and verdicts to be reported |
//! | [`LeastTime`](crate::LeastTime) | latencies differ steadily and single slow answers mean nothing | O(1), reads the clock | notices a change late; sends an endpoint that fails its share |
//! | [`P2c`](crate::P2c) | many balancers share the endpoints; nothing is reported | O(1) | takes whoever fails fast for idle |
//! | [`LeastConnections`](crate::LeastConnections) | requests are long and unequal, few balancers | O(log n) with its release | exact about what this balancer sends, no more |
//!
//! # By turn or lot
//!
//! | strategy | choose it when | a pick | its weakness |
//! | --- | --- | --- | --- |
//! | [`RoundRobin`](crate::RoundRobin) | requests are short and alike, one balancer; a known sequence is wanted | O(1) | looks at no load |
//! | [`Edf`](crate::Edf) | the same, with many balancers that must not move in step | O(1) | looks at no load |
//! | [`Random`](crate::Random) | nothing needs to be remembered at all | O(1) | uneven over short times |
//! | [`FirstFit`](crate::FirstFit) | few busy endpoints are better than many idle ones | O(log n) | uneven on purpose; needs limits |
//!
//! # By key
//!
//! Requests of one key go to one endpoint; one without a key goes where the [fallback](crate::Keyed::fallback) says.
//!
//! | strategy | choose it when | a pick | its weakness |
//! | --- | --- | --- | --- |
//! | [`Maglev`](crate::Maglev) | usually | O(1) | a table per pool; moves a few keys of others when somebody leaves |
//! | [`Ring`](crate::Ring) | nobody else's keys may move | O(1) | shares differ by several per cent |
//! | [`Rendezvous`](crate::Rendezvous) | the same, for few endpoints | O(n) | O(n) |
//! | [`Jump`](crate::Jump) | endpoints are numbered shards, of like weights | O(log n × heaviest / mean weight) | only the last one leaves cheaply |
//! | [`BoundedLoad`](crate::BoundedLoad) around one of them | some keys are hot | + one shared counter | keys of full endpoints go elsewhere |
//!
//! # Around any of them
//!
//! | combinator | question | its weakness |
//! | --- | --- | --- |
//! | [`SlowStart`](crate::SlowStart) | who is cold? | time says little about how warm an endpoint is |
//! | [`ZoneAware`](crate::ZoneAware) | who is near? | needs zones to be told |
//! | [`Subset`](crate::Subset) | how many connections may a client hold? | clients' parts overlap unevenly |
//! | [`Aperture`](crate::Aperture) | the same, where clients know their number | a wrong number doubles load, or leaves gaps |
//!
//! Each of all these can be chosen by name, from configuration: `"slow-start(p2c(choices=3), window=1m)"` parses to a
//! [`StrategySpec`](crate::StrategySpec); [`by_name::all`](crate::strategy::by_name::all) lists them.
//!
//! Tiers, with or without [spill-over](crate::Spill), are the pool's own and work under all of them. The outermost
//! combinator looks at the whole tier; see [`strategy::combine`](crate::strategy::combine) for the order.
//!
//! ```
//! use equipoise::{BoundedLoad, EndpointSpec, Maglev, PeakEwma, PickRequest, Pool, SlowStart};
//!
//! // Caches: by key, no cache far above the mean, new ones warm up; requests without a key go by latency.
//! let strategy = SlowStart::new(BoundedLoad::new(Maglev::new().fallback(PeakEwma::new())));
//! let pool = Pool::new(strategy);
//! pool.update(["cache-0:80", "cache-1:80", "cache-2:80"].map(EndpointSpec::new), |_| ())?;
//!
//! let request = PickRequest::new().key(b"/logo.svg");
//! let home = pool.pick(&request)?.endpoint().id().clone();
//! assert_eq!(*pool.pick(&request)?.endpoint().id(), home);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
