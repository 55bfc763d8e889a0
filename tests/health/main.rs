//! What clients notice when servers fail, behind a balancer with checks, outlier detection and failover: real sockets, 200
//! requests a second.
//!
//! Most faults are made on purpose by servers within this process; `processes.rs` kills and stops real ones. The example
//! `faults` has more of those, beside other balancers.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod failing;
mod hanging;
mod killed;
mod load;
mod processes;
mod saturated;
mod server;
mod setup;
