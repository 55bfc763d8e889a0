//! The service of one endpoint.

mod exchange;
mod head;
mod response;
mod service;
mod upload;

pub use self::{
    response::ResponseBody,
    service::{ResponseFuture, Upstream},
};
