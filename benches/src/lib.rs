//! What the benches share: pools to pick from, the floors to compare with, and a way to time threads against each
//! other.

pub mod call;
pub mod floor;
pub mod tasks;
pub mod timing;

mod subject;

pub use crate::subject::{Kind, SIZES, Subject, Weights, id, next_key};
