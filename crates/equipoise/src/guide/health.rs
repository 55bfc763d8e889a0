//! Health: who is asked at all.
//!
//! A strategy chooses among endpoints that can work; [`Health`](crate::health::Health) finds out which can. It listens to
//! four sources and comes to one verdict:
//!
//! | source | how it speaks | what it can do |
//! | --- | --- | --- |
//! | operator | [`Health::order`](crate::health::Health::order) | take out, drain, give back |
//! | agent | a line of HAProxy's agent-check protocol | take out, drain, weight, limit |
//! | checks | probes at intervals | take out what does not answer well |
//! | requests | the verdicts of real requests | eject for a time, pause for a `Retry-After` |
//!
//! Each takes back only what it said itself, the strictest holds, and whoever wants to know gets the reason.
//!
//! # Checks
//!
//! A check is a name, a [schedule](crate::health::Schedule) and a [probe](crate::health::probe). With the defaults an
//! endpoint is looked at every 5 s, is down after 3 looks that failed (a second apart) and up again after 2 that passed:
//!
//! ```
//! use equipoise::{EndpointSpec, PeakEwma, Pool, SlowStart};
//! use equipoise::health::{Health, Outliers, Schedule, probe::Tcp};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = Health::builder()
//!     .check("tcp", Schedule::new(), Tcp::new())
//!     .outliers(Outliers::new().consecutive_failures(5).most_percent(50))
//!     .build()?;
//! let pool = Pool::new(health.watch(SlowStart::new(PeakEwma::new())));
//! let checking = health.spawn(&pool);
//! pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
//! # drop(checking);
//! # Ok(()) }
//! ```
//!
//! `watch` lets the requests speak: it is needed for [`outliers`](crate::health::Outliers) only. `SlowStart` inside it
//! brings an endpoint that was out back little by little. `spawn` checks until its guard is dropped.
//!
//! A probe of your own is any closure ([`probe_fn`](crate::health::probe::probe_fn)):
//!
//! ```
//! use equipoise::health::probe::{ProbeError, Target, probe_fn};
//!
//! let queue = probe_fn(|target: Target| async move {
//!     let length: u32 = ask_for_its_queue(&target.address).await;
//!     if length < 100 { Ok(()) } else { Err(ProbeError::from(format!("{length} jobs wait"))) }
//! });
//! # async fn ask_for_its_queue(_: &str) -> u32 { 7 }
//! # let _ = queue;
//! ```
//!
//! # Requests
//!
//! Checks see what they look at; requests see everything, at once. An endpoint that fails 5 requests in a row is ejected
//! for 30 s, then a single request is let through, whose verdict decides: back, or out again for longer. Presets by name
//! do as [Envoy](crate::health::Outliers::envoy), [gRPC](crate::health::Outliers::grpc),
//! [linkerd](crate::health::Outliers::linkerd) and [nginx](crate::health::Outliers::nginx) do.
//!
//! # When too many are out
//!
//! If less than half of a tier is fit, all of it is used but for those that an operator or an agent took out
//! ([`PoolBuilder::panic_below`](crate::PoolBuilder::panic_below)): either the checks are wrong, or the rest would be
//! overrun. So a pool of one is never emptied.
//!
//! # Draining
//!
//! ```
//! # use equipoise::{EndpointSpec, Pool, health::Health};
//! # use std::time::Duration;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let health = Health::builder().build()?;
//! # let pool: Pool<()> = Pool::default();
//! # let checking = health.spawn(&pool);
//! # pool.add(EndpointSpec::new("10.0.0.1:80"), ())?;
//! use equipoise::health::Drained;
//!
//! // Nothing new from now on, nothing at all after a minute. Ends with the last request, or after that minute.
//! match health.drain(&pool, "10.0.0.1:80", Some(Duration::from_secs(60))).await {
//!     Drained::Idle => {}
//!     Drained::Deadline { left } => println!("{left} requests are still under way"),
//!     Drained::Recalled => return Ok(()),
//!     other => return Err(format!("10.0.0.1:80 was not drained: {other:?}").into()),
//! }
//! pool.remove("10.0.0.1:80")?;
//! # drop(checking);
//! # Ok(()) }
//! ```
//!
//! WebSockets and other tunnels, and bodies without an end such as event streams, do not end by themselves. Their leases say
//! when to: [`Lease::draining`](crate::Lease::draining) ends when the drain begins, [`Lease::closing`](crate::Lease::closing)
//! at its deadline, or when the endpoint is closed or removed. Both are on `TunnelLease` and `LeasedBody` of
//! `equipoise::tower` as well. A tunnel that ends when the drain begins has until the deadline for it; where sessions are
//! sticky, its client would come back to the same endpoint, so wait for `closing` there. Nothing is cut off by force: what
//! does not listen goes on until it ends, also after `remove`.
