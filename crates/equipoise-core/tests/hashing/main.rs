//! Tests of the hashing strategies: the endpoint of a key, the changes that move a key, and the limits of bounded load.
//! Every run uses a named seed, so a statistical check gives the same result on every run.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod allocations;
mod availability_changes;
mod bounded;
mod disruption;
mod fallback;
mod keys;
mod probes;
mod settings;
mod shares;
mod threads;
mod zipf;
