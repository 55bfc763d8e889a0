//! The machine under a manual clock.

mod drains;
mod properties;
mod requests;
mod sources;
mod stats;
mod timing;
mod world;
