//! The distribution layer: who gets how much, idle, under load and with somebody slow or failing. Every run draws from
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
