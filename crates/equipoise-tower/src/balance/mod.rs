//! The balancer [`Balance`] as a tower service, and its layers.

mod attempt;
mod future;
mod incoming;
mod layer;
mod plan;
mod service;

pub use self::{
    attempt::{Dispatch, SharedClient, Targets},
    future::ResponseFuture,
    incoming::{ReplayBodies, ReplayBodiesLayer},
    layer::BalanceLayer,
    service::Balance,
};
