//! Session affinity over real sockets: real clients, a complete proxy, servers that die.
//!
//! If `curl` or `redis-server` is missing, the tests that need it print a message and pass.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod bad_requests;
mod bad_stores;
mod clients;
mod curl;
mod draining;
mod excluded;
mod explained;
mod failover;
mod golden;
mod keeping;
mod keys;
mod learned;
mod modes;
mod outage;
mod proxy;
#[path = "../../crates/equipoise-affinity/tests/golden/recorded.rs"]
mod recorded;
#[allow(dead_code, reason = "the store's own tests need more of it")]
#[path = "../../crates/equipoise-affinity/tests/redis/server.rs"]
mod redis_server;
mod saturated;
mod setup;
mod tunnels;
mod unavailable;

use setup::eventually;
