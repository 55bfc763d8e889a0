//! Health checks, outlier detection and draining.
//!
//! A strategy picks among endpoints that work. [`Health`](crate::health::Health) finds out which endpoints work. It
//! combines four sources of information into one availability for each endpoint:
//!
//! | source | reports by | can do |
//! | --- | --- | --- |
//! | operator | [`Health::set_admin_state`](crate::health::Health::set_admin_state) | set an endpoint to maintenance, drain it, make it available again |
//! | agent | a line of HAProxy's agent-check protocol | set its endpoint to maintenance, drain it, set its weight and limit |
//! | checks | probes at regular intervals | mark an endpoint that does not answer well as down |
//! | requests | the verdicts of real requests | eject an endpoint for a limited time; pause it for the time in its `Retry-After` |
//!
//! A source can only end its own decisions. If several sources restrict the same endpoint, the strictest decision
//! applies. [`Health::status`](crate::health::Health::status) returns the reasons of all sources.
//!
//! # Checks
//!
//! A check consists of a name, a [schedule](crate::health::Schedule) and a [probe](crate::health::probe). With the
//! default schedule, an endpoint is probed every 5 s. It is down after 3 failed probes in a row, and up again after 2
//! successful probes in a row. The schedule is faster when the state may change: the next probe follows after 1 s if a
//! probe fails while the endpoint is up, or succeeds while it is down.
//!
//! ```
//! use equipoise::{EndpointSpec, LogEwma, Pool, SlowStart};
//! use equipoise::health::{Health, Outliers, Schedule, probe::TcpProbe};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = Health::builder()
//!     .check("tcp", Schedule::new(), TcpProbe::new())
//!     .outliers(Outliers::new().consecutive_failures(5).max_ejection_percent(50))
//!     .build()?;
//! let pool = Pool::new(health.watch(SlowStart::new(LogEwma::new())));
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
//! Checks only see their own probes. Outlier detection sees the result of every request. In the example above, an
//! endpoint that fails 5 requests in a row is ejected for 30 s. Then it is on probation: it gets a single request. If
//! this request succeeds, the endpoint is up again. If it fails, the endpoint is ejected again, for longer. There are
//! presets with the rules of [Envoy](crate::health::Outliers::envoy), [gRPC](crate::health::Outliers::grpc),
//! [linkerd](crate::health::Outliers::linkerd) and [nginx](crate::health::Outliers::nginx).
//!
//! # When too many endpoints are out
//!
//! Assume that fewer than half of the endpoints of a tier (a priority group) are healthy, and that no other tier can
//! take the traffic. The pool then ignores health and uses the whole tier: see
//! [`PoolBuilder::panic_threshold`](crate::PoolBuilder::panic_threshold). There are two reasons: the checks may be
//! wrong, and the traffic of all endpoints would overload the few healthy ones. Failed checks and ejections therefore
//! never leave a pool without an endpoint.
//!
//! Two kinds of endpoints are still not used:
//!
//! - endpoints that an operator or an agent drains or has set to maintenance,
//! - with [`InitialState::MustPass`](crate::health::InitialState::MustPass), endpoints that have not passed their first
//!   probe.
//!
//! # Draining
//!
//! A draining endpoint gets only requests of its existing sessions, and no new clients.
//! [`Health::drain`](crate::health::Health::drain) waits until the endpoint's requests in flight have ended, or until a
//! deadline, and returns which of the two happened. The chapter `shutdown` shows how to use it, and how to end tunnels.
