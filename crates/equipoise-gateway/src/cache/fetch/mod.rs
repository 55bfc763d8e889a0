//! Fetches from the inner service: one for all requests that want the same, in a task of its own.

mod client;
mod job;
mod run;
mod task;

pub(super) use self::run::run;
