//! HTTP: what to read off requests and responses, and the body that carries the lease.

mod body;
mod classify;
mod head;
mod protocol;
mod tunnel;

pub use self::{
    body::LeasedBody,
    classify::{Classify, ClassifyHttp},
    head::{RequestHead, ResponseHead, ServedBy},
    protocol::{HttpProtocol, KeptRequest},
    tunnel::TunnelLease,
};
