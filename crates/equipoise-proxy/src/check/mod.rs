//! Checks that a message has one meaning before it is forwarded.
//!
//! A proxy and the server behind it each parse the same request. If they read it differently, an attacker can hide a
//! second request in the first one (request smuggling), or get around the rules of the proxy. [`RequestChecks`]
//! therefore refuses every request that parsers are known to read differently, with a [`Refusal`] that says what is
//! wrong. [`check_response`] does the same for the responses of endpoints.
//!
//! The checks see a request after the server's parser, such as hyper's, has read it. This parser refuses more: field
//! names and values with invalid characters, folded lines, white space before a colon, bare CR, a second
//! `Content-Length` with another value, `Transfer-Encoding` in HTTP/1.0, and chunk sizes that are not hexadecimal.
//!
//! The chunks of a body are read while it is forwarded. So that a malformed chunk is noticed before an endpoint sees
//! the request, the proxy first reads what has arrived with the head, up to 16 KiB. It does not do so with `Expect:
//! 100-continue`, because hyper's server asks for the body when it is read. A malformed chunk that has arrived with
//! such a head is noticed only after the endpoint has got the head. The client still gets status 400, and the
//! connection to the endpoint is closed.
//!
//! hyper's parser repairs three things instead, so no check sees them:
//!
//! - a `Content-Length` beside `Transfer-Encoding`, which is removed;
//! - a `Content-Length` that is repeated with the same value, which becomes one field;
//! - a fragment of the request target (`/a#b`), which is removed.
//!
//! The crate's own server (feature `server`) refuses these requests with status 400. Behind another server that uses
//! hyper, they are forwarded with one length and without the fragment.

mod authority;
mod refusal;
mod request;
mod response;
mod target;

#[cfg(any(feature = "proxy-protocol", feature = "sni"))]
pub(crate) use self::authority::server_name;
#[cfg(feature = "server")]
pub(crate) use self::request::content_length;
pub(crate) use self::{authority::host_and_port, request::is_extended_connect, response::inspect_response};
pub use self::{
    refusal::Refusal,
    request::{RequestChecks, UnusualNames},
    response::{InvalidResponse, check_response},
};
