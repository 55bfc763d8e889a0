//! Shared by the benches: pools to pick from, floors to compare with, and timing of threads.

pub mod call;
pub mod floor;
pub mod gateway;
pub mod tasks;
pub mod timing;
pub mod watched;

mod subject;

pub use crate::subject::{Kind, SIZES, Subject, Weights, id, next_key};
