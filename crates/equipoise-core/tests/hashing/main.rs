//! The hashing layer: whose a key is, what moves it and what does not, and how far a bound holds. Every run draws from a
//! named seed, so a statistic is within its bound always or never.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod allocations;
mod bounded;
mod disruption;
mod fallback;
mod flips;
mod keys;
mod probes;
mod settings;
mod shares;
mod threads;
mod zipf;
