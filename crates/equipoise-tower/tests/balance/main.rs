//! Tests of the balancer with mock services and without sockets.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod attempts;
mod classify_error;
mod common;
mod counts;
mod errors;
mod failover;
mod nested;
mod observe;
mod observe_request;
mod panics;
mod placement;
mod plain;
mod queue;
mod readiness;
mod replay;
mod requests;
mod responses;
mod waiting;
