//! The machine under a clock of the test's own.

mod drains;
mod properties;
mod requests;
mod sources;
mod timing;
mod world;
