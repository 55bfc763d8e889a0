//! The balancer as a tower service.

mod attempt;
mod future;
mod incoming;
mod layer;
mod plan;
mod service;
mod shared;

pub use self::{
    future::ResponseFuture,
    incoming::{ReplayBodies, ReplayBodiesLayer},
    layer::BalanceLayer,
    service::Balance,
};
