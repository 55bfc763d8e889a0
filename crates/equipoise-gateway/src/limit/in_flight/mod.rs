//! Limits of requests at the same time.

mod body;
mod gate;
mod layer;
mod permits;
mod service;

pub use self::{
    body::InFlightBody,
    layer::{InFlightBuilder, InFlightLayer},
    permits::InFlightStats,
    service::{InFlight, InFlightFuture},
};
