//! The results of requests, which outlier detection uses. They are collected on the threads on which the requests
//! end.

mod signals;
mod tally;
mod watched;

pub use self::{
    signals::Signals,
    watched::{Watched, WatchedState},
};
