//! The distribution layer: who gets how much, idle, under load and with somebody slow or failing. Every run draws from
//! a named seed, so a bound is either met always or never.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod idle;
mod loaded;
mod memory;
mod round_robin;
mod shares;
mod sim;
mod slow;
mod verdicts;
