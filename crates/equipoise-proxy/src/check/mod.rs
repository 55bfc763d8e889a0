//! Checks that a message has one meaning before it is forwarded.
//!
//! A proxy and the server behind it each parse the same request. If they read it differently, an attacker can hide a
//! second request in the first one (request smuggling), or pass the rules of the proxy. [`RequestChecks`] therefore
//! refuses every request that parsers are known to read differently, with a [`Refusal`] that says what is wrong.
//! [`check_response`] does the same for the responses of endpoints.
//!
//! The checks see a request after the server's parser, such as hyper's, has read it. This parser refuses more: field
//! names and values with invalid characters, folded lines, white space before a colon, bare CR, a second
//! `Content-Length` with another value, `Transfer-Encoding` in HTTP/1.0, and chunk sizes that are not hexadecimal.
//! Three things are repaired by hyper's parser instead, so no check sees them:
//!
//! - If a request has `Transfer-Encoding` and `Content-Length`, the length is removed, and the connection is closed
//!   after the response (RFC 9112, section 6.3). HAProxy does the same. nginx refuses the request.
//! - A `Content-Length` that is repeated with the same value becomes one field. HAProxy does the same.
//! - A fragment of the request target (`/a#b`) is removed. HAProxy refuses the request, and nginx forwards the
//!   fragment.

mod authority;
mod refusal;
mod request;
mod response;
mod target;

pub(crate) use self::{authority::host_and_port, request::is_extended_connect, response::inspect_response};
pub use self::{
    refusal::Refusal,
    request::{RequestChecks, UnderscoreFields},
    response::{InvalidResponse, check_response},
};
