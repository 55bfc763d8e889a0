//! The service of one endpoint.

mod exchange;
mod head;
mod response;
mod service;

pub use self::{
    response::ResponseBody,
    service::{ResponseFuture, Upstream},
};
