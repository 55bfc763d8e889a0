//! Fetches from the inner service: one for all requests that want the same, in a task of its own.

pub(crate) mod fill;
pub(crate) mod flight;
mod job;
mod run;

pub(super) use self::run::run;
