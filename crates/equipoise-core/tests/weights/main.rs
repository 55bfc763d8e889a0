//! The distribution layer: the share of each endpoint, idle, under load and with a slow or failing one. Every run draws from
//! a named seed, so a bound is either met always or never.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod abandoned;
mod edf;
mod exact;
mod idle;
mod least_time;
mod loaded;
mod memory;
mod round_robin;
mod scatter;
mod shares;
mod sim;
mod slow;
mod verdicts;
