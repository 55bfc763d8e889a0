//! The cache around a scripted service, with a clock that the tests set.
#![cfg(feature = "cache")]

mod coalescing;
mod filling;
mod invalidation;
mod isolation;
mod proxy;
mod requests;
mod script;
mod stale;
mod storing;
