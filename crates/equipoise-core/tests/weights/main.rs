//! Tests of shares: the share of each endpoint without load, under load, and with a slow or failing endpoint. Every run
//! uses a named seed, so a statistical check gives the same result on every run.
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
