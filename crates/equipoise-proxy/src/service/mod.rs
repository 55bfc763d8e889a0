//! The reverse proxy as a tower service.

mod exchange;
mod future;
mod layer;
mod proxy;

pub use self::{exchange::Failed, future::ProxyFuture, layer::ReverseProxyLayer, proxy::ReverseProxy};
