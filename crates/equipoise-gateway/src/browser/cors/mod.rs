//! CORS: which other sites may read responses.

mod layer;
mod policy;

pub use self::{
    layer::{Cors, CorsFuture, CorsLayer, CorsStats},
    policy::{CorsPolicy, InvalidCors},
};
