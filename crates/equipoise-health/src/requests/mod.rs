//! The results of requests, which outlier detection uses. They are collected on the threads on which the requests
//! end.

mod collector;
mod strategy;
mod tally;

pub use self::{
    collector::ResultCollector,
    strategy::{CollectingState, CollectingStrategy},
};
