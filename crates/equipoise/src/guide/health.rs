//! Health checks, outlier detection and draining.
//!
//! A strategy picks among endpoints that work. [`Health`](crate::health::Health) finds out which endpoints work. It
//! combines four sources of information into one availability for each endpoint:
//!
//! | source | reports by | can do |
//! | --- | --- | --- |
//! | operator | [`Health::set_admin_state`](crate::health::Health::set_admin_state) | take an endpoint out, drain it, bring it back |
//! | agent | a line of HAProxy's agent-check protocol | take its endpoint out, drain it, set its weight and limit |
//! | checks | probes at regular intervals | take out an endpoint that does not answer well |
//! | requests | the verdicts of real requests | eject an endpoint for a limited time; pause it for the time in its `Retry-After` |
//!
//! A source can only end its own decisions, and the strictest decision applies.
//! [`Health::status`](crate::health::Health::status) returns the reason.
//!
//! # Checks
//!
//! A check consists of a name, a [schedule](crate::health::Schedule) and a [probe](crate::health::probe). With the
//! default schedule, an endpoint is probed every 5 s. It is down after 3 consecutive failed probes and up again after 2
//! consecutive successful ones. After the first failed probe of an endpoint that is up, and the first successful one of an
//! endpoint that is down, the next probe follows after 1 s.
//!
//! ```
//! use equipoise::{EndpointSpec, PeakEwma, Pool, SlowStart};
//! use equipoise::health::{Health, Outliers, Schedule, probe::TcpProbe};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = Health::builder()
//!     .check("tcp", Schedule::new(), TcpProbe::new())
//!     .outliers(Outliers::new().consecutive_failures(5).max_ejection_percent(50))
//!     .build()?;
//! let pool = Pool::new(health.watch(SlowStart::new(PeakEwma::new())));
//! let checking = health.spawn(&pool);
//! pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
//! # drop(checking);
//! # Ok(()) }
//! ```
//!
//! [`watch`](crate::health::Health::watch) wraps the strategy, so that `Health` sees how requests end. Only [outlier
//! detection](crate::health::Outliers) needs it. `SlowStart` raises the traffic of a returning endpoint step by step.
//! [`spawn`](crate::health::Health::spawn) starts the checks and returns a guard. When the guard is dropped, the checks
//! end.
//!
//! Any closure can be a probe ([`probe_fn`](crate::health::probe::probe_fn)):
//!
//! ```
//! use equipoise::health::probe::{ProbeError, Target, probe_fn};
//!
//! let queue = probe_fn(|target: Target| async move {
//!     let length: u32 = ask_for_its_queue(&target.address).await;
//!     if length < 100 { Ok(()) } else { Err(ProbeError::from(format!("{length} jobs are waiting"))) }
//! });
//! # async fn ask_for_its_queue(_: &str) -> u32 { 7 }
//! # let _ = queue;
//! ```
//!
//! # Outlier detection
//!
//! Checks only see their own probes. Outlier detection sees the result of every request. In the example above, an endpoint
//! that fails 5 requests in a row is ejected for 30 s. After that it is on probation: it gets a single request. If this
//! request succeeds, the endpoint is up again; if it fails, the endpoint is ejected again, for longer. There are presets
//! with the rules of [Envoy](crate::health::Outliers::envoy), [gRPC](crate::health::Outliers::grpc),
//! [linkerd](crate::health::Outliers::linkerd) and [nginx](crate::health::Outliers::nginx).
//!
//! # When too many endpoints are out
//!
//! If fewer than half of the endpoints of a tier (a priority group) are healthy, and no other tier can take its traffic,
//! the pool ignores health and uses the whole tier: see
//! [`PoolBuilder::panic_threshold`](crate::PoolBuilder::panic_threshold). There are two reasons: the checks may be wrong,
//! and the traffic of all endpoints would overload the few healthy ones. Endpoints that an operator or an agent took out
//! are still not used. Failed checks and ejections therefore never leave a pool without an endpoint. The exception is
//! [`InitialState::MustPass`](crate::health::InitialState::MustPass): an endpoint that has not passed its first probe is
//! not used.
//!
//! # Draining
//!
//! A draining endpoint gets requests of its existing sessions, and no new clients.
//! [`Health::drain`](crate::health::Health::drain) waits until the last request of the endpoint has ended, or until a
//! deadline, and returns which of the two happened. The chapter `shutdown` shows how to use it, and how to end tunnels.
