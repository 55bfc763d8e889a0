//! HTTP: what to read off requests and responses, and the body that carries the lease.

mod body;
mod classify;
mod protocol;

pub use self::{
    body::{LeasedBody, TunnelLease},
    classify::{Classify, ClassifyHttp, RequestHead, ResponseHead},
    protocol::{HttpProtocol, KeptRequest, ServedBy},
};
