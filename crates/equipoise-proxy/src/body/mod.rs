//! Bodies of requests and responses on their way through a proxy: timeouts, the size limit, and trailers.

mod error;
mod request;
mod response;
mod timer;
mod watch;

pub use self::{
    error::RequestBodyError,
    request::RequestBody,
    response::{ProxyBody, ProxyBodyError},
    timer::Timeouts,
};
pub(crate) use self::{
    request::Arrived,
    response::First,
    timer::{Elapsed, Timer},
    watch::{BodyWatch, ResponseWatch},
};
