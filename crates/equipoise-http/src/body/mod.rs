//! The bodies of requests, as connections send them: of one type for all callers, and held back if the request expects
//! `100 Continue`.

mod expect;
mod request;

pub(crate) use self::{expect::Expectation, request::RequestBody};
