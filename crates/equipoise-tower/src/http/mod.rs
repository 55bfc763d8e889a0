//! The protocol of HTTP requests and responses: keys, idempotence, verdicts of responses, and the response body that
//! holds the lease.

mod body;
mod classify;
mod protocol;

pub use self::{
    body::{LeasedBody, TunnelLease},
    classify::{Classify, ClassifyHttp, RequestHead, ResponseHead, is_grpc},
    protocol::{HttpProtocol, KeptRequest, ServedBy},
};
