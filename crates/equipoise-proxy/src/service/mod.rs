//! The reverse proxy as a tower service.

mod exchange;
mod future;
mod inspect;
mod layer;
mod own_response;
mod proxy;
mod settings;
mod unanswered;

pub use self::{
    future::ProxyFuture,
    inspect::refuse_invalid,
    layer::ReverseProxyLayer,
    own_response::LateResponse,
    proxy::ReverseProxy,
    unanswered::{Failed, Unanswered},
};
