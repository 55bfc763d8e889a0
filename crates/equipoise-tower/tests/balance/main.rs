//! The balancer over services that are made up: what needs no socket to be seen.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod attempts;
mod common;
mod failover;
mod nested;
mod panics;
mod placement;
mod plain;
mod queue;
mod readiness;
mod requests;
mod responses;
mod waiting;
