//! The results of requests, collected where they end.

mod signals;
mod tally;
mod watched;

pub use self::{
    signals::Signals,
    watched::{Watched, WatchedState},
};
