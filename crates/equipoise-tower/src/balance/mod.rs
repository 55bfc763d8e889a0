//! The balancer as a tower service.

mod attempt;
mod future;
mod incoming;
mod layer;
mod progress;
mod routing;
mod service;
mod settings;
mod unready;
mod waiting;

pub use self::{
    future::ResponseFuture,
    incoming::{ReplayBodies, ReplayBodiesLayer},
    layer::BalanceLayer,
    service::Balance,
};
