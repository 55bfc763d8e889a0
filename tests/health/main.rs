//! Errors that clients see when servers fail, behind a balancer with checks, outlier detection and failover. Uses real
//! sockets and 200 requests per second.
//!
//! Most faults are simulated by servers in this process; `processes.rs` kills and stops real processes. The example
//! `faults` has more faults of processes and compares other balancers.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod failing;
mod hanging;
mod killed;
mod load;
mod processes;
mod saturated;
mod server;
mod setup;
