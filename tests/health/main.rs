//! What clients notice when servers fail, behind a balancer with checks, outlier detection and failover: real sockets, 200
//! requests a second.
//!
//! The faults are made on purpose by servers within this process; real processes and signals are for the example `faults`.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod failing;
mod hanging;
mod killed;
mod load;
mod saturated;
mod server;
mod setup;
