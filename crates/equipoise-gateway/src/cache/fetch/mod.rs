//! Fetches from the inner service: one for all requests that want the same, in a task of its own.

mod job;
mod run;

pub(super) use self::run::run;
