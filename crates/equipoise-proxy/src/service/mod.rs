//! The reverse proxy as a tower service.

mod exchange;
mod future;
mod layer;
mod proxy;
mod unanswered;

pub use self::unanswered::{Failed, Unanswered};
pub use self::{future::ProxyFuture, layer::ReverseProxyLayer, proxy::ReverseProxy};
